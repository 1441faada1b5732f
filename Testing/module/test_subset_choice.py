"""Which subsets a run segments: the choice itself, and the control that makes it, by clicks."""

from __future__ import annotations

from pathlib import Path

import pytest
import slicer
from hypothesis import given
from hypothesis import strategies as st

from DMAFSegmentLib import models
from DMAFSegmentLib.attributes import attribute, our_segmentations
from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.subset_choice import MODES, PICKED, SubsetChoice, every_subset
from results_rig import choose_subsets

MODULE_FILE = Path(__file__).resolve().parents[2] / "DMAFSegment" / "DMAFSegment.py"
NAMES = ["a", "b", "c"]


def words(subsets):
    return ["".join(names) for names in subsets]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (SubsetChoice("full"), "abc"),
        (SubsetChoice("all"), "abc ab ac bc a b c"),
        (SubsetChoice("leave-one-out"), "abc ab ac bc"),
        (SubsetChoice("single"), "abc a b c"),
        (SubsetChoice("size", 2), "abc ab ac bc"),
        (SubsetChoice("size", 1), "abc a b c"),
        (SubsetChoice("size", 7), "abc"),
        (SubsetChoice("picked", 2, (("b",), ("a", "c"), ("a", "x"))), "ac b"),
        (SubsetChoice("picked"), ""),
    ],
)
def test_what_is_segmented(choice, expected):
    assert words(choice.subsets(NAMES)) == expected.split()


def test_one_sequence_leaves_one_subset():
    for mode in set(MODES) - {PICKED}:
        assert SubsetChoice(mode).subsets(["a"]) == [("a",)], mode


@given(st.sampled_from(MODES), st.integers(1, 9), st.integers(1, 5), st.data())
def test_every_choice_is_some_subsets_fullest_first_and_can_be_kept(mode, size, count, data):
    names = list("abcde"[:count])
    picked = tuple(data.draw(st.lists(st.sampled_from(every_subset(names)), unique=True)))
    choice = SubsetChoice(mode, size, picked)
    found = choice.subsets(names)
    assert set(found) <= set(every_subset(names))
    assert len(set(found)) == len(found)
    assert [len(subset) for subset in found] == sorted(map(len, found), reverse=True)
    assert SubsetChoice.read(choice.write()) == choice


@pytest.mark.parametrize(
    "text",
    [
        *("", "all", "[]", '{"mode": "all"}', '{"mode": "most", "size": 2, "picked": []}'),
        *('{"mode": "all", "size": 0, "picked": []}', '{"mode": "all", "size": true, "picked": []}'),
        *('{"mode": "all", "size": 2, "picked": [1]}', '{"mode": "all", "size": 2, "picked": [[1]]}'),
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - json's own sentence, or ours
        SubsetChoice.read(text)


# -- the control -------------------------------------------------------------------------------------


@pytest.fixture
def panel(host, bundle, worker_command, new_volume, monkeypatch):
    """The open panel with three sequences in the scene."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    host.load_module(MODULE_FILE)
    for name in ("case_t1", "case_flair", "case_t2"):
        new_volume(name)
    widget = host.open_module("DMAFSegment")
    widget.logic.worker = Worker(worker_command("normal"))
    yield widget
    host.close_module("DMAFSegment")


def run(host, panel):
    """Press Apply and wait; the titles of the results in the order of their arrival."""
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: not panel.logic.running)
    return [attribute(node, "Title") for node in our_segmentations(slicer.mrmlScene)]


def tick(host, table, row):
    area = table.visualItemRect(table.item(row, 0))
    host.click_at(table.viewport(), area.left() + 10, area.center().y())


@pytest.mark.parametrize(
    ("mode", "text", "titles"),
    [
        ("full", "Apply", "T1+FLAIR+T2"),
        ("leave-one-out", "Apply (4 subsets)", "T1+FLAIR+T2 T1+FLAIR T1+T2 FLAIR+T2"),
        ("single", "Apply (4 subsets)", "T1+FLAIR+T2 T1 FLAIR T2"),
        ("size", "Apply (4 subsets)", "T1+FLAIR+T2 T1+FLAIR T1+T2 FLAIR+T2"),
    ],
)
def test_apply_says_how_many_and_runs_them_in_one_job(host, panel, mode, text, titles):
    choose_subsets(panel, mode)
    assert panel.ui.applyButton.text == text
    assert run(host, panel) == titles.split()
    assert len({attribute(node, "Run") for node in our_segmentations(slicer.mrmlScene)}) == 1


def test_the_number_and_the_list_come_only_when_they_count(panel):
    parts = {}
    for mode in MODES:
        choose_subsets(panel, mode)
        parts[mode] = (panel.ui.subsetSizeSpinBox.visible, panel.ui.subsetsTable.visible)
    assert parts.pop("size") == (True, False)
    assert parts.pop("picked") == (False, True)
    assert set(parts.values()) == {(False, False)}


def test_picked_subsets_are_run(host, panel):
    choose_subsets(panel, "picked")
    table = panel.ui.subsetsTable
    rows = [[table.item(r, c).text() for c in (0, 1)] for r in range(table.rowCount)]
    assert rows == [
        ["T1+FLAIR+T2", ""],
        ["T1+FLAIR", "without T2"],
        ["T1+T2", "without FLAIR"],
        ["FLAIR+T2", "without T1"],
        ["T1", "without FLAIR, T2"],
        ["FLAIR", "without T1, T2"],
        ["T2", "without T1, FLAIR"],
    ]
    assert not panel.ui.applyButton.enabled
    assert "Tick at least one subset" in panel.ui.applyButton.toolTip
    tick(host, table, 5)
    assert panel.ui.applyButton.text == "Apply"
    tick(host, table, 2)
    assert panel.ui.applyButton.text == "Apply (2 subsets)"
    assert run(host, panel) == ["T1+T2", "FLAIR"]


def test_picks_wait_for_a_sequence_that_comes_back(host, panel):
    choose_subsets(panel, "picked")
    tick(host, panel.ui.subsetsTable, 2)
    tick(host, panel.ui.subsetsTable, 5)
    selector = panel.panel.selectors.combos["t2"]
    volume = selector.currentNode()
    selector.setCurrentNode(None)
    assert panel.ui.applyButton.text == "Apply"
    assert panel.ui.subsetsTable.rowCount == 3
    selector.setCurrentNode(volume)
    assert panel.ui.applyButton.text == "Apply (2 subsets)"


def test_the_choice_rests_while_a_run_goes_on(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("slow"))
    choose_subsets(panel, "single")
    host.click(panel.ui.applyButton)
    assert not panel.ui.subsetsComboBox.enabled
    assert host.process_events(until=lambda: not panel.logic.running)
    assert panel.ui.subsetsComboBox.enabled
