"""Subsets: names, order of the papers' tables, spelling."""

from __future__ import annotations

import pytest

from DMAFTraining.modalities import BRATS, MYOPS, Modality, ModalitySet


def test_channel_order_is_the_papers() -> None:
    assert BRATS.names == ("t1", "t1ce", "flair", "t2")
    assert MYOPS.names == ("bssfp", "lge", "t2")


def test_subsets_come_in_the_order_of_the_mask_table() -> None:
    # science: mask ids 0..14 of the reference code
    assert [str(s) for s in BRATS.subsets()] == [
        "T2", "T1ce", "T1", "FLAIR", "T1ce+T2", "T1+T1ce", "T1+FLAIR", "T1+T2", "FLAIR+T2", "T1ce+FLAIR",
        "T1+T1ce+FLAIR", "T1+FLAIR+T2", "T1ce+FLAIR+T2", "T1+T1ce+T2", "T1+T1ce+FLAIR+T2",
    ]  # fmt: skip
    assert [str(s) for s in MYOPS.subsets()][3:] == ["LGE+T2", "bSSFP+LGE", "bSSFP+T2", "bSSFP+LGE+T2"]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_any_number_of_sequences_has_all_subsets_once(count: int) -> None:
    names = [f"s{i}" for i in range(count)]
    every = ModalitySet(tuple(Modality(n, n.upper()) for n in names)).subsets()
    assert len(set(every)) == len(every) == 2**count - 1


def test_subset_is_put_into_channel_order_and_prints() -> None:
    subset = BRATS.subset(["flair", "t1", "flair"])
    assert (subset.names, str(subset), len(subset)) == (("t1", "flair"), "T1+FLAIR", 2)
    assert BRATS.flags(subset) == (True, False, True, False)
    assert subset <= BRATS.full()
    assert not BRATS.full() <= subset


@pytest.mark.parametrize("text", ["T1+FLAIR", "flair+t1", " t2f + T1w", "FLAIR+t1n"])
def test_parse_reads_titles_names_and_aliases(text: str) -> None:
    assert BRATS.parse(text).names == ("t1", "flair")


def test_printing_and_parsing_are_inverse() -> None:
    assert all(BRATS.parse(str(s)) == s for s in BRATS.subsets())


def test_subsets_within_what_is_available() -> None:
    have = BRATS.subset(["t1", "t2"])
    assert [str(s) for s in BRATS.subsets(have)] == ["T2", "T1", "T1+T2"]


def test_errors_name_the_sequence() -> None:
    with pytest.raises(ValueError, match="'DWI' in 'T1\\+DWI' is not a sequence; known are T1, T1ce, FLAIR, T2"):
        BRATS.parse("T1+DWI")
    with pytest.raises(ValueError, match="at least one sequence"):
        BRATS.subset([])
    with pytest.raises(ValueError, match="share a name"):
        ModalitySet((Modality("a", "A"), Modality("a", "B")))
    with pytest.raises(ValueError, match="every non-empty subset exactly once"):
        ModalitySet((Modality("a", "A"), Modality("b", "B")), (("a",), ("b",)))
