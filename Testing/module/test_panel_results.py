"""The results part of the panel by mouse clicks: display, export, replacement, and a scene saved and read."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import ENTROPY, REGIONS, TABLE, attribute, companion, our_segmentations
from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.run_folder import folder_of
from panel_rig import assert_nothing_cut_off, cells_of, opened_panel
from results_rig import choose_subsets, contents, hierarchy, node_ids


@pytest.fixture
def panel(host, bundle, worker_command, new_volume, monkeypatch):
    """The open panel with T1 and FLAIR in the scene, and a stand-in worker."""
    worker = Worker(worker_command("normal"))
    with opened_panel(host, bundle.parent, worker, new_volume, monkeypatch) as widget:
        yield widget


@pytest.fixture
def segment(host, panel):
    """Ticks the named boxes, presses Apply and waits; gives the chosen segmentation."""

    def run(*boxes, worker=None, subsets="full"):
        choose_subsets(panel, subsets)
        for name in boxes:
            host.click(getattr(panel.ui, name))
        if worker is not None:
            panel.logic.worker = worker
        host.click(panel.ui.applyButton)
        assert host.process_events(until=lambda: not panel.logic.running)
        host.process_events()
        return panel.ui.segmentationSelector.currentNode()

    return run


def click_heading(host, table, column):
    header = table.horizontalHeader()
    host.click_at(header.viewport(), header.sectionViewportPosition(column) + 10, header.height // 2)


def composites():
    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")


def test_without_a_result_everything_is_out_of_reach(panel):
    for name in (
        *("visibleCheckBox", "lesionButton", "opacitySlider", "uncertaintyButton"),
        *("copyTableButton", "saveTableButton", "dicomButton", "detailsButton"),
    ):
        assert not getattr(panel.ui, name).enabled, name
    assert "Choose a segmentation" in panel.ui.dicomButton.toolTip
    assert not panel.ui.detailsText.visible
    assert not panel.ui.uncertaintyLabel.visible


def test_regions_and_uncertainty_come_only_when_asked_for(host, panel, segment):
    node = segment()
    assert companion(slicer.mrmlScene, node, REGIONS) is None
    assert companion(slicer.mrmlScene, node, ENTROPY) is None
    assert not panel.ui.uncertaintyButton.enabled
    assert "before Apply" in panel.ui.uncertaintyButton.toolTip
    node = segment("regionsCheckBox", "uncertaintyCheckBox")
    folder = folder_of(slicer.mrmlScene, attribute(node, "Run"))
    assert sorted(name.removesuffix("_1") for name in contents(slicer.mrmlScene, folder)) == [
        *("DMAF T1+FLAIR", "DMAF T1+FLAIR regions", "DMAF T1+FLAIR uncertainty", "DMAF details", "DMAF volumes"),
    ]


def test_chosen_regions_are_listed_with_their_volumes(host, panel, segment):
    node = segment("regionsCheckBox")
    volumes = {row[0]: row[1] for row in cells_of(panel.ui.volumesTable)[3:]}
    panel.ui.segmentationSelector.setCurrentNode(companion(slicer.mrmlScene, node, REGIONS))
    assert {row[0]: row[1] for row in cells_of(panel.ui.volumesTable)} == volumes
    assert len(cells_of(panel.ui.compareTable)) == 1


def test_visible_box_and_segment_boxes(host, panel, segment):
    display = segment().GetDisplayNode()
    assert panel.ui.visibleCheckBox.checked
    host.click(panel.ui.visibleCheckBox)
    assert not display.GetVisibility()
    table = panel.ui.volumesTable
    area = table.visualItemRect(table.item(1, 0))
    host.click_at(table.viewport(), area.left() + 10, area.center().y())
    assert [display.GetSegmentVisibility(f"label_{value}") for value in (1, 2, 3)] == [True, False, True]


def test_opacity_and_outline_act_on_the_whole_run(host, panel, segment):
    segment(subsets="all")
    panel.ui.opacitySlider.value = 20
    host.click(panel.ui.outlineCheckBox)
    for node in our_segmentations(slicer.mrmlScene):
        assert node.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.2)
        assert not node.GetDisplayNode().GetVisibility2DFill()


def test_lesion_button_centers_the_views(host, panel, segment):
    segment()
    red = slicer.app.applicationLogic().GetSliceLogicByLayoutName("Red").GetSliceNode()
    red.SetSliceOffset(11.0)
    host.click(panel.ui.lesionButton)
    # The mean of the box is voxel (11.5, 9.5, 7.5), at (1, 1, -1) mm; the nearest voxels are 1 mm away on each axis.
    assert [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx([1, 1, -1], abs=1.01)


def test_uncertainty_is_one_click_and_one_click_back(host, panel, segment):
    node = segment("uncertaintyCheckBox")
    volume = companion(slicer.mrmlScene, node, ENTROPY)
    assert {view.GetForegroundVolumeID() for view in composites()} == {None}
    host.click(panel.ui.uncertaintyButton)
    assert {view.GetForegroundVolumeID() for view in composites()} == {volume.GetID()}
    assert panel.ui.uncertaintyLabel.visible
    assert "can still be wrong" in panel.ui.uncertaintyLabel.text
    host.click(panel.ui.uncertaintyButton)
    assert {view.GetForegroundVolumeID() for view in composites()} == {None}
    assert not panel.ui.uncertaintyLabel.visible


def test_uncertain_voxels_are_colored_and_the_rest_stays(rendering, panel, segment):
    host, node = rendering, segment("uncertaintyCheckBox")
    host.click(panel.ui.visibleCheckBox)  # only the images
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("case_t1"), fit=True)
    before = host.render_layout((600, 400)).astype(int)
    host.click(panel.ui.uncertaintyButton)
    changed = np.abs(host.render_layout((600, 400)).astype(int) - before).max(axis=-1) > 20
    assert 0.002 < changed.mean() < 0.3, "the boxes fill a part of the views"
    host.click(panel.ui.uncertaintyButton)
    assert np.array_equal(host.render_layout((600, 400)), before)
    assert companion(slicer.mrmlScene, node, ENTROPY) is not None


def test_in_the_grid_each_view_has_the_uncertainty_of_its_own_subset(host, panel, segment):
    segment("uncertaintyCheckBox", subsets="all")
    host.click(panel.ui.uncertaintyButton)
    host.click(panel.ui.gridButton)
    views = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNodeDMAF{i}") for i in (1, 2, 3)]
    over = [slicer.mrmlScene.GetNodeByID(view.GetForegroundVolumeID()) for view in views]
    assert [attribute(volume, "Title") for volume in over] == ["T1+FLAIR", "FLAIR", "T1"]


def test_columns_can_be_sorted_and_rows_still_choose(host, panel, segment):
    segment(subsets="all")
    table = panel.ui.compareTable
    assert [row[0] for row in cells_of(table)] == ["T1+FLAIR", "FLAIR", "T1"]
    click_heading(host, table, 0)
    assert [row[0] for row in cells_of(table)] == ["FLAIR", "T1", "T1+FLAIR"]
    click_heading(host, table, 1)
    assert [row[1] for row in cells_of(table)] == ["4.1", "4.1", "8.0"]
    click_heading(host, table, 1)
    assert [row[1] for row in cells_of(table)] == ["8.0", "4.1", "4.1"]
    table.cellClicked.emit(0, 0)
    assert attribute(panel.ui.segmentationSelector.currentNode(), "Title") == "T1+FLAIR"


def test_numbers_are_sorted_as_numbers(host, panel, segment):
    segment()
    click_heading(host, panel.ui.volumesTable, 1)
    values = [float(row[1]) for row in cells_of(panel.ui.volumesTable)]
    assert values == sorted(values)


def test_table_is_copied_and_saved(host, panel, segment, tmp_path):
    segment(subsets="all")
    host.click(panel.ui.copyTableButton)
    lines = host.clipboard().splitlines()
    assert lines[0].split("\t")[:2] == ["Sequences", "Necrotic core (mL)"]
    assert [line.split("\t")[0] for line in lines[1:]] == ["T1+FLAIR", "FLAIR", "T1"]
    host.dialogs.answer("QFileDialog.getSaveFileName", str(tmp_path / "volumes"))
    host.click(panel.ui.saveTableButton)
    with (tmp_path / "volumes.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["WT (mL)"]) for row in rows] == pytest.approx([8.0, 4.096, 4.096])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_canceled_question_and_bad_folder_save_nothing(host, panel, segment, tmp_path, caplog):
    segment()
    host.click(panel.ui.saveTableButton)
    host.dialogs.answer("QFileDialog.getSaveFileName", str(tmp_path / "missing" / "volumes.csv"))
    host.click(panel.ui.saveTableButton)
    assert "Choose another folder" in caplog.text
    assert not (tmp_path / "missing").exists()


def test_details_show_the_record(host, panel, segment):
    node = segment()
    host.click(panel.ui.detailsButton)
    assert panel.ui.detailsText.visible
    text = panel.ui.detailsText.plainText
    assert text.startswith("Research use only.")
    assert "Input t1: case_t1" in text
    assert json.loads(text[text.index("{") :]) == json.loads(attribute(node, "Provenance"))
    (details,) = slicer.util.getNodesByClass("vtkMRMLTextNode")
    assert json.loads(details.GetText()) == json.loads(attribute(node, "Provenance"))


def test_replacing_keeps_one_folder_and_a_failure_keeps_the_old(host, panel, segment, worker_command):
    first = attribute(segment(), "Run")
    second = attribute(segment("replaceCheckBox"), "Run")
    assert not folder_of(slicer.mrmlScene, first)
    assert len(our_segmentations(slicer.mrmlScene)) == 1
    segment(worker=Worker(worker_command("error")))
    assert folder_of(slicer.mrmlScene, second)
    assert len(our_segmentations(slicer.mrmlScene)) == 1


def test_removing_the_folder_undoes_the_run(host, panel, segment):
    hierarchy(slicer.mrmlScene)
    before = node_ids(slicer.mrmlScene)
    node = segment("regionsCheckBox", "uncertaintyCheckBox", subsets="all")
    host.click(panel.ui.uncertaintyButton)
    hierarchy(slicer.mrmlScene).RemoveItem(folder_of(slicer.mrmlScene, attribute(node, "Run")))
    host.process_events()
    assert node_ids(slicer.mrmlScene) == before
    assert panel.ui.segmentationSelector.currentNode() is None
    assert {view.GetForegroundVolumeID() for view in composites()} == {None}
    assert not panel.ui.uncertaintyButton.checked
    assert not panel.ui.compareTable.visible


def test_removing_the_folder_ends_the_grid(host, panel, segment):
    node = segment(subsets="all")
    layout = slicer.app.layoutManager().layout
    host.click(panel.ui.gridButton)
    hierarchy(slicer.mrmlScene).RemoveItem(folder_of(slicer.mrmlScene, attribute(node, "Run")))
    assert host.process_events(until=lambda: not panel.ui.gridButton.checked, timeout=3)
    assert slicer.app.layoutManager().layout == layout
    assert not panel.ui.gridButton.enabled


@pytest.mark.parametrize("with_grid", [False, True])
def test_saved_scene_brings_everything_back(host, panel, segment, tmp_path, with_grid):
    node = segment("regionsCheckBox", "uncertaintyCheckBox", "replaceCheckBox", subsets="all")
    folder = folder_of(slicer.mrmlScene, attribute(node, "Run"))
    names, rows = contents(slicer.mrmlScene, folder), cells_of(panel.ui.compareTable)
    attributes = {key: node.GetAttribute(key) for key in node.GetAttributeNames()}
    if with_grid:
        host.click(panel.ui.gridButton)
        host.click(panel.ui.uncertaintyButton)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.clear_scene()
    slicer.util.loadScene(path)
    host.process_events()
    node = our_segmentations(slicer.mrmlScene)[0]
    assert {key: node.GetAttribute(key) for key in node.GetAttributeNames()} == attributes
    folder = folder_of(slicer.mrmlScene, attribute(node, "Run"))
    assert contents(slicer.mrmlScene, folder) == names
    assert companion(slicer.mrmlScene, node, TABLE).GetTable().GetNumberOfRows() == 3
    assert [bool(n.GetDisplayNode().GetVisibility()) for n in our_segmentations(slicer.mrmlScene)] == [1, 0, 0]
    assert not any(n.GetDisplayNode().GetViewNodeIDs() for n in our_segmentations(slicer.mrmlScene))
    panel.ui.segmentationSelector.setCurrentNode(node)
    assert cells_of(panel.ui.compareTable) == rows
    assert panel.ui.regionsCheckBox.checked
    assert panel.ui.uncertaintyCheckBox.checked
    assert panel.ui.uncertaintyButton.enabled
    assert {view.GetForegroundVolumeID() for view in composites()} == {None}
    host.click(panel.ui.gridButton)
    assert [name for name in host.layout_cells() if name.startswith("DMAF")] == ["DMAF1", "DMAF2", "DMAF3"]
    host.click(panel.ui.gridButton)
    hierarchy(slicer.mrmlScene).RemoveItem(folder)
    assert our_segmentations(slicer.mrmlScene) == []


def test_nothing_is_cut_off_in_a_narrow_panel(host, panel, segment):
    segment("uncertaintyCheckBox", subsets="all")
    host.click(panel.ui.detailsButton)
    names = (
        *("regionsCheckBox", "uncertaintyCheckBox", "replaceCheckBox", "visibleCheckBox", "lesionButton"),
        *("uncertaintyButton", "copyTableButton", "saveTableButton", "dicomButton", "detailsButton"),
    )
    assert_nothing_cut_off(host, panel, names, height=1500)


def test_export_button_says_why_not(host, panel, segment):
    segment()
    assert not panel.ui.dicomButton.enabled
    assert "cannot write DICOM SEG" in panel.ui.dicomButton.toolTip
