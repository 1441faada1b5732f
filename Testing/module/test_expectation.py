"""The line under the selectors: what exists, what is missing, what accuracy to expect."""

from __future__ import annotations

import dataclasses

import pytest

from DMAFSegmentLib.expectation import summary
from DMAFSegmentLib.sequences import explain
from DMAFTraining.modalities import BRATS, Modality

ALL = ["t1", "t1ce", "flair", "t2"]
TABLE = {
    "T1+T1ce+FLAIR+T2": {"WT": 0.91, "TC": 0.85, "ET": 0.80},
    "T1+FLAIR": {"WT": 0.844, "TC": 0.76, "ET": 0.31},
    "t2+flair": {"WT": 0.90, "TC": 0.84, "ET": 0.79},  # another order and spelling
    "T1": {"TC": 0.40},
    "CT": {"WT": 0.5},
}


@pytest.fixture
def measured(metadata):
    return dataclasses.replace(metadata, expected_dice=TABLE, expected_dice_source="simulated test cases")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["flair", "t1"], "T1 and FLAIR present; T1ce and T2 missing"),
        (["t2"], "T2 present; T1, T1ce and FLAIR missing"),
        (ALL, "All 4 sequences present: T1, T1ce, FLAIR and T2"),
    ],
)
def test_without_figures_it_says_so(metadata, names, text):
    assert summary(names, metadata) == f"{text}; expected accuracy unknown for this model."


def test_nothing_chosen(metadata):
    assert summary([], metadata) == "No sequence chosen yet. Any of T1, T1ce, FLAIR and T2 can be used."


def test_figures_name_their_source_and_the_region_that_suffers(measured):
    # WT loses 0.066 and TC 0.09, which is below 0.10; ET loses 0.49.
    assert summary(["t1", "flair"], measured) == (
        "T1 and FLAIR present; T1ce and T2 missing; expected whole tumor Dice 0.84 (simulated test cases). "
        "With all sequences the Dice of the enhancing tumor would be 0.80 in place of 0.31."
    )


def test_all_sequences_lose_nothing(measured):
    text = summary(ALL, measured)
    assert text.endswith("T1, T1ce, FLAIR and T2; expected whole tumor Dice 0.91 (simulated test cases).")


def test_table_may_spell_combinations_freely(measured):
    assert "Dice 0.90 (simulated" in summary(["flair", "t2"], measured)


def test_first_region_with_a_figure_is_shown(measured):
    assert "expected tumor core Dice 0.40" in summary(["t1"], measured)


def test_combination_without_figures(measured):
    assert summary(["t1ce"], measured).endswith("; expected accuracy unknown for this combination.")


def test_figures_without_a_source(metadata):
    assert summary(ALL, dataclasses.replace(metadata, expected_dice=TABLE)).endswith("whole tumor Dice 0.91.")


def test_abbreviations_keep_their_case(measured):
    regions = (dataclasses.replace(measured.regions[0], title="LV scar"),)
    assert "expected LV scar Dice" in summary(ALL, dataclasses.replace(measured, regions=regions))


def test_sequences_are_explained_by_any_of_their_names():
    assert explain(BRATS["flair"]).startswith("T2-weighted with suppressed fluid")
    assert explain(BRATS["flair"]).endswith("Also called t2f, t2flair, fla, t2wflair.")
    assert explain(Modality("mr4", "MR 4", ("lge",))).startswith("Late gadolinium enhancement")
    assert explain(Modality("adc", "ADC")) == ""
