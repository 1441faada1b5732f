"""The comparison by mouse clicks: table, reference segmentation, plots, maps; and a scene saved and read."""

from __future__ import annotations

import csv

import pytest
import slicer
import vtk

from comparison_rig import column, document_of
from DMAFSegmentLib.attributes import (
    COMPARISON,
    REGIONS,
    SEQUENCES,
    TABLE,
    TRUTH,
    attribute,
    companion,
    our_segmentations,
)
from DMAFSegmentLib.comparison_maps import maps_of_run
from DMAFSegmentLib.run_folder import folder_of
from panel_rig import cells_of
from results_rig import contents, hierarchy, node_ids

PLOTS = 7498


def test_table_shows_the_numbers_of_the_worker(compare_panel, compare):
    compare()
    # Boxes of 10, 8 and 8 voxels a side, of 8 mm3 each: 8.000 and 4.096 mL; every face is one voxel, 2 mm, away, and
    # the corners are sqrt(12) mm away: fewer than 5 in 100. Dice 2 * 4.096 / 12.096.
    assert cells_of(compare_panel.ui.compareTable) == [
        ["T1+FLAIR", "8.0", "0.0", "0", "1.00", "0.0", "0.90"],
        ["FLAIR", "4.1", "-3.9", "-49", "0.68", "2.8", "0.85"],
        ["T1", "4.1", "-3.9", "-49", "0.68", "2.8", "-"],
    ]
    assert compare_panel.ui.numbersLabel.text.startswith(
        "Change, Dice and HD95 (mm) against T1+FLAIR; it need not be right."
    )
    assert "12 cases, no promise" in compare_panel.ui.numbersLabel.text


def test_sentences_are_those_of_the_worker(compare_panel, compare):
    node = compare()
    assert compare_panel.ui.sentencesLabel.visible
    bullets = [f"\N{BULLET} {sentence}" for sentence in document_of(node)["summary"]]
    assert compare_panel.ui.sentencesLabel.text.split("\n") == bullets
    assert "Without T1: the whole tumor would have been 3.9 mL (49 %) smaller" in compare_panel.ui.sentencesLabel.text


def test_another_region_by_the_list(compare_panel, compare):
    node = compare()
    compare_panel.ui.numbersRegionComboBox.currentIndex = 2
    numbers = document_of(node)["results"]["FLAIR"]["regions"]["ET"]
    row = cells_of(compare_panel.ui.compareTable)[1]
    assert [row[1], row[2], row[4]] == [
        f"{numbers['volume_ml']:.1f}",
        f"{numbers['change_ml']:.1f}",
        f"{numbers['to_base']['dice']:.2f}",
    ]


def test_one_subset_has_volumes_and_no_comparison(compare_panel, compare):
    node = compare(subsets="full")
    assert companion(slicer.mrmlScene, node, COMPARISON) is None
    assert cells_of(compare_panel.ui.compareTable) == [["T1+FLAIR", "8.0", "-", "-", "1.00", "-", "0.90"]]
    assert not compare_panel.ui.plotButton.checked
    assert not compare_panel.ui.sentencesLabel.visible
    assert not compare_panel.ui.agreementCheckBox.enabled
    assert "more subsets" in compare_panel.ui.agreementCheckBox.toolTip


def test_csv_has_every_number(host, compare_panel, compare, tmp_path):
    node = compare()
    host.dialogs.answer("QFileDialog.getSaveFileName", str(tmp_path / "numbers.csv"))
    host.click(compare_panel.ui.saveTableButton)
    with (tmp_path / "numbers.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["Sequences"]: row for row in csv.DictReader(stream)}
    for title, result in document_of(node)["results"].items():
        for name, numbers in result["regions"].items():
            row = rows[title]
            assert float(row[f"{name} change (mL)"]) == pytest.approx(numbers["change_ml"], rel=1e-5)
            assert float(row[f"{name} change (%)"]) == pytest.approx(numbers["change_percent"], rel=1e-5)
            assert float(row[f"{name} HD95 (mm)"]) == pytest.approx(numbers["to_base"]["hd95_mm"], rel=1e-5)
    assert [rows[title]["WT expected Dice"] for title in ("T1+FLAIR", "FLAIR", "T1")] == ["0.9", "0.85", ""]


def test_shapley_values_add_up_to_the_value_of_all(compare):
    node = compare()
    table = companion(slicer.mrmlScene, node, SEQUENCES)
    assert column(table, "Sequence") == ["T1", "FLAIR"]
    assert sum(column(table, "WT Shapley (mL)")) == pytest.approx(8.0)  # nothing has 0 mL
    assert sum(column(table, "WT Shapley (Dice)")) == pytest.approx(1.0)
    assert column(table, "WT without it (mL)") == pytest.approx([8 - 4.096] * 2)


@pytest.mark.parametrize(("name", "known"), [("Whole tumor", "WT"), ("ET", "ET"), ("enhancing TUMOR", "ET")])
def test_dice_and_distance_to_a_reference_segmentation(compare_panel, compare, reference, name, known):
    node = compare()
    compare_panel.ui.truthSelector.setCurrentNode(reference(name))
    document = document_of(node, TRUTH)
    assert list(document["regions"]) == [known]
    compare_panel.ui.numbersRegionComboBox.currentIndex = ["WT", "TC", "ET"].index(known)
    numbers = {title: row["regions"][known]["to_truth"] for title, row in document["results"].items()}
    for row in cells_of(compare_panel.ui.compareTable):
        assert row[4:6] == [f"{numbers[row[0]]['dice']:.2f}", f"{numbers[row[0]]['hd95_mm']:.1f}"]
    assert 'against "drawn by hand"' in compare_panel.ui.numbersLabel.text
    if known == "WT":  # the very box of one sequence, the fullest result being larger
        assert [row[4] for row in cells_of(compare_panel.ui.compareTable)] == ["0.68", "1.00", "1.00"]
        table = companion(slicer.mrmlScene, node, TABLE)
        assert column(table, "WT Dice to reference") == pytest.approx([0.6772, 1, 1], abs=1e-4)
        sequences = companion(slicer.mrmlScene, node, SEQUENCES)
        assert sum(column(sequences, "WT Shapley (Dice)")) == pytest.approx(0.6772, abs=1e-4)  # of all, to the box
        assert sum(column(sequences, "ET Shapley (Dice)")) == pytest.approx(1)  # of all, to itself


@pytest.mark.parametrize("regions", [False, True])
def test_own_result_as_the_reference_gives_the_numbers_of_the_worker(compare_panel, compare, regions):
    """By the names of its labels, and by those of its regions: what is to the reference is then to the fullest."""
    node = compare(*(["regionsCheckBox"] if regions else []))
    compare_panel.ui.truthSelector.setCurrentNode(companion(slicer.mrmlScene, node, REGIONS) if regions else node)
    worker, here = document_of(node), document_of(node, TRUTH)
    assert here["regions"] == worker["regions"]
    for title, result in worker["results"].items():
        for name, numbers in result["regions"].items():
            mine = here["results"][title]["regions"][name]
            assert mine["to_truth"] == mine["to_base"] == pytest.approx(numbers["to_base"])
            assert mine["volume_ml"] == pytest.approx(numbers["volume_ml"])


def test_segment_of_another_name_is_known_by_its_code(compare_panel, compare, reference):
    node, drawn = compare(), reference("Oedeem")
    segment, label = drawn.GetSegmentation().GetNthSegment(0), node.GetSegmentation().GetSegment("label_2")
    code = vtk.reference("")
    label.GetTag(label.GetTerminologyEntryTagName(), code)
    segment.SetTag(segment.GetTerminologyEntryTagName(), str(code))
    hand = reference("TC", 3)
    copied = hand.GetSegmentation().GetNthSegmentID(0)
    drawn.GetSegmentation().CopySegmentFromSegmentation(hand.GetSegmentation(), copied)
    compare_panel.ui.truthSelector.setCurrentNode(drawn)
    assert list(document_of(node, TRUTH)["regions"]) == ["TC"]  # edema alone makes no region


def test_without_the_reference_the_numbers_are_as_before(compare_panel, compare, reference):
    node = compare()
    before = cells_of(compare_panel.ui.compareTable)
    drawn = reference("WT")
    compare_panel.ui.truthSelector.setCurrentNode(drawn)
    assert cells_of(compare_panel.ui.compareTable) != before
    slicer.mrmlScene.RemoveNode(drawn)
    assert cells_of(compare_panel.ui.compareTable) == before
    assert companion(slicer.mrmlScene, node, TRUTH) is None


def test_reference_without_a_known_segment_is_refused(compare_panel, compare, reference, caplog):
    node = compare()
    before = cells_of(compare_panel.ui.compareTable)
    compare_panel.ui.truthSelector.setCurrentNode(reference("Segment_1"))
    assert "Rename its segments" in caplog.text
    assert cells_of(compare_panel.ui.compareTable) == before
    assert compare_panel.ui.truthSelector.currentNode() is None
    assert companion(slicer.mrmlScene, node, TRUTH) is None


def test_region_that_the_reference_lacks_is_compared_with_the_fullest(compare_panel, compare, reference):
    compare()
    compare_panel.ui.numbersRegionComboBox.currentIndex = 1
    before = cells_of(compare_panel.ui.compareTable)
    compare_panel.ui.truthSelector.setCurrentNode(reference("WT"))
    assert cells_of(compare_panel.ui.compareTable) == before
    assert "no segment for this region" in compare_panel.ui.numbersLabel.text


def test_plots_point_at_the_columns_of_the_region(host, compare_panel, compare):
    node = compare()
    layout = slicer.app.layoutManager().layout
    host.click(compare_panel.ui.plotButton)
    assert compare_panel.ui.plotButton.checked
    assert slicer.app.layoutManager().layout == PLOTS
    shown = []
    for number in range(1, 5):
        view = slicer.mrmlScene.GetSingletonNode(f"DMAFPlot{number}", "vtkMRMLPlotViewNode")
        chart = view.GetPlotChartNode()
        series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
        for each in series:
            assert each.GetTableNode().GetTable().GetColumnByName(each.GetYColumnName()) is not None
            assert each.GetTableNode().GetTable().GetColumnByName(each.GetLabelColumnName()) is not None
        shown.append([each.GetYColumnName() for each in series])
    assert shown == [
        ["WT (mL)"],
        ["Dice WT"],
        ["WT without it (mL)", "WT Shapley (mL)"],
        ["WT without it (Dice)", "WT Shapley (Dice)"],
    ]
    count = slicer.mrmlScene.GetNumberOfNodes()
    compare_panel.ui.numbersRegionComboBox.currentIndex = 2
    (series,) = [n for n in slicer.util.getNodesByClass("vtkMRMLPlotSeriesNode") if n.GetName() == "Volume"]
    assert series.GetYColumnName() == "ET (mL)"
    assert slicer.mrmlScene.GetNumberOfNodes() == count
    host.click(compare_panel.ui.plotButton)
    assert slicer.app.layoutManager().layout == layout
    assert "DMAF plot" in contents(slicer.mrmlScene, folder_of(slicer.mrmlScene, attribute(node, "Run")))


def test_grid_and_plots_take_turns(host, compare_panel, compare):
    compare()
    layout = slicer.app.layoutManager().layout
    host.click(compare_panel.ui.plotButton)
    host.click(compare_panel.ui.gridButton)
    assert not compare_panel.ui.plotButton.checked
    host.click(compare_panel.ui.plotButton)
    assert not compare_panel.ui.gridButton.checked
    slicer.app.layoutManager().setLayout(layout)
    host.process_events()
    assert not compare_panel.ui.plotButton.checked


def test_plot_button_says_why_not(compare_panel, compare):
    assert not compare_panel.ui.plotButton.enabled
    assert "at least two subsets" in compare_panel.ui.plotButton.toolTip


def test_removing_the_folder_removes_everything(host, compare_panel, compare, reference):
    drawn = reference("WT")
    hierarchy(slicer.mrmlScene)
    before, layout = node_ids(slicer.mrmlScene), slicer.app.layoutManager().layout
    node = compare("agreementCheckBox", "contributionCheckBox")
    compare_panel.ui.truthSelector.setCurrentNode(drawn)
    host.click(compare_panel.ui.plotButton)
    host.click(compare_panel.ui.mapButton)
    hierarchy(slicer.mrmlScene).RemoveItem(folder_of(slicer.mrmlScene, attribute(node, "Run")))
    host.process_events()
    left = {slicer.mrmlScene.GetNodeByID(identifier).GetName() for identifier in node_ids(slicer.mrmlScene) - before}
    assert left == set()
    assert slicer.app.layoutManager().layout == layout
    assert not compare_panel.ui.plotButton.checked
    assert not compare_panel.ui.mapButton.checked
    assert not compare_panel.ui.sentencesLabel.visible


def test_saved_scene_brings_table_sentences_and_maps_back(host, compare_panel, compare, reference, tmp_path):
    node = compare("agreementCheckBox", "contributionCheckBox")
    compare_panel.ui.truthSelector.setCurrentNode(reference("WT"))
    host.click(compare_panel.ui.mapButton)
    host.click(compare_panel.ui.plotButton)
    rows, sentences = cells_of(compare_panel.ui.compareTable), compare_panel.ui.sentencesLabel.text
    names = [volume.GetName() for volume in maps_of_run(slicer.mrmlScene, node)]
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.clear_scene()
    assert not compare_panel.ui.sentencesLabel.visible
    slicer.util.loadScene(path)
    host.process_events()
    compare_panel.ui.segmentationSelector.setCurrentNode(our_segmentations(slicer.mrmlScene)[0])
    assert cells_of(compare_panel.ui.compareTable) == rows
    assert compare_panel.ui.sentencesLabel.text == sentences
    assert compare_panel.ui.truthSelector.currentNode().GetName() == "drawn by hand"
    maps = maps_of_run(slicer.mrmlScene, our_segmentations(slicer.mrmlScene)[0])
    assert [volume.GetName() for volume in maps] == names
    assert maps[-1].GetDisplayNode().GetColorNode().GetColorName(3) == "3 of 3"
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert {view.GetForegroundVolumeID() for view in views} == {None}
    assert slicer.app.layoutManager().layout != PLOTS
    host.click(compare_panel.ui.plotButton)
    assert slicer.app.layoutManager().layout == PLOTS


def test_nothing_is_cut_off_in_a_narrow_panel(host, compare_panel, compare):
    compare("agreementCheckBox", "contributionCheckBox")
    host.click(compare_panel.ui.mapButton)
    compare_panel.parent.resize(400, 2500)
    host.process_events()
    assert compare_panel.parent.width == 400
    for name in ("agreementCheckBox", "contributionCheckBox", "plotButton", "mapButton"):
        widget = getattr(compare_panel.ui, name)
        assert widget.width >= widget.sizeHint().width(), f"{name} is cut off"
    table = compare_panel.ui.compareTable
    widths = [table.columnWidth(index) for index in range(table.columnCount)]
    assert sum(widths) <= table.viewport().width
    assert widths[0] >= table.fontMetrics().horizontalAdvance("T1+FLAIR")
