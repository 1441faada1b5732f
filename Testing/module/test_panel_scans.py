"""What was done with the scans, as the panel shows it: words, pictures, and the box that shows them aligned."""

from __future__ import annotations

import sys

import slicer

from DMAFSegmentLib.alignment import run_put_on
from DMAFSegmentLib.attributes import NATIVE, TRANSFORM, attribute
from DMAFSegmentLib.geometry import volume_grid
from DMAFSegmentLib.job import Worker


def run(host, raw_panel):
    host.click(raw_panel.ui.applyButton)
    assert host.process_events(until=lambda: not raw_panel.logic.running)
    host.process_events()


def origin(name):
    return volume_grid(slicer.util.getNode(name)).ijk_to_ras[:3, 3].tolist()


def test_the_section_tells_what_was_done(host, raw_panel):
    assert not raw_panel.ui.scansLabel.visible
    run(host, raw_panel)
    assert raw_panel.ui.scansLabel.text.splitlines() == [
        "Done with the scans of the chosen result:",
        "T1: The reference. Brain extracted (A skull).",
        "FLAIR: Aligned (Another grid). Moved by 5.0 mm, turned by 0.0 degrees. Brain extracted (A skull).",
        "Brain: 1432 mL, by deepbet 1.0.2.",
        "Warning: FLAIR: the outlines do not fit.",
    ]
    assert raw_panel.ui.statusLabel.text == (
        "Finished: one segmentation. Please check what is said under Preprocessing: FLAIR: the outlines do not fit."
    )


def test_a_doubtful_alignment_is_shown_as_a_picture(host, raw_panel):
    run(host, raw_panel)
    qt = sys.modules["qt"]
    caption, picture = raw_panel.ui.picturesArea.findChildren(qt.QLabel)
    assert caption.text == "T1, FLAIR, both as a checkerboard"
    assert picture.accessibleName == caption.text
    assert (picture.pixmap.width(), picture.pixmap.height()) == (330, 220)
    raw_panel.ui.segmentationSelector.setCurrentNode(None)
    host.process_events()
    assert raw_panel.ui.picturesArea.findChildren(qt.QLabel) == []
    assert not raw_panel.ui.scansLabel.visible


def test_scans_are_shown_aligned_and_back(host, raw_panel):
    box = raw_panel.ui.alignedCheckBox
    assert not box.enabled
    assert box.toolTip == "Choose a result whose scans were aligned."
    run(host, raw_panel)
    assert box.enabled
    assert origin("case_flair") == [24, 20, -16]
    host.click(box)
    assert origin("case_flair") == [27, 24, -16]
    assert origin("case_t1") == [24, 20, -16]
    host.click(box)
    assert origin("case_flair") == [24, 20, -16]
    assert slicer.util.getNode("case_flair").GetParentTransformNode() is None


def test_a_volume_under_a_transform_of_the_user_is_left_there(host, raw_panel):
    run(host, raw_panel)
    flair, own = (
        slicer.util.getNode("case_flair"),
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "mine"),
    )
    flair.SetAndObserveTransformNodeID(own.GetID())
    host.click(raw_panel.ui.alignedCheckBox)
    assert not raw_panel.ui.alignedCheckBox.checked
    assert "under a transform of your own" in raw_panel.ui.alignedLabel.text
    assert flair.GetParentTransformNode() is own


def test_a_run_starts_from_the_scans_as_they_were(host, raw_panel):
    run(host, raw_panel)
    host.click(raw_panel.ui.alignedCheckBox)
    first = run_put_on(slicer.mrmlScene)
    starts = []
    prepare = raw_panel.logic.prepare
    raw_panel.logic.prepare = lambda **options: [starts.append(origin("case_flair")), prepare(**options)][1]
    run(host, raw_panel)
    assert starts == [[24, 20, -16]]
    assert run_put_on(slicer.mrmlScene) not in ("", first)
    assert raw_panel.ui.alignedCheckBox.checked
    assert origin("case_flair") == [27, 24, -16]


def test_canceling_a_run_leaves_the_scans_as_they_were_shown(host, raw_panel, worker_command):
    run(host, raw_panel)
    host.click(raw_panel.ui.alignedCheckBox)
    shown = run_put_on(slicer.mrmlScene)
    raw_panel.logic.worker = Worker(worker_command("hang"))
    host.click(raw_panel.ui.applyButton)
    assert host.process_events(until=lambda: raw_panel.ui.progressBar.value == 50)
    assert origin("case_flair") == [24, 20, -16]
    assert not raw_panel.ui.alignedArea.enabled
    host.click(raw_panel.ui.applyButton)
    assert host.process_events(until=lambda: not raw_panel.logic.running)
    assert run_put_on(slicer.mrmlScene) == shown
    assert origin("case_flair") == [27, 24, -16]


def test_a_replaced_run_takes_its_transforms_along(host, raw_panel):
    host.click(raw_panel.ui.replaceCheckBox)
    run(host, raw_panel)
    host.click(raw_panel.ui.alignedCheckBox)
    run(host, raw_panel)
    transforms = slicer.util.getNodesByClass("vtkMRMLLinearTransformNode")
    assert len([node for node in transforms if attribute(node, "Kind") == TRANSFORM]) == 1
    assert origin("case_flair") == [27, 24, -16]
    host.click(raw_panel.ui.alignedCheckBox)
    assert origin("case_flair") == [24, 20, -16]


def test_a_saved_scene_shows_report_picture_and_alignment(host, raw_panel, tmp_path):
    run(host, raw_panel)
    host.click(raw_panel.ui.alignedCheckBox)
    text = raw_panel.ui.scansLabel.text
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.clear_scene()
    host.process_events()
    assert not raw_panel.ui.scansLabel.visible
    assert not raw_panel.ui.alignedCheckBox.checked
    slicer.util.loadScene(path)
    host.process_events()
    raw_panel.ui.segmentationSelector.setCurrentNode(slicer.util.getNode("DMAF T1+FLAIR"))
    host.process_events()
    assert raw_panel.ui.scansLabel.text == text
    assert len(raw_panel.ui.picturesArea.findChildren(sys.modules["qt"].QLabel)) == 2
    assert raw_panel.ui.alignedCheckBox.checked
    host.click(raw_panel.ui.alignedCheckBox)
    assert origin("case_flair") == [24, 20, -16]


def test_own_grids_come_when_they_were_asked_for(host, raw_panel):
    run(host, raw_panel)
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [node.GetName() for node in nodes] == ["DMAF T1+FLAIR"]
    host.click(raw_panel.ui.nativeCheckBox)
    run(host, raw_panel)
    native = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if attribute(n, "Kind") == NATIVE]
    assert [node.GetName() for node in native] == ["DMAF T1+FLAIR on FLAIR"]
    assert raw_panel.ui.compareTable.rowCount == 1, "tables are about the reference only"
    assert attribute(raw_panel.ui.segmentationSelector.currentNode(), "Kind") == "labels"


def test_a_run_that_fails_before_its_first_result_leaves_nothing(host, raw_panel, worker_command):
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    raw_panel.logic.worker = Worker(worker_command("raw-fails"))
    run(host, raw_panel)
    assert raw_panel.ui.statusLabel.text.startswith("Failed: Not enough memory.")
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")} == before
