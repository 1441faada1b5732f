"""The numbers that compare the results of a patient: checked by hand, and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DMAFTraining.data.brats import REGIONS
from DMAFTraining.inference.agreement import agreement_map, agreement_volumes, disagreement_map
from DMAFTraining.inference.case_comparison import LabelSet, compare_case, find_pairs
from DMAFTraining.inference.comparison_document import comparison_document
from DMAFTraining.inference.comparison_sentences import addition_sentences, summary_sentences
from DMAFTraining.inference.differences import largest_differences
from DMAFTraining.modalities import BRATS, Subset
from tiny import oblique_grid, tiny_metadata

SIZE = (30, 20, 10)
MATRIX = np.diag([10.0, 10.0, 10.0, 1.0])  # a voxel is 1 mL


def subset(*names: str) -> Subset:
    return BRATS.subset(names)


FULL, T1, T2 = subset("t1", "t2"), subset("t1"), subset("t2")


def rod(length: int, value: int = 2, start: int = 5) -> np.ndarray:
    """Labels of one value in a row of voxels along the first axis."""
    labels = np.zeros(SIZE, np.uint8)
    labels[start : start + length, 10, 5] = value
    return labels


MAPS = {T1: rod(5), FULL: rod(10), T2: rod(12)}


def test_volumes_changes_dice_and_distance_by_hand() -> None:
    found = compare_case(LabelSet(MAPS, MATRIX), REGIONS)
    assert found.base == FULL
    assert list(found.rows) == [FULL, T1, T2]
    assert found.truth_volumes_ml is None
    half, more = found.rows[T1]["WT"], found.rows[T2]["WT"]
    assert (half.volume_ml, half.change_ml, half.change_percent) == pytest.approx((5, -5, -50))
    assert (more.volume_ml, more.change_ml, more.change_percent) == pytest.approx((12, 2, 20))
    assert half.to_base.dice == pytest.approx(2 * 5 / 15)
    # From the half rod 5 zeros; from the whole one 5 zeros and 10 to 50 mm, of which rank 0.95 * 9 = 8.55 is 45.5.
    assert half.to_base.hd95_mm == pytest.approx(45.5)
    assert half.to_truth is None
    assert half.to_base.empty == "none"
    itself = found.rows[FULL]["WT"]
    assert (itself.change_ml, itself.to_base.dice, itself.to_base.hd95_mm) == (0, 1, 0)


def test_what_is_empty_is_said() -> None:
    maps = {FULL: rod(10, value=2), T1: rod(10, value=3), T2: np.zeros(SIZE, np.uint8)}
    found = compare_case(LabelSet(maps, MATRIX), REGIONS)
    nothing = found.rows[T2]["WT"]
    assert (nothing.to_base.empty, nothing.to_base.dice, nothing.to_base.hd95_mm) == ("this", 0, None)
    assert nothing.change_percent == pytest.approx(-100)
    new = found.rows[T1]["ET"]
    assert (new.to_base.empty, new.to_base.dice, new.to_base.hd95_mm, new.change_percent) == ("other", 0, None, None)
    both = found.rows[T2]["ET"]
    assert (both.to_base.empty, both.to_base.dice, both.to_base.hd95_mm) == ("both", 1, None)
    # Dice to an empty region tells nothing about a sequence; its volume does.
    assert found.attributions["dice"]["ET"].shapley is None
    assert "empty" in found.attributions["dice"]["ET"].note
    assert found.attributions["volume_ml"]["ET"].shapley == pytest.approx({"t1": 5, "t2": -5})


def test_everything_may_be_empty() -> None:
    maps = {s: np.zeros(SIZE, np.uint8) for s in MAPS}
    found = compare_case(LabelSet(maps, MATRIX), REGIONS)
    assert found.rows[T1]["WT"].to_base.empty == "both"
    assert found.agreement_ml["WT"] == (0, 0, 0)
    assert found.pairs[0].places["WT"] == ()
    assert "found nothing" in summary_sentences(found)[0]


def test_attributions_by_hand() -> None:
    found = compare_case(LabelSet(MAPS, MATRIX), REGIONS).attributions
    volume = found["volume_ml"]["WT"]
    # T1 first: 5, then T2 adds 5; T2 first: 12, then T1 takes 2 away.
    assert volume.shapley == pytest.approx({"t1": (5 - 2) / 2, "t2": (5 + 12) / 2})
    assert volume.leave_one_out == pytest.approx({"t1": 10 - 12, "t2": 10 - 5})
    dice = found["dice"]["WT"]
    assert dice.shapley is not None
    assert sum(dice.shapley.values()) == pytest.approx(1, abs=1e-12)
    assert dice.leave_one_out == pytest.approx({"t1": 1 - 20 / 22, "t2": 1 - 10 / 15})


def test_truth_is_what_dice_is_attributed_to() -> None:
    found = compare_case(LabelSet(MAPS, MATRIX, rod(5)), REGIONS)
    assert found.truth_volumes_ml == pytest.approx({"WT": 5, "TC": 0, "ET": 0})
    overlap = found.rows[T2]["WT"].to_truth
    assert overlap is not None
    assert overlap.dice == pytest.approx(10 / 17)
    values = found.attributions["dice"]["WT"].shapley
    assert values is not None
    assert sum(values.values()) == pytest.approx(2 * 5 / 15, abs=1e-12)


def test_without_every_combination_shapley_values_are_left_out_and_that_is_said() -> None:
    every = {subset("t1", "flair", "t2"): rod(10), FULL: rod(8), T1: rod(5)}
    found = compare_case(LabelSet(every, MATRIX), REGIONS).attributions["volume_ml"]["WT"]
    assert found.shapley is None
    assert "all 7 combinations of T1+FLAIR+T2; 4 of them were not segmented" in found.note
    assert found.leave_one_out == pytest.approx({"flair": 2})
    apart = compare_case(LabelSet({T1: rod(5), T2: rod(6)}, MATRIX), REGIONS)
    assert apart.attributions["volume_ml"]["WT"].leave_one_out == {}
    assert apart.players == FULL


def test_the_base_can_be_chosen() -> None:
    found = compare_case(LabelSet(MAPS, MATRIX), REGIONS, base=T1)
    assert found.rows[FULL]["WT"].change_percent == pytest.approx(100)
    assert found.pairs == ()
    with pytest.raises(ValueError, match=r"FLAIR was not segmented, .*; there are T1\+T2, T1, T2"):
        compare_case(LabelSet(MAPS, MATRIX), REGIONS, base=subset("flair"))


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        LabelSet({}, MATRIX)
    with pytest.raises(ValueError, match="different sizes"):
        LabelSet({T1: rod(5), T2: rod(5)[:-1]}, MATRIX)
    with pytest.raises(ValueError, match="different sizes"):
        LabelSet({T1: rod(5)}, MATRIX, rod(5)[:-1])


def test_agreement_counts_results() -> None:
    labels = LabelSet(MAPS, MATRIX)
    counts = labels.agreement(REGIONS[0])
    assert counts.dtype == np.uint8
    assert counts[:, 10, 5].tolist() == 5 * [0] + 5 * [3] + 5 * [2] + 2 * [1] + 13 * [0]
    assert counts.sum() == 5 * 3 + 5 * 2 + 2
    assert compare_case(labels, REGIONS).agreement_ml["WT"] == pytest.approx((2, 5, 5))
    pairs = labels.disagreement()[:, 10, 5]
    assert pairs.tolist() == 5 * [0] + 5 * [0] + 7 * [2] + 13 * [0]
    with pytest.raises(ValueError, match="1 to 255"):
        agreement_map([])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_agreement_volumes_add_up_and_disagreement_counts_pairs(count: int, seed: int) -> None:
    maps = list(np.random.default_rng(seed).integers(0, 3, (count, 4, 5, 3), np.uint8))
    volumes = agreement_volumes(agreement_map(array != 0 for array in maps), count, 0.5)
    assert len(volumes) == count
    assert sum((n + 1) * v for n, v in enumerate(volumes)) == pytest.approx(0.5 * sum((a != 0).sum() for a in maps))
    literal = sum((a != b).astype(int) for n, a in enumerate(maps) for b in maps[n + 1 :])
    np.testing.assert_array_equal(disagreement_map(maps), literal if count > 1 else np.zeros((4, 5, 3)))


def test_places_of_difference_by_hand() -> None:
    a, b = np.zeros((2, 20, 20, 20), bool)
    a[2:7, 2:7, 2:7] = True  # 125 voxels only in a, the middle at 4
    b[10:13, 10:13, 10:13] = True  # 27 voxels only in b
    b[13, 13, 13] = True  # touches the block at a corner only: a part of its own
    both = (slice(16, 19),) * 3
    a[both] = b[both] = True
    matrix = np.array([[-2.0, 0, 0, 100], [0, 2, 0, -50], [0, 0, 2, 7], [0, 0, 0, 1]])
    first, second, third = largest_differences(a, b, matrix)
    assert (first.kind, first.volume_ml) == ("only_a", pytest.approx(125 * 0.008))
    assert first.center_ras_mm == pytest.approx((100 - 8, -50 + 8, 7 + 8))
    assert (second.kind, second.volume_ml) == ("only_b", pytest.approx(27 * 0.008))
    assert second.center_ras_mm == pytest.approx((100 - 22, -50 + 22, 7 + 22))
    assert third.volume_ml == pytest.approx(0.008)
    assert largest_differences(a, b, matrix, most=1) == (first,)
    assert [place.kind for place in largest_differences(b, a, matrix)] == ["only_b", "only_a", "only_a"]
    assert largest_differences(a, a, matrix) == ()
    with pytest.raises(ValueError, match="cannot be compared"):
        largest_differences(a, b[1:], matrix)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 1))
def test_every_center_lies_in_its_part_on_any_grid(seed: int, flip: int) -> None:
    random = np.random.default_rng(seed)
    a, b = ndimage.gaussian_filter(random.normal(size=(2, 14, 12, 10)), (0, 1, 1, 1)) > 0.05
    grid = oblique_grid((14, 12, 10), (20, -30, 50), (1.0, 2.0, 3.0), flip)
    places = largest_differences(a, b, grid.ijk_to_ras, most=1000)
    inverse = np.linalg.inv(grid.ijk_to_ras)
    for place in places:
        index = tuple(np.rint(inverse[:3, :3] @ place.center_ras_mm + inverse[:3, 3]).astype(int))
        assert bool(a[index]) is (place.kind == "only_a")
        assert bool(b[index]) is (place.kind == "only_b")
    assert sum(place.volume_ml for place in places) == pytest.approx((a != b).sum() * 0.006)


def test_pairs_are_the_base_and_each_without_one() -> None:
    labels = LabelSet(MAPS, MATRIX)
    found = compare_case(labels, REGIONS)
    assert [(pair.a, pair.b) for pair in found.pairs] == [(FULL, T1), (FULL, T2)]
    (place,) = found.pairs[0].places["WT"]
    assert (place.kind, place.volume_ml) == ("only_a", pytest.approx(5))
    assert place.center_ras_mm[1:] == pytest.approx((100, 50))  # in whole-grid millimeters
    assert place.center_ras_mm[0] == pytest.approx(120)  # the middle of voxels 10 to 14
    (pair,) = find_pairs(labels, REGIONS, [(T1, T2)])
    assert pair.places["WT"][0].volume_ml == pytest.approx(7)
    with pytest.raises(ValueError, match="was not segmented"):
        find_pairs(labels, REGIONS, [(T1, subset("flair"))])


def test_sentences_say_what_would_have_been_seen() -> None:
    first, second, *_, last = summary_sentences(compare_case(LabelSet(MAPS, MATRIX), REGIONS))
    assert first == "Without T1: the whole tumor would have been 2.0 mL (20 %) larger, overlap (Dice) 0.91."
    assert second == "Without T2: the whole tumor would have been 5.0 mL (50 %) smaller, overlap (Dice) 0.67."
    assert last.endswith("(Shapley value of Dice): T2 for the whole tumor (0.62).")
    same = {FULL: rod(100 // 5), T1: rod(20), T2: np.zeros(SIZE, np.uint8)}
    first, second, *_ = summary_sentences(compare_case(LabelSet(same, MATRIX), REGIONS))
    assert first == "Without T1: the whole tumor would not have been found (20.0 mL)."
    assert second == (
        "Without T2 little would have changed: every volume by less than 5 %, overlap (Dice) at least 1.00."
    )


def test_what_a_missing_sequence_could_add_comes_from_the_model_card() -> None:
    found = compare_case(LabelSet(MAPS, MATRIX), REGIONS)
    metadata = tiny_metadata()
    plain = addition_sentences(found, metadata)
    assert [sentence[:24] for sentence in plain] == ["This patient has no T1ce", "This patient has no FLAI"]
    assert all("without expected accuracies" in sentence for sentence in plain)
    expected = {"T1+T2": {"WT": 0.7, "ET": 0.3}, "T1+T1ce+T2": {"WT": 0.72, "ET": 0.75}}
    known = replace(metadata, expected_dice=expected, expected_dice_source="50 simulated cases")
    assert addition_sentences(found, known)[0] == (
        "This patient has no T1ce. What it would add cannot be seen in images that lack it; on 50 simulated cases, "
        "adding it to T1+T2 changed the mean Dice of the model: whole tumor 0.70 to 0.72, enhancing tumor 0.30 to 0.75."
    )


def test_the_document_is_json_and_holds_the_same_numbers() -> None:
    found = compare_case(LabelSet(MAPS, MATRIX, rod(5)), REGIONS)
    document = json.loads(json.dumps(comparison_document(found), allow_nan=False))
    assert document["schema"] == 1
    assert document["base"] == "T1+T2"
    numbers = document["results"]["T1"]["regions"]["WT"]
    assert numbers["volume_ml"] == pytest.approx(5)
    assert numbers["to_base"] == {"dice": pytest.approx(2 / 3), "hd95_mm": pytest.approx(45.5), "empty": "none"}
    assert numbers["to_truth"]["dice"] == 1
    assert document["attribution"]["volume_ml"]["WT"]["shapley"] == pytest.approx({"t1": 1.5, "t2": 8.5})
    assert document["pairs"][0]["places"]["WT"][0]["kind"] == "only_a"
    assert document["summary"] == list(summary_sentences(found))


def test_the_numbers_need_no_torch() -> None:
    modules = "comparison_document", "comparison_sentences", "differences", "agreement", "surfaces", "attribution"
    imports = "; ".join(f"import DMAFTraining.inference.{name}" for name in modules)
    code = f"import sys; sys.modules['torch'] = None; sys.modules['SimpleITK'] = None; {imports}"
    subprocess.run([sys.executable, "-c", code], check=True)
