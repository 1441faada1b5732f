"""The CSV file, the rules for empty masks, and tables of means: exact texts and hand-computed numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from DMAFTraining.evaluation.case_scores import small_rule
from DMAFTraining.evaluation.empty_rule import EMPTY_RULES
from DMAFTraining.evaluation.scorebook import ScoreRow, read_scores, write_scores
from DMAFTraining.evaluation.summary import HEADLINES, MEASURES, SummaryTable, summarize
from DMAFTraining.modalities import BRATS

ROW = ScoreRow("m 1", "ab" * 32, "c1", "t1+flair", "ET", 0.5, 2.0, 3.25, 4.0, 1.5, 2.0, False, False, 0.01, 0.002, True)
FOUND_NOTHING = replace(
    ROW, dice=0.0, hd95_pooled=None, hd95=None, hd=None, predicted_ml=0.0, predicted_empty=True, case="c2"
)
NOTHING_THERE = replace(FOUND_NOTHING, dice=1.0, truth_ml=0.0, truth_empty=True, case="c3")
DICE, HD95 = HEADLINES


def test_the_file_is_exactly_this(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.csv", [ROW, replace(NOTHING_THERE, ece=None, brier=None)])
    sha256 = "ab" * 32
    assert (tmp_path / "scores.csv").read_text(encoding="utf-8") == (
        "model,model_sha256,case,subset,region,dice,hd95_pooled,hd95,hd,truth_ml,predicted_ml,"
        "truth_empty,predicted_empty,ece,brier,simulated_training\n"
        f"m 1,{sha256},c1,t1+flair,ET,0.500000,2.000000,3.250000,4.000000,1.500000,2.000000,0,0,0.010000,0.002000,1\n"
        f"m 1,{sha256},c3,t1+flair,ET,1.000000,,,,0.000000,0.000000,1,1,,,1\n"
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [ROW, FOUND_NOTHING, replace(NOTHING_THERE, ece=None), replace(ROW, model='with, comma and "marks"')]
    write_scores(tmp_path / "scores.csv", rows)
    assert read_scores(tmp_path / "scores.csv") == rows


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with pytest.raises(ValueError, match="cannot be read"):
        read_scores(path)
    for text in ("", "model,dice\na,1\n"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="does not have the columns"):
            read_scores(path)
    write_scores(path, [ROW])
    good = path.read_text(encoding="utf-8")
    for old, new in (("0.500000", "half"), (",0,0,", ",no,0,"), (",1\n", "\n")):
        path.write_text(good.replace(old, new), encoding="utf-8")
        with pytest.raises(ValueError, match="is damaged"):
            read_scores(path)


@pytest.mark.parametrize(("rule", "one", "both"), [("passion", 1.0, 0.0), ("brats", 373.13, 0.0)])
def test_rules_for_empty_masks(rule: str, one: float, both: float) -> None:
    for name in ("hd95_pooled", "hd95", "hd"):
        assert EMPTY_RULES[rule].apply(FOUND_NOTHING, name) == one
        assert EMPTY_RULES[rule].apply(NOTHING_THERE, name) == both
        assert EMPTY_RULES[rule].apply(ROW, name) == getattr(ROW, name)


def test_nan_leaves_empty_masks_out() -> None:
    rule = EMPTY_RULES["nan"]
    assert math.isnan(rule.apply(FOUND_NOTHING, "hd"))
    assert math.isnan(rule.apply(NOTHING_THERE, "hd"))
    assert rule.apply(ROW, "hd") == 4


def test_the_500_voxel_rule_begins_at_half_a_milliliter() -> None:
    at, below = small_rule(replace(ROW, predicted_ml=0.5)), small_rule(replace(ROW, predicted_ml=0.499))
    assert at == replace(ROW, region="ET-500", predicted_ml=0.5, ece=None, brier=None)
    nothing = {"predicted_ml": 0.0, "predicted_empty": True, "hd95_pooled": None, "hd95": None, "hd": None}
    assert below == replace(ROW, region="ET-500", dice=0.0, ece=None, brier=None, **nothing)
    without_truth = replace(ROW, predicted_ml=0.1, truth_ml=0.0, truth_empty=True, dice=0.0)
    assert small_rule(without_truth).dice == 1  # what was wrong is swept away, so both are empty


def table(measure: int, rule: str) -> SummaryTable:
    """Three cases with one subset, one of them with another subset too; the third subset exists nowhere."""
    rows = [ROW, FOUND_NOTHING, NOTHING_THERE, replace(ROW, subset="t1", dice=0.9, hd95_pooled=6.0)]
    return summarize(
        rows, [BRATS.parse(text) for text in ("T1", "FLAIR", "T1+FLAIR")], MEASURES[measure], EMPTY_RULES[rule]
    )


@pytest.mark.parametrize(
    ("rule", "both_sequences", "mean"),
    [("passion", (2 + 1 + 0) / 3, 3.5), ("brats", (2 + 373.13 + 0) / 3, 65.521667), ("nan", 2.0, 4.0)],
)
def test_means_are_over_cases_then_over_subsets(rule: str, both_sequences: float, mean: float) -> None:
    found = table(MEASURES.index(HD95), rule)
    assert [(subset, cases) for subset, cases, _ in found.rows] == [("T1", 1), ("T1+FLAIR", 3)]
    assert [values for _, _, values in found.rows] == [(6.0,), (pytest.approx(both_sequences),)]
    assert found.mean == (pytest.approx(mean),)
    dice = table(MEASURES.index(DICE), rule)
    assert [values for _, _, values in dice.rows] == [(90.0,), (pytest.approx(50.0),)]
    assert dice.mean == (pytest.approx(70.0),)


def test_empty_masks_are_counted() -> None:
    truths, predictions, undefined = (table(number, "nan") for number in (-3, -2, -1))
    assert [values for _, _, values in truths.rows] == [(0,), (1,)]
    assert [values for _, _, values in predictions.rows] == [(0,), (2,)]
    assert [values for _, _, values in undefined.rows] == [(0,), (2,)]


def test_tables_as_text_and_markdown() -> None:
    rows, order = [ROW, replace(ROW, region="ET-500", hd95_pooled=None)], [BRATS.parse("T1+FLAIR")]
    found = summarize(rows, order, HD95, EMPTY_RULES["nan"])
    assert found.as_text() == (
        "HD95 of both directions pooled, mm\n"
        "Sequences  Cases    ET  ET-500\n"
        "T1+FLAIR       1  2.00       -\n"
        "Mean              2.00       -"
    )
    assert found.as_markdown() == (
        "**HD95 of both directions pooled, mm**\n\n"
        "| Sequences | Cases | ET | ET-500 |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| T1+FLAIR | 1 | 2.00 | - |\n"
        "| Mean |  | 2.00 | - |"
    )
