"""The comparison grid by mouse clicks, and that everything is as before when grid or pair are left."""

from __future__ import annotations

import pytest
import slicer

from DMAFSegmentLib.attributes import our_segmentations
from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.surface_view import SURFACE_TAG
from results_rig import choose_subsets, hierarchy, node_ids
from views_rig import (  # noqa: F401 - fixtures
    MODEL_COLORS,
    choose,
    color_of,
    panel_fixture,
    results_fixture,
    settings_of_display,
    settle,
    views,
)


def test_one_result_alone_follows_the_chosen_row(rendering, panel, results):
    host, ui = rendering, panel.ui
    assert not ui.enlargeButton.enabled
    host.click(ui.gridButton)
    host.click(ui.enlargeButton)
    assert views(host) == ["DMAF1"]
    ui.compareTable.cellClicked.emit(2, 0)
    assert views(host) == ["DMAF3"]
    settle(host, panel)
    assert color_of(host, "DMAF3", MODEL_COLORS)["core"] > 0.005
    host.click(ui.enlargeButton)
    assert views(host) == ["DMAF1", "DMAF2", "DMAF3"]
    host.click(ui.enlargeButton)
    host.click(ui.gridButton)
    assert not ui.enlargeButton.checked
    assert not ui.enlargeButton.enabled


def test_3d_on_demand_follows_the_chosen_row(host, panel, results):
    host.click(panel.ui.gridButton)
    host.click(panel.ui.surfaceButton)
    assert views(host) == ["DMAF1", "DMAF2", "DMAF3", SURFACE_TAG]
    space = f"vtkMRMLViewNode{SURFACE_TAG}"
    assert [node.GetDisplayNode().IsDisplayableInView(space) for node in results] == [True, False, False]
    panel.ui.compareTable.cellClicked.emit(1, 0)
    assert [node.GetDisplayNode().IsDisplayableInView(space) for node in results] == [False, True, False]
    host.click(panel.ui.surfaceButton)
    assert views(host) == ["DMAF1", "DMAF2", "DMAF3"]
    assert not any(node.GetSegmentation().ContainsRepresentation("Closed surface") for node in results)


def test_plane_and_zoom_hold_for_every_view(rendering, panel, results):
    host, ui = rendering, panel.ui
    host.click(ui.gridButton)
    whole = color_of(host, "DMAF2", MODEL_COLORS)["edema"]
    choose(ui.zoomComboBox, 1)
    assert color_of(host, "DMAF2", MODEL_COLORS)["edema"] > 1.5 * whole
    for index, axis in ((1, 0), (2, 1), (0, 2)):
        choose(ui.orientationComboBox, index)
        nodes = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNodeDMAF{i}") for i in (1, 2, 3)]
        assert all(abs(node.GetSliceToRAS().GetElement(axis, 2)) == 1 for node in nodes)


def test_results_join_the_grid_as_they_arrive(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("slow"))
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: panel.logic.segmentations)
    host.click(panel.ui.gridButton)
    assert len(views(host)) < 3
    assert host.process_events(until=lambda: not panel.logic.running)
    assert views(host) == ["DMAF1", "DMAF2", "DMAF3"]
    shown = [node.GetDisplayNode().GetViewNodeIDs() for node in our_segmentations(slicer.mrmlScene)]
    assert shown == [(f"vtkMRMLSliceNodeDMAF{i}",) for i in (1, 2, 3)]


@pytest.mark.parametrize("which", ["gridButton", "pairButton"])
def test_leaving_brings_every_display_setting_back(host, panel, results, new_volume, which):
    scene = slicer.mrmlScene
    foreign = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by hand")
    foreign.CreateDefaultDisplayNodes()
    results[1].GetDisplayNode().AddViewNodeID("vtkMRMLSliceNodeGreen")
    results[2].GetDisplayNode().SetVisibility3D(False)
    slicer.util.setSliceViewerLayers(background=slicer.util.getNode("case_flair"), fit=True)
    hierarchy(scene)
    before, nodes = settings_of_display(), node_ids(scene)
    ui = panel.ui
    host.click(getattr(ui, which))
    assert settings_of_display() != before
    choose(ui.orientationComboBox, 1)
    choose(ui.zoomComboBox, 1)
    if which == "gridButton":
        host.click(ui.surfaceButton)
        host.click(ui.enlargeButton)
    else:
        host.click(ui.flickerButton)
        host.click(ui.swapButton)
    host.click(getattr(ui, which))
    assert settings_of_display() == before
    left = {scene.GetNodeByID(identifier).GetClassName() for identifier in node_ids(scene) - nodes}
    # What Slicer keeps of every slice view that was ever shown: its plane for 3-D views.
    assert left == {"vtkMRMLModelNode", "vtkMRMLSliceDisplayNode", "vtkMRMLLinearTransformNode"}
