"""Two results against each other by mouse clicks: views, difference, places, flicker, and a scene that changes."""

from __future__ import annotations

import pytest
import slicer

from DMAFSegmentLib.attributes import PREFIX, attribute
from DMAFSegmentLib.difference import COLORS
from DMAFSegmentLib.pair_view import TAG_A, TAG_B, TAG_THIRD
from DMAFSegmentLib.run_folder import folder_of
from panel_rig import assert_nothing_cut_off, cells_of
from results_rig import choose_subsets, contents, hierarchy
from views_rig import (  # noqa: F401 - fixtures
    MODEL_COLORS,
    PAIR,
    choose,
    color_of,
    panel_fixture,
    results_fixture,
    settings_of_display,
    settle,
    views,
)


def legend(*volumes):
    return [
        list(row) for row in zip(("Only in A (orange)", "Only in B (blue)", "In both (purple)"), volumes, strict=True)
    ]


def test_two_and_their_difference_by_clicks(rendering, panel, results):
    host, ui = rendering, panel.ui
    assert not ui.legendTable.visible
    assert not ui.regionComboBox.visible
    assert (ui.firstComboBox.currentText, ui.secondComboBox.currentText) == ("T1+FLAIR (all)", "FLAIR (without T1)")
    host.click(ui.pairButton)
    assert views(host) == PAIR
    # Whole tumor: cubes of 1000 and 512 voxels of 8 mm3, one inside the other.
    assert cells_of(ui.legendTable) == legend("3.90", "0.00", "4.10")
    panel.panel.results.pair.view.stage.jump((0, 0, 0))  # through the cores of both
    settle(host, panel)
    for tag in (TAG_A, TAG_B):
        assert min(color_of(host, tag, MODEL_COLORS).values()) > 0.005
        assert max(color_of(host, tag, COLORS).values()) < 0.003
    assert color_of(host, TAG_A, MODEL_COLORS)["core"] > 1.5 * color_of(host, TAG_B, MODEL_COLORS)["core"]
    panel.panel.results.pair.difference.overlay.node.GetDisplayNode().SetOpacity2DFill(1.0)
    found = color_of(host, TAG_THIRD, COLORS)
    assert found["only_a"] > 0.02
    assert found["only_b"] < 0.003
    assert color_of(host, TAG_THIRD, MODEL_COLORS)["core"] < 0.003


def test_region_and_places_by_hand(host, panel, results):
    ui = panel.ui
    host.click(ui.pairButton)
    # Tumor core: 512 and 216 voxels. Enhancing: 512 - 216 and 216 - 64, one a shell around the other.
    assert cells_of(ui.placesTable)[:2] == [["Only in A (orange)", "WT", "3.90"], ["Only in A (orange)", "TC", "2.37"]]
    assert ["Only in B (blue)", "ET", "1.22"] in cells_of(ui.placesTable)
    choose(ui.regionComboBox, 2)
    assert ui.regionComboBox.currentText == "Enhancing tumor (ET)"
    assert cells_of(ui.legendTable) == legend("2.37", "1.22", "0.00")


def test_a_click_on_a_place_goes_there_in_all_views(host, panel, results):
    ui = panel.ui
    host.click(ui.pairButton)
    row = cells_of(ui.placesTable).index(["Only in B (blue)", "ET", "1.22"])
    area = ui.placesTable.visualItemRect(ui.placesTable.item(row, 0))
    host.click_at(ui.placesTable.viewport(), area.center().x(), area.center().y())
    assert ui.regionComboBox.currentText == "Enhancing tumor (ET)"
    centers = []
    for tag in PAIR:
        matrix = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag}").GetSliceToRAS()
        centers.append([matrix.GetElement(axis, 3) for axis in range(3)])
    assert centers[0] == pytest.approx(centers[1])
    assert centers[0] == pytest.approx(centers[2])
    # Only B calls it enhancing: 6 voxels wide without the 4 inside, around voxel corner (12, 10, 8) at (0, 0, 0) mm.
    assert 4 <= max(abs(value) for value in centers[0]) <= 6
    places = panel.panel.results.pair.difference.places.payloads
    assert centers[0] == pytest.approx(places[row].center)


def test_flicker_swaps_in_one_view(rendering, panel, results):
    host, ui = rendering, panel.ui
    host.click(ui.pairButton)
    assert not ui.swapButton.enabled
    panel.panel.results.pair.view.stage.jump((0, 0, 0))  # through the cores of both
    settle(host, panel)
    host.click(ui.flickerButton)
    large = color_of(host, TAG_THIRD, MODEL_COLORS)["core"]
    assert large == pytest.approx(color_of(host, TAG_A, MODEL_COLORS)["core"], rel=0.05)
    host.click(ui.swapButton)
    small = color_of(host, TAG_THIRD, MODEL_COLORS)["core"]
    assert small == pytest.approx(color_of(host, TAG_B, MODEL_COLORS)["core"], rel=0.05)
    assert small < large
    host.click(ui.flickerButton)
    assert color_of(host, TAG_THIRD, MODEL_COLORS)["core"] < 0.003


def test_flicker_by_itself_ends_with_the_button(host, panel, results):
    ui, pair = panel.ui, panel.panel.results.pair
    host.click(ui.pairButton)
    host.click(ui.flickerButton)
    assert pair.view.turn == "a"
    host.click(ui.autoSwapCheckBox)
    assert host.process_events(until=lambda: pair.view.turn == "b", timeout=5)
    assert host.process_events(until=lambda: pair.view.turn == "a", timeout=5)
    host.click(ui.autoSwapCheckBox)
    assert not host.process_events(until=lambda: pair.view.turn == "b", timeout=1.0)


def test_other_results_can_be_chosen_meanwhile(host, panel, results):
    ui = panel.ui
    host.click(ui.pairButton)
    choose(ui.secondComboBox, 2)
    label = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{TAG_B}").GetLayoutLabel()
    assert label == "B: T1 (without FLAIR)"
    assert results[2].GetDisplayNode().GetViewNodeIDs() == (f"vtkMRMLSliceNode{TAG_B}",)
    assert not results[1].GetDisplayNode().GetVisibility()
    choose(ui.secondComboBox, 0)
    assert not ui.pairButton.checked
    assert not ui.pairButton.enabled
    assert "the same result" in ui.pairButton.toolTip
    choose(ui.firstComboBox, 1)
    assert ui.pairButton.enabled


def test_background_behind_each_is_its_own_or_the_chosen_one(host, panel, results):
    host.click(panel.ui.pairButton)
    t1, flair = (slicer.util.getNode(f"case_{name}") for name in ("t1", "flair"))

    def behind():
        nodes = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNode{tag}") for tag in PAIR]
        return [slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID()) for node in nodes]

    assert behind() == [t1, flair, t1]
    panel.ui.backgroundSelector.setCurrentNode(flair)
    assert behind() == [flair, flair, flair]


def test_grid_and_pair_replace_each_other(host, panel, results):
    ui, layout = panel.ui, slicer.app.layoutManager().layout
    host.click(ui.gridButton)
    host.click(ui.pairButton)
    assert not ui.gridButton.checked
    assert views(host) == PAIR
    host.click(ui.gridButton)
    assert not ui.pairButton.checked
    assert views(host) == ["DMAF1", "DMAF2", "DMAF3"]
    host.click(ui.gridButton)
    assert slicer.app.layoutManager().layout == layout


def test_one_result_cannot_be_compared(host, panel):
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: not panel.logic.running)
    assert not panel.ui.pairButton.enabled
    assert "at least two" in panel.ui.pairButton.toolTip


def test_the_difference_is_in_no_list_and_no_folder(host, panel, results):
    folder = folder_of(slicer.mrmlScene, attribute(results[0], "Run"))
    before, count = contents(slicer.mrmlScene, folder), hierarchy(slicer.mrmlScene).GetNumberOfItems()
    host.click(panel.ui.pairButton)
    assert contents(slicer.mrmlScene, folder) == before
    assert hierarchy(slicer.mrmlScene).GetNumberOfItems() == count
    node = panel.panel.results.pair.difference.overlay.node
    panel.ui.segmentationSelector.setCurrentNode(node)
    assert panel.ui.segmentationSelector.currentNode() is not node


# -- the scene changes meanwhile ------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["gridButton", "pairButton"])
def test_closing_the_scene_ends_them(host, panel, results, which):
    layout = slicer.app.layoutManager().layout
    host.click(getattr(panel.ui, which))
    host.clear_scene()
    assert slicer.app.layoutManager().layout == layout
    assert not getattr(panel.ui, which).checked
    assert not getattr(panel.ui, which).enabled
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


@pytest.mark.parametrize("which", ["gridButton", "pairButton"])
def test_closing_the_module_ends_them(host, panel, results, which):
    before = settings_of_display()
    host.click(getattr(panel.ui, which))
    host.close_module("DMAFSegment")
    assert settings_of_display() == before
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 3


def test_a_removed_result_ends_the_pair_and_leaves_no_overlay(host, panel, results):
    host.click(panel.ui.pairButton)
    slicer.mrmlScene.RemoveNode(results[1])
    assert host.process_events(until=lambda: not panel.ui.pairButton.checked, timeout=3)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 2
    assert panel.ui.secondComboBox.currentText == "T1 (without FLAIR)"


def test_removing_the_folder_ends_the_pair(host, panel, results):
    host.click(panel.ui.pairButton)
    hierarchy(slicer.mrmlScene).RemoveItem(folder_of(slicer.mrmlScene, attribute(results[0], "Run")))
    assert host.process_events(until=lambda: not panel.ui.pairButton.checked, timeout=3)
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []


def test_a_scene_saved_with_the_pair_on_opens_in_the_usual_views(host, panel, results, tmp_path):
    host.click(panel.ui.pairButton)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.clear_scene()
    slicer.util.loadScene(path)
    host.process_events()
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [node.GetAttribute(PREFIX + "Title") for node in nodes] == ["T1+FLAIR", "FLAIR", "T1"]
    assert not any(node.GetDisplayNode().GetViewNodeIDs() for node in nodes)
    assert [bool(node.GetDisplayNode().GetVisibility()) for node in nodes] == [True, False, False]
    assert not set(views(host)) & set(PAIR)
    panel.ui.segmentationSelector.setCurrentNode(nodes[0])
    host.click(panel.ui.pairButton)
    assert cells_of(panel.ui.legendTable)[0] == ["Only in A (orange)", "3.90"]


def test_another_layout_ends_the_pair(host, panel, results):
    host.click(panel.ui.pairButton)
    red = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    slicer.app.layoutManager().setLayout(red)
    assert not panel.ui.pairButton.checked
    assert slicer.app.layoutManager().layout == red
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 3


def test_nothing_is_cut_off_in_a_narrow_panel(host, panel, results):
    choose_subsets(panel, "picked")
    host.click(panel.ui.pairButton)
    names = (
        *("subsetsLabel", "enlargeButton", "surfaceButton", "orientationLabel", "zoomLabel", "pairButton"),
        *("regionLabel", "flickerButton", "swapButton", "autoSwapCheckBox"),
    )
    assert_nothing_cut_off(host, panel, names, height=1900)
