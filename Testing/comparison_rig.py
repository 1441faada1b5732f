"""The panel after a comparison of subsets, for tests of its numbers, plots and maps."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import COMPARISON, companion
from DMAFSegmentLib.job import Worker
from panel_rig import opened_panel
from results_rig import choose_subsets

EXPECTED = {"T1+FLAIR": {"WT": 0.9, "TC": 0.8, "ET": 0.7}, "FLAIR": {"WT": 0.85}}


@pytest.fixture
def fusing(metadata):
    """A model that can say what each sequence counted, and how good it is."""
    return dataclasses.replace(
        metadata, network={"name": "dmafnet", "config": {}}, expected_dice=EXPECTED, expected_dice_source="12 cases"
    )


@pytest.fixture
def compare_panel(host, tmp_path, write_model, fusing, worker_command, new_volume, monkeypatch):
    """The open panel with T1 and FLAIR in the scene, a DMAF-Net model, and a stand-in worker."""
    write_model(tmp_path / "model.safetensors", fusing)
    worker = Worker(worker_command("normal"))
    with opened_panel(host, tmp_path, worker, new_volume, monkeypatch) as widget:
        yield widget


@pytest.fixture
def compare(host, compare_panel):
    """Segments every subset and opens the section; gives the chosen segmentation."""

    def run(*boxes, subsets="all"):
        choose_subsets(compare_panel, subsets)
        for name in boxes:
            host.click(getattr(compare_panel.ui, name))
        host.click(compare_panel.ui.applyButton)
        assert host.process_events(until=lambda: not compare_panel.logic.running)
        compare_panel.ui.compareButton.collapsed = False
        host.process_events()
        return compare_panel.ui.segmentationSelector.currentNode()

    return run


@pytest.fixture
def reference(scene):
    """A segmentation of one segment, the box of the stand-in's result from one sequence, with the name asked for."""

    def make(name, half=4):
        volume = slicer.util.getNode("case_t1")
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        identifier = node.GetSegmentation().AddEmptySegment("", name)
        box = np.zeros((16, 20, 24), np.uint8)
        box[8 - half : 8 + half, 10 - half : 10 + half, 12 - half : 12 + half] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(box, node, identifier, volume)
        return node

    return make


def document_of(node, kind=COMPARISON):
    return json.loads(companion(slicer.mrmlScene, node, kind).GetText())


def column(table, heading):
    values = table.GetTable().GetColumnByName(heading)
    return [values.GetValue(index) for index in range(values.GetNumberOfValues())]
