"""Pictures of the worst results: which ones, and that the picture shows what was wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from DMAFTraining.data.readers import find_cohort
from DMAFTraining.evaluation.case_scores import read_evaluation_case, score_case
from DMAFTraining.evaluation.cohort import dataset_of
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.worst import Worst, draw_worst, worst_results
from DMAFTraining.inference.segmenter import Segmenter
from tiny import write_tiny_bundle
from tiny_cohort import write_tiny_cohort

FULL = "t1+t1ce+flair+t2"


def _row(case: str, subset: str, region: str, dice: float) -> ScoreRow:
    return ScoreRow(
        "model 1", "0" * 64, case, subset, region, dice, None, None, None, 1.0, 1.0, False, False, None, None, True
    )


def test_the_least_mean_comes_first_and_no_case_or_subset_twice() -> None:
    dice = {
        ("a", "t1"): (0.1, 0.0),
        ("a", "t2"): (0.2, 0.1),  # its case is shown already
        ("b", "t1"): (0.2, 0.2),  # its subset is
        ("b", "t2"): (0.8, 0.0),
        ("c", "t1+t2"): (0.9, 0.7),
        ("c", "t2"): (0.4, 0.3),
    }
    rows = [_row(*key, region, value) for key, pair in dice.items() for region, value in zip("WE", pair, strict=True)]
    found = worst_results(rows, 3)
    assert [(result.case, result.subset) for result in found] == [("a", "t1"), ("c", "t2")]
    assert found[0] == Worst("a", "t1", {"W": 0.1, "E": 0.0})
    assert found[1].mean == pytest.approx(0.35)
    assert [result.stem for result in worst_results(rows, 1)] == ["a-t1"]


def test_the_picture_has_the_given_sequences_truth_and_result(tmp_path: Path) -> None:
    write_tiny_cohort(tmp_path / "cases", 1)
    segmenter = Segmenter(write_tiny_bundle(tmp_path / "model.safetensors"), "cpu", "fp32")
    spec = dataset_of(segmenter.metadata)
    case = read_evaluation_case(find_cohort(tmp_path / "cases", spec).cases[0], spec)
    subset = segmenter.metadata.modalities.parse("t1+flair")
    [result] = worst_results(score_case(segmenter, case, [subset]).rows, 1)
    ball = np.zeros_like(case.labels)
    ball[10:26, 10:26, :] = 2  # in every slice
    edema = next(label.color for label in segmenter.metadata.labels if label.value == 2)
    cells = {}
    for name, labels, subset in (("truth", ball, "t1+flair"), ("none", 0 * ball, "t1+flair"), ("all", ball, FULL)):
        path = tmp_path / f"{name}.png"
        draw_worst(segmenter, replace(case, labels=labels), replace(result, subset=subset), path)
        cells[name] = _cells(path)
    assert _count(cells["truth"][4], edema) > 100  # the outline of the truth
    assert _count(cells["none"][4], edema) == 0
    ground = (17, 20, 24)
    absent = {name: [_count(cell, ground) > cell[..., 0].size / 2 for cell in cells[name][:4]] for name in cells}
    assert absent["truth"] == [False, True, False, True]  # T1ce and T2 were not given
    assert absent["all"] == [False] * 4


def _cells(path: Path) -> list[np.ndarray]:
    """The six pictures of a row, with the margins of the layout."""
    pixels = np.rint(255 * matplotlib.image.imread(path)[..., :3]).astype(np.uint8)
    width = (pixels.shape[1] - 2 * 32 - 5 * 14) // 6
    lefts = [32 + number * (width + 14) for number in range(6)]
    return [pixels[62 : 62 + width, left : left + width] for left in lefts]


def _count(pixels: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((pixels == np.array(color, np.uint8)).all(axis=2).sum())
