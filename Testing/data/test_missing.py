"""Missing-rate manifests equal the published ones; random presence is fair and never empty."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
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


@pytest.mark.parametrize(
    ("rates", "flair", "t1ce", "t1", "t2"),
    [
        ((0.2, 0.4, 0.6, 0.8), 90, 135, 184, 43),
        ((0.1, 0.3, 0.7, 0.9), 68, 156, 200, 23),
        ((0.2, 0.2, 0.5, 0.8), 111, 180, 179, 44),
        ((0.2, 0.2, 0.8, 0.5), 43, 180, 179, 113),
        ((0.5, 0.5, 0.2, 0.8), 185, 111, 113, 42),
        ((0.5, 0.5, 0.8, 0.2), 42, 111, 113, 186),
        ((0.8, 0.8, 0.2, 0.5), 189, 44, 46, 118),
        ((0.8, 0.8, 0.5, 0.2), 116, 44, 46, 190),
    ],
)
def test_the_eight_published_manifests(
    rates: tuple[float, float, float, float], flair: int, t1ce: int, t1: int, t2: int
) -> None:
    table = draw_manifest(TRAIN, rates)
    assert table.sum(axis=0).tolist() == [t1, t1ce, flair, t2]
    sorted_names = sorted(map(published_name, TRAIN))
    rows = dict(zip(sorted_names, literal_manifest(219, rates, 1037).tolist(), strict=True))
    assert [rows[published_name(name)] for name in TRAIN] == table.tolist()


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
    st.lists(st.floats(0, 0.95), min_size=1, max_size=5).map(tuple),
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


def test_published_myops_tables() -> None:
    base = published_myops(MYOPS_TRAIN, (0.3, 0.5, 0.7))
    assert base is not None
    assert base.sum(axis=0).tolist() == [16, 11, 8]
    rows = dict(zip(MYOPS_TRAIN, base.astype(int).tolist(), strict=True))
    assert (rows[101], rows[102], rows[109], rows[123]) == ([1, 1, 1], [0, 0, 1], [0, 1, 0], [0, 1, 1])
    # In 735, bSSFP (0.7) has what T2 has in 357, LGE (0.3) what bSSFP has, T2 (0.5) what LGE has.
    other = published_myops(MYOPS_TRAIN, (0.7, 0.3, 0.5))
    assert other is not None
    assert np.array_equal(other, base[:, [2, 0, 1]])
    for rates in itertools.permutations((0.3, 0.5, 0.7)):
        table = published_myops(MYOPS_TRAIN, rates)
        assert table is not None
        assert [table[:, rates.index(rate)].sum() for rate in (0.3, 0.5, 0.7)] == [16, 11, 8]
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
