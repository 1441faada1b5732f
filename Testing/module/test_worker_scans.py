"""Preprocessing through the network library's real worker, with a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import NATIVE, attribute
from DMAFSegmentLib.label_map import merged_labels
from DMAFSegmentLib.scan_record import scan_record
from DMAFSegmentLib.scan_request import ScanRequest
from worker_rig import run

SHIFT = (9.0, -6.0, 5.0)
"""Where FLAIR lies too far to the right, to the back and up, in mm."""


def head(center, size, spacing):
    """An ellipsoid with a dark lake and a bright spot, so that nothing of it looks the same from two sides."""
    k, j, i = np.meshgrid(*(spacing * np.arange(n) for n in size[::-1]), indexing="ij")
    x, y, z = i - center[0], j - center[1], k - center[2]
    inside = (x / 50) ** 2 + (y / 42) ** 2 + (z / 36) ** 2 < 1
    image = np.where(inside, 300.0 + x - y, 0.0)
    image[((x - 20) / 14) ** 2 + ((y + 12) / 9) ** 2 + ((z - 8) / 11) ** 2 < 1] = 60
    image[((x + 22) / 8) ** 2 + ((y - 14) / 12) ** 2 + ((z + 10) / 7) ** 2 < 1] = 700
    return image.astype(np.int16)


@pytest.fixture
def raw_case(host, open_module, tiny_bundle, new_volume, tmp_path, monkeypatch):
    """The module on a patient whose FLAIR has its own grid and lies elsewhere; nothing is kept in the real cache."""
    for name in ("case_t1", "case_flair"):
        slicer.mrmlScene.RemoveNode(slicer.util.getNode(name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fine, coarse = np.diag([2.0, 2.0, 2.0, 1.0]), np.diag([3.0, 3.0, 3.0, 1.0])
    coarse[:3, 3] = SHIFT
    new_volume("case_t1", head((60, 60, 50), (60, 60, 50), 2.0), fine)
    new_volume("case_flair", head((60, 60, 50), (40, 40, 34), 3.0), coarse)
    widget = open_module(tiny_bundle.parent)
    widget.ui.preprocessingButton.collapsed = False
    widget.parent.resize(400, 2200)
    host.process_events()
    return widget


def choose(combo, value):
    combo.currentIndex = combo.findData(value)


def test_registration_finds_the_shift_and_results_come_back_to_both_grids(host, raw_case):
    ui = raw_case.ui
    choose(ui.registrationComboBox, "on")
    choose(ui.brainComboBox, "off")
    host.click(ui.nativeCheckBox)
    run(host, raw_case)
    assert ui.statusLabel.text.startswith("Finished: one segmentation."), ui.logText.plainText
    (node,) = raw_case.logic.segmentations
    record = scan_record(slicer.mrmlScene, node)
    assert record.event.reference == "t1", "the finer grid"
    matrix = np.array(record.event.transforms["flair"])
    middle = np.array([60, 60, 50]) + SHIFT
    assert matrix[:3, :3] @ middle + matrix[:3, 3] == pytest.approx(middle - SHIFT, abs=1.0)
    assert record.movements["flair"].angle_deg < 2
    host.click(ui.alignedCheckBox)
    assert slicer.util.getNode("case_flair").GetParentTransformNode().GetName() == "FLAIR to T1"
    segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [n.GetName() for n in segmentations if attribute(n, "Kind") == NATIVE] == ["DMAF T1+FLAIR on FLAIR"]


def test_the_mask_of_the_scene_is_what_the_worker_keeps(host, raw_case):
    """Everything right of the middle (x > 60 mm) is not in the mask."""
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    array = slicer.util.arrayFromVolume(slicer.util.getNode("case_t1")) > 0
    array[:, :, 30:] = False
    slicer.util.updateVolumeFromArray(mask, array.astype(np.uint8))
    mask.SetSpacing(2, 2, 2)
    choose(raw_case.ui.registrationComboBox, "off")
    choose(raw_case.ui.brainComboBox, "mask")
    raw_case.ui.maskSelector.setCurrentNode(mask)
    run(host, raw_case)
    (node,) = raw_case.logic.segmentations
    record = scan_record(slicer.mrmlScene, node)
    assert record.event.brain_tool == "mask"
    assert record.event.brain_ml == pytest.approx(array.sum() * 0.008, rel=0.01)
    assert record.event.transforms == {}
    found = merged_labels(node).mask()
    assert found[:, :, :30].any()
    assert not found[:, :, 34:].any(), "nothing is found where the image is empty now, but for a working voxel"


def test_scans_that_need_nothing_are_left_as_they_are(host, open_module, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    widget = open_module(tiny_bundle.parent)
    assert widget.panel.request()["scans"] == ScanRequest()
    run(host, widget)
    record = scan_record(slicer.mrmlScene, widget.logic.segmentations[0])
    assert record.event.transforms == {}
    assert [decision.needed for decision in record.event.decisions] == [False] * len(record.event.decisions)
    assert record.warnings == ()
    assert not widget.ui.alignedCheckBox.enabled
