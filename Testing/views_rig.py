"""The panel with three results of T1 and FLAIR, and what its views show, for tests of grid and pair."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import our_segmentations
from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.pair_view import TAG_A, TAG_B, TAG_THIRD
from panel_rig import opened_panel
from results_rig import choose_subsets

PAIR = [TAG_A, TAG_B, TAG_THIRD]
MODEL_COLORS = {"core": (220, 40, 40), "edema": (60, 180, 75), "enhancing": (250, 210, 50)}
SIZE = (900, 300)
_NEAR = 40  # of 255, per channel


@pytest.fixture(name="panel")
def panel_fixture(host, tmp_path, bundle, worker_command, new_volume, monkeypatch):
    """The open module with T1 and FLAIR in the scene, and a stand-in worker."""
    worker = Worker(worker_command("normal"))
    with opened_panel(host, bundle.parent, worker, new_volume, monkeypatch) as widget:
        yield widget


@pytest.fixture(name="results")
def results_fixture(host, panel):
    """Results of T1+FLAIR, FLAIR and T1: nested boxes around the origin, wider by one voxel per sequence."""
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: not panel.logic.running)
    return our_segmentations(slicer.mrmlScene)


def settle(host, panel):
    """Opaque segments, and views that fit the size they are drawn at."""
    panel.ui.opacitySlider.value = 100
    host.process_events()
    host.render_layout(SIZE)
    results = panel.panel.results
    for stage in (results.compare.grid.stage, results.pair.view.stage):
        if stage.active:
            stage.fit(keep_slice=True)


def choose(combo, index):
    """Choose an entry of a list."""
    combo.currentIndex = index


def views(host):
    """Tags of the views of the layout."""
    return list(host.layout_cells())


def color_of(host, tag, colors):
    """Fraction of the pixels of a view near each of the named colors."""
    picture = host.render_layout(SIZE).astype(int)
    x0, y0, x1, y1 = host.layout_cells()[tag]
    rows = slice(round((1 - y1) * SIZE[1]), round((1 - y0) * SIZE[1]))
    part = picture[rows, round(x0 * SIZE[0]) : round(x1 * SIZE[0])]
    return {name: float((np.abs(part - color).max(axis=-1) < _NEAR).mean()) for name, color in colors.items()}


def settings_of_display():
    """Layout, and how each segmentation is shown."""
    shown = {"layout": slicer.app.layoutManager().layout}
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        display = node.GetDisplayNode()
        shown[node.GetID()] = (
            *(display.GetVisibility(), display.GetVisibility2D(), display.GetVisibility3D()),
            *(display.GetOpacity(), display.GetOpacity2DFill(), display.GetOpacity2DOutline()),
            *(display.GetVisibility2DFill(), display.GetVisibility2DOutline(), display.GetViewNodeIDs()),
        )
    for name in ("Red", "Green", "Yellow"):
        composite = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNode{name}")
        plane = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}")
        shown[name] = (composite.GetBackgroundVolumeID(), plane.GetOrientation(), plane.GetSliceOffset())
    return shown
