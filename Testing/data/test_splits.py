"""Who trains, validates and tests."""

from __future__ import annotations

import pytest

from DMAFTraining.data.splits import patient_of, patient_order, split_names

ALL = [f"BraTS20_Training_{number:03d}" for number in range(1, 370)]


def low_grade(names: tuple[str, ...]) -> int:
    return sum(260 <= int(name[-3:]) <= 335 for name in names)


def test_published_brats_split() -> None:
    split = split_names(ALL, "published")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [219, 50, 100]
    assert len({*split.train, *split.validation, *split.test}) == 369
    assert (low_grade(split.train), low_grade(split.test)) == (42, 23)
    assert split.test[:3] == ("BraTS20_Training_001", "BraTS20_Training_016", "BraTS20_Training_017")
    assert split.validation[-1] == "BraTS20_Training_366"
    assert split_names(["HG_BraTS20_Training_005"], "published").validation == ("HG_BraTS20_Training_005",)


def test_published_myops_split_goes_by_patient() -> None:
    names = [f"myops_training_{number}_slice_{k}" for number in range(101, 126) for k in range(3)]
    split = split_names(names, "published")
    assert {patient_of(name)[-3:] for name in split.test} == {"107", "111", "115", "117", "120"}
    assert (len(split.train), len(split.validation), len(split.test)) == (60, 0, 15)


def test_unknown_names_have_no_published_split() -> None:
    for name in ("BraTS20_Training_370", "BraTS2021_00000", "myops_training_126", "simulated-1-00000"):
        with pytest.raises(ValueError, match="no published split"):
            split_names([name], "published")


def test_a_hashed_part_never_changes_when_the_cohort_grows() -> None:
    names = [f"case{number}" for number in range(2000)]
    split = split_names(names, "hash")
    assert set(split_names(names[:300], "hash").train) <= set(split.train)
    shares = [len(part) / 2000 for part in (split.train, split.validation, split.test)]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.03)
    assert split.train == tuple(name for name in names if name in set(split.train))


def test_time_points_and_slices_stay_with_their_patient() -> None:
    names = [f"BraTS-GLI-{number:05d}-{visit:03d}" for number in range(50) for visit in range(3)]
    split = split_names(names, "hash")
    parts = [{patient_of(name) for name in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == 50
    assert patient_of("BraTS-GLI-00003-001") == "BraTS-GLI-00003"
    assert patient_of("heart_slice_2") == "heart"


def test_none_trains_on_everything() -> None:
    assert split_names(["b", "a"], "none").train == ("b", "a")


def test_high_grade_cases_come_first_in_manifests() -> None:
    numbers = [int(name[-3:]) for name in sorted(ALL, key=patient_order)]
    assert numbers == [*range(1, 260), *range(336, 370), *range(260, 336)]
