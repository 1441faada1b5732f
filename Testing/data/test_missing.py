"""Missing-rate manifests equal the published ones; random presence is fair and never empty."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DMAFTraining.data.missing import (
    draw_by_rates,
    draw_manifest,
    draw_subset,
    published_myops,
    rate_weights,
)
from DMAFTraining.data.splits import split_names

ALL = [f"BraTS20_Training_{number:03d}" for number in range(1, 370)]
TRAIN = split_names(ALL, "published").train
MASKS = ["0001", "0100", "0010", "1000", "0101", "0110", "1010", "0011", "1001", "1100", "1110", "1011", "1101", "0111"]
MYOPS_TRAIN = (101, 102, 103, 104, 105, 106, 108, 109, 110, 112, 113, 114, 116, 118, 119, 121, 122, 123, 124, 125)


def published_name(name: str) -> str:
    low_grade = 260 <= int(name[-3:]) <= 335
    return ("LG_" if low_grade else "HG_") + name


def literal_manifest(count: int, rates: tuple[float, float, float, float], seed: int) -> np.ndarray:
    """The published program step by step: four columns filled, shuffled alike, empty rows drawn again."""
    t1, t1c, flair, t2 = rates
    random = np.random.RandomState(seed)
    for rate in rates:
        _ = random.rand(count) > rate  # thrown away
    columns = [np.zeros(count, bool) for _ in rates]
    start = 0
    order = "tttt ttft tttf ttff tftt tftf tfft tfff fttt ftft fttf ftff fftt fftf ffft"
    for pattern in order.split():
        a, b, c, d = pattern
        share = count * (1 - t1 if a == "t" else t1) * (1 - t1c if b == "t" else t1c)
        share = share * (1 - flair if c == "t" else flair) * (1 - t2 if d == "t" else t2)
        rows = max(1, int(share))
        for column, letter in zip(columns, pattern, strict=True):
            column[start : start + rows] = letter == "t"
        start += rows
    state = random.get_state()
    for column in columns:
        random.set_state(state)
        random.shuffle(column)
    for row in range(count):
        while not any(column[row] for column in columns):
            for column, rate in zip(columns, rates, strict=True):
                column[row] = random.rand(1)[0] > rate
    return np.stack(columns, axis=1)


def fingerprint(names: Sequence[object], table: np.ndarray) -> str:
    """SHA-256 of a line ``name,flag,flag,...`` for each row."""
    lines = [f"{name},{','.join('01'[int(flag)] for flag in row)}\n" for name, row in zip(names, table, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# The fingerprints are those of the published tables datasets/BraTS/brats_split/Brats2020_imb_split_mr*.csv of the
# repository Jun-Jie-Shi/PASSION at commit 914a79f891e5532acd10aa309b76a4c88d5a95c3, read row by row: all 219 names,
# without the prefix HG_ or LG_ and sorted, with the flags of T1, T1ce, FLAIR, T2. No row differs.
@pytest.mark.parametrize(
    ("rates", "flair", "t1ce", "t1", "t2", "published"),
    [
        ((0.2, 0.4, 0.6, 0.8), 90, 135, 184, 43, "552901f6cc0e4c64c44e99d9e65ab9b98c30a60df0759908bb2f88dbfb2b9180"),
        ((0.1, 0.3, 0.7, 0.9), 68, 156, 200, 23, "5ef1c6327972d06b9a6eb6bc2f395bb3ba2bb2c14b01d41184e6ffb3d5cff736"),
        ((0.2, 0.2, 0.5, 0.8), 111, 180, 179, 44, "0fcc73846fcba75d6a6670b96cb7d27d99e26903033417b1389f6dd33fa1972e"),
        ((0.2, 0.2, 0.8, 0.5), 43, 180, 179, 113, "c6f7b0a46d00c9996369cc0cf29da79dded38b6075a096e532edb6a917f5c7f7"),
        ((0.5, 0.5, 0.2, 0.8), 185, 111, 113, 42, "0ea1c9bb07c8ec5ec63aad42b2b784f386e26216ff2ca08b077fad239ded406a"),
        ((0.5, 0.5, 0.8, 0.2), 42, 111, 113, 186, "ff945be9fb8def8a23771d1259e67f48c31b2bcfd50fb813ac2b2309fc8938ba"),
        ((0.8, 0.8, 0.2, 0.5), 189, 44, 46, 118, "61620b043f7f8b188cc178d87dfe0892ba0faed79456fc2eee952bbce0d9ec36"),
        ((0.8, 0.8, 0.5, 0.2), 116, 44, 46, 190, "ea22b7a1fade4e2b4b3a10c03ca470644eeccea6e3bc901a7859425172e6e59a"),
    ],
)
def test_the_eight_published_manifests(
    rates: tuple[float, float, float, float], flair: int, t1ce: int, t1: int, t2: int, published: str
) -> None:
    table = draw_manifest(TRAIN, rates)
    assert table.sum(axis=0).tolist() == [t1, t1ce, flair, t2]
    assert fingerprint(TRAIN, table) == published
    sorted_names = sorted(map(published_name, TRAIN))
    rows = dict(zip(sorted_names, literal_manifest(219, rates, 1037).tolist(), strict=True))
    assert [rows[published_name(name)] for name in TRAIN] == table.tolist()


def test_the_published_manifest_of_brats_2018() -> None:
    """Brats2018_imb_split_mr2468.csv of the same commit: 199 rows, names sorted; the fingerprint counts the rows."""
    table = draw_manifest([f"{row:03d}" for row in range(199)], (0.2, 0.4, 0.6, 0.8))
    assert fingerprint(range(199), table) == "9fc619eaa8a238a9aeaa1acb192be4981c08815834af0e5878c63b119d5551a5"


def test_combinations_of_mr2468() -> None:
    table = draw_manifest(TRAIN, (0.2, 0.4, 0.6, 0.8))
    masks = Counter("".join("01"[int(flag)] for flag in row[[2, 1, 0, 3]]) for row in table)
    assert [masks[mask] for mask in [*MASKS, "1111"]] == [2, 12, 38, 6, 3, 53, 23, 9, 1, 9, 35, 5, 2, 12, 9]
    assert Counter(table.sum(axis=1).tolist()) == {1: 58, 2: 98, 3: 54, 4: 9}
    assert [round(weight, 2) for weight in rate_weights(table)] == [1.19, 1.62, 2.43, 5.09]


def test_names_with_and_without_prefix_give_one_table_in_any_order() -> None:
    rates = (0.2, 0.4, 0.6, 0.8)
    plain = dict(zip(TRAIN, draw_manifest(TRAIN, rates).tolist(), strict=True))
    shuffled = [TRAIN[i] for i in np.random.default_rng(0).permutation(len(TRAIN))]
    prefixed = draw_manifest([published_name(name) for name in shuffled], rates).tolist()
    assert [plain[name] for name in shuffled] == prefixed


def test_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not move
    draw_manifest(TRAIN, (0.5, 0.5, 0.5, 0.5))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@given(
    st.lists(st.floats(0, 0.95), min_size=1, max_size=6).map(tuple),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
)
def test_nobody_has_nothing_and_rate_0_is_always_there(rates: tuple[float, ...], count: int, seed: int) -> None:
    names = [f"p{number:02d}" for number in range(count)]
    table = draw_manifest(names, rates, seed)
    assert table.shape == (count, len(rates))
    assert table.any(axis=1).all()
    assert all(table[:, column].all() for column, rate in enumerate(rates) if rate == 0)
    assert np.array_equal(table, draw_manifest(names, rates, seed))


@given(
    st.integers(1, 6).flatmap(lambda count: st.lists(st.floats(0, 0.9), min_size=count, max_size=count)).map(tuple),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_realized_rates_are_the_expected_ones(rates: tuple[float, ...], seed: int) -> None:
    """A row without anything is drawn again, so a rate p becomes 1 - (1 - p) / (1 - product of all rates).

    Whole counts of each combination are rounded down (at most one row each) and the rest is random: five
    deviations of a share of 2000, and the rows that rounding moves.
    """
    count, combinations = 2000, 2 ** len(rates) - 1
    table = draw_manifest([str(n) for n in range(count)], rates, seed)
    expected = 1 - (1 - np.asarray(rates)) / (1 - math.prod(rates))
    slack = 5 * np.sqrt(expected * (1 - expected) / count) + combinations / count
    assert (np.abs(1 - table.mean(axis=0) - expected) <= slack).all()


@given(st.floats(0, 0.95), st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_a_single_sequence_is_never_missing(rate: float, count: int, seed: int) -> None:
    """With one sequence, a patient without it would have nothing."""
    assert draw_manifest([str(n) for n in range(count)], (rate,), seed).all()
    assert draw_by_rates((rate,), np.random.default_rng(seed)).all()
    assert draw_subset(np.array([True]), np.random.default_rng(seed)).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_rates_drawn_at_each_access_are_the_expected_ones(count: int) -> None:
    rates = np.linspace(0.3, 0.8, count)
    rng = np.random.default_rng(count)
    rows = np.array([draw_by_rates(rates.tolist(), rng) for _ in range(4000)])
    assert rows.any(axis=1).all()
    expected = 1 - (1 - rates) / (1 - rates.prod())
    assert 1 - rows.mean(axis=0) == pytest.approx(expected, abs=0.04)  # five deviations of 4000 draws


def test_small_cohorts_are_not_filled_from_one_end() -> None:
    """Ten rows cannot hold fifteen combinations: T1 would be in eight of them whatever its rate is."""
    tables = [draw_manifest([str(n) for n in range(10)], (0.8, 0.8, 0.2, 0.2), seed) for seed in range(200)]
    shown = np.mean(tables, axis=(0, 1))
    empty = 0.8 * 0.8 * 0.2 * 0.2
    assert shown == pytest.approx(np.array([0.2, 0.2, 0.8, 0.8]) / (1 - empty), abs=0.03)


@pytest.mark.parametrize("rates", [(0.5, 1.0), (-0.1, 0.5), ()])
def test_impossible_rates_are_refused(rates: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"should lie in \[0, 1\)"):
        draw_manifest(["a", "b"], rates)
    with pytest.raises(ValueError, match="listed twice"):
        draw_manifest(["a", "a"], (0.5, 0.5))


# Patient 101: bSSFP, LGE and T2; 102: T2 alone; and so on, in the table 357.
MYOPS_357 = """
101 111 102 001 103 101 104 100 105 100 106 100 108 101 109 010 110 010 112 100
113 101 114 100 116 110 118 111 119 110 121 111 122 110 123 011 124 110 125 110
"""


@pytest.mark.parametrize("digits", ["357", "375", "537", "573", "735", "753"])
def test_published_myops_tables(digits: str) -> None:
    """The column of a sequence is that of 357 with the same rate: in 735, LGE (.3) has what bSSFP has there."""
    table = published_myops(MYOPS_TRAIN, [int(digit) / 10 for digit in digits])
    assert table is not None
    wanted = [[flags["357".index(digit)] == "1" for digit in digits] for flags in MYOPS_357.split()[1::2]]
    assert list(map(int, MYOPS_357.split()[::2])) == list(MYOPS_TRAIN)
    assert table.tolist() == wanted
    assert table.sum(axis=0).tolist() == [{"3": 16, "5": 11, "7": 8}[digit] for digit in digits]


def test_no_published_myops_table_for_other_rates_or_patients() -> None:
    assert published_myops(MYOPS_TRAIN, (0.3, 0.3, 0.7)) is None
    assert published_myops((107,), (0.3, 0.5, 0.7)) is None


def test_every_part_of_what_exists_is_equally_likely() -> None:
    rng = np.random.default_rng(5)
    exists = np.array([True, False, True, True])
    drawn = Counter(tuple(draw_subset(exists, rng).tolist()) for _ in range(7000))
    assert len(drawn) == 7
    assert not any(row[1] for row in drawn)
    assert all(850 < count < 1150 for count in drawn.values())  # 1000 expected, deviation 29


def test_rates_are_kept_up_to_the_redrawn_rows() -> None:
    rng = np.random.default_rng(0)
    rates = (0.2, 0.4, 0.6, 0.8)
    rows = np.array([draw_by_rates(rates, rng) for _ in range(20_000)])
    assert rows.any(axis=1).all()
    assert 1 - rows.mean(axis=0) == pytest.approx([0.168, 0.376, 0.584, 0.792], abs=0.01)
    some = np.array([False, True, False, True])
    assert not np.array([draw_by_rates(rates, rng, some) for _ in range(200)])[:, ~some].any()


def test_rate_weights() -> None:
    assert rate_weights(np.array([[1, 0], [1, 1], [1, 0], [1, 1]], bool)) == (1.0, 2.0)
    with pytest.raises(ValueError, match="channel 1"):
        rate_weights(np.array([[1, 0], [1, 0]], bool))
