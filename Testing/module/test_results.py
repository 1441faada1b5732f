"""Label maps become coded segmentations in the right place, with numbers a person can check."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from DMAFSegmentLib.attributes import PREFIX, inputs_of, measures, our_segmentations
from DMAFSegmentLib.label_map import merged_labels
from DMAFSegmentLib.protocol import JobError, ResultEvent
from DMAFSegmentLib.result_files import ResultError, read_label_map
from DMAFSegmentLib.results import ResultCollector
from DMAFSegmentLib.segmentation import label_volumes
from results_rig import JobSignals, contents, hierarchy


def test_segments_have_names_colors_and_codes(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    segmentation = collector.segmentations[0].GetSegmentation()
    segments = [segmentation.GetNthSegment(i) for i in range(segmentation.GetNumberOfSegments())]
    assert [s.GetName() for s in segments] == ["Necrotic core", "Edema", "Enhancing tumor"]
    assert segments[1].GetColor() == pytest.approx((60 / 255, 180 / 255, 75 / 255))
    code = vtk.reference("")
    assert segments[2].GetTag(segments[2].GetTerminologyEntryTagName(), code)
    assert "~SCT^49755003^Morphologically Altered Structure~NCIt^C113842^Enhancing Lesion~" in str(code)


def test_voxels_arrive_where_they_were(run, make_event, labels):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    node = collector.segmentations[0]
    for value in (1, 2, 3):
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, f"label_{value}", inputs["t1"])
        assert np.array_equal(array > 0, labels == value)
    assert np.array_equal(merged_labels(node).mask(), labels > 0)


def test_absent_label_is_an_empty_segment(run, make_event, labels):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"], array=np.where(labels == 2, 2, 0).astype(np.uint8)))
    node = collector.segmentations[0]
    assert node.GetSegmentation().GetNumberOfSegments() == 3
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "label_2", inputs["t1"]).sum() == 8
    assert [m.volume_ml for m in measures(node)][:3] == pytest.approx([0.0, 0.064, 0.0])


def test_reference_under_a_transform_carries_its_segmentation_along(scene, run, make_event, labels):
    signals, collector, inputs = run
    move = np.eye(4)
    move[:3, 3] = (100, -50, 10)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(move))
    inputs["t1"].SetAndObserveTransformNodeID(transform.GetID())
    signals.result.emit(make_event(inputs["t1"]))
    node = collector.segmentations[0]
    assert node.GetTransformNodeID() == transform.GetID()
    # Edema lies at I 5..6, J 3..4, K 8..9 of 2 mm voxels from (24, 20, -16), I and J running down: center (13, 13, 1).
    assert node.GetSegmentCenterRAS("label_2") == pytest.approx((113, -37, 11), abs=1.01)  # rounds to a voxel


def test_volumes_by_hand(labels, metadata):
    assert label_volumes(labels, metadata.labels, 0.008) == pytest.approx(
        {"Necrotic core": 0.032, "Edema": 0.064, "Enhancing tumor": 0.096}
    )


def test_measures_list_segments_then_regions(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    rows = measures(collector.segmentations[0])
    assert [row.name for row in rows[:3]] == ["Necrotic core", "Edema", "Enhancing tumor"]
    assert [row.name for row in rows[3:]] == ["Whole tumor (WT)", "Tumor core (TC)", "Enhancing tumor (ET)"]
    assert [row.volume_ml for row in rows] == pytest.approx([0.032, 0.064, 0.096, 0.192, 0.128, 0.096])
    assert rows[3].color is None
    assert rows[4].dice == 0.5


def test_foreign_segmentation_has_no_measures(scene):
    assert measures(scene.AddNewNodeByClass("vtkMRMLSegmentationNode")) == []
    assert measures(None) == []


def test_node_says_what_it_is(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    signals.finished.emit('{"device": "cpu"}')
    node = collector.segmentations[0]
    attribute = {key: node.GetAttribute(PREFIX + key) for key in ("Kind", "Subset", "Model", "ModelVersion")}
    assert attribute == {"Kind": "labels", "Subset": "t1+flair", "Model": "brats-test", "ModelVersion": "0.1"}
    assert node.GetName() == "DMAF T1+FLAIR"
    assert node.GetDescription().startswith("Made from T1+FLAIR by brats-test 0.1.")
    provenance = json.loads(node.GetAttribute(PREFIX + "Provenance"))
    assert provenance["device"] == "cpu"
    assert provenance["scene"]["volumes"] == {"t1": "case_t1", "flair": "case_flair"}
    assert "Not a medical device" in node.GetAttribute(PREFIX + "Notice")
    assert inputs_of(node) == [inputs["t1"], inputs["flair"]]


def test_one_result_makes_a_folder_under_the_study_of_its_reference(scene, run, make_event):
    signals, collector, inputs = run
    tree = hierarchy(scene)
    study = tree.CreateStudyItem(tree.GetSceneItemID(), "Study")
    tree.SetItemParent(tree.GetItemByDataNode(inputs["t1"]), study)
    signals.result.emit(make_event(inputs["t1"]))
    item = tree.GetItemByDataNode(collector.segmentations[0])
    folder = tree.GetItemParent(item)
    assert tree.GetItemName(folder).startswith("DMAF results")
    assert tree.GetItemParent(folder) == study
    assert tree.GetItemAncestorAtLevel(item, "Study") == study  # where Slicer's DICOM export looks


def test_results_share_a_folder_and_one_is_visible(scene, run, make_event):
    signals, collector, inputs = run
    for subset, title in ((("t1", "flair"), "T1+FLAIR"), (("flair",), "FLAIR"), (("t1",), "T1")):
        signals.result.emit(make_event(inputs["t1"], subset, title))
    signals.finished.emit("{}")
    tree = hierarchy(scene)
    (folder,) = {tree.GetItemParent(tree.GetItemByDataNode(n)) for n in (*collector.segmentations, collector.table)}
    assert contents(scene, folder) == ["DMAF FLAIR", "DMAF T1", "DMAF T1+FLAIR", "DMAF details", "DMAF volumes"]
    assert [n.GetDisplayNode().GetVisibility() for n in collector.segmentations] == [1, 0, 0]


def test_table_has_one_row_per_subset(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    signals.result.emit(make_event(inputs["t1"], ("t1",), "T1"))
    signals.finished.emit("{}")
    table = collector.table.GetTable()
    names = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
    assert names == [
        "Sequences",
        *("Necrotic core (mL)", "Edema (mL)", "Enhancing tumor (mL)"),
        *("WT (mL)", "TC (mL)", "ET (mL)", "Dice WT", "Dice TC", "Dice ET"),
    ]
    assert [table.GetValueByName(row, "Sequences").ToString() for row in (0, 1)] == ["T1+FLAIR", "T1"]
    assert table.GetValueByName(1, "Edema (mL)").ToDouble() == pytest.approx(0.064)
    assert table.GetValueByName(1, "Dice TC").ToDouble() == 0.5


def test_cancel_leaves_the_scene_as_it_was(scene, run, make_event):
    signals, _collector, inputs = run
    hierarchy(scene)
    before = [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())]
    items = hierarchy(scene).GetNumberOfItems()
    signals.result.emit(make_event(inputs["t1"]))
    signals.result.emit(make_event(inputs["t1"], ("t1",), "T1"))
    assert scene.GetNumberOfNodes() > len(before)
    signals.cancelled.emit()
    left = [scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())]
    assert [n for n in left if n not in before and not scene.GetNodeByID(n).GetSingletonTag()] == []
    assert hierarchy(scene).GetNumberOfItems() == items


def test_failed_run_keeps_what_it_finished(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    signals.failed.emit(JobError("Not enough memory."))
    provenance = json.loads(collector.segmentations[0].GetAttribute(PREFIX + "Provenance"))
    assert provenance["incomplete"] == "Not enough memory."
    assert collector.table is not None


def test_runs_are_told_apart(scene, run, make_event, metadata):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    again = JobSignals()
    second = ResultCollector(again, scene, metadata, inputs, inputs["t1"])
    again.result.emit(make_event(inputs["t1"], ("t1",), "T1"))
    assert our_segmentations(scene) == [*collector.segmentations, *second.segmentations]
    assert our_segmentations(scene, second.segmentations[0]) == second.segmentations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda array: array[1:], "does not lie on the grid"),
        (lambda array: np.where(array == 3, 4, array).astype(np.uint8), "labels the model does not have"),
    ],
)
def test_result_that_does_not_fit_is_refused(run, make_event, labels, tmp_path, change, message):
    _signals, _collector, inputs = run
    event = make_event(inputs["t1"])
    image = sitk.GetImageFromArray(change(labels))
    original = sitk.ReadImage(str(event.file))
    image.SetSpacing(original.GetSpacing())
    image.SetOrigin(original.GetOrigin())
    image.SetDirection(original.GetDirection())
    sitk.WriteImage(image, str(event.file))
    with pytest.raises(ResultError, match=message):
        read_label_map(event, inputs["t1"], 3)


def test_moved_reference_is_noticed(run, make_event):
    signals, _collector, inputs = run
    event = make_event(inputs["t1"])
    inputs["t1"].SetOrigin(0, 0, 0)
    with pytest.raises(ResultError, match="Was the volume changed"):
        signals.result.emit(event)


def test_removed_reference_is_noticed(scene, run, make_event):
    signals, _collector, inputs = run
    event = make_event(inputs["t1"])
    scene.RemoveNode(inputs["t1"])
    with pytest.raises(ResultError, match="removed during the run"):
        signals.result.emit(event)


def test_unreadable_file_is_refused(run, tmp_path):
    _signals, _collector, inputs = run
    (tmp_path / "bad.nrrd").write_bytes(b"nonsense")
    with pytest.raises(ResultError, match="could not be read"):
        read_label_map(ResultEvent(("t1",), "T1", tmp_path / "bad.nrrd", {}, {}), inputs["t1"], 3)


def test_segmentation_file_keeps_names_colors_and_codes(scene, run, make_event, tmp_path):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    for node, action in ((collector.segmentations[0], "WriteData"), (None, "ReadData")):
        again = node or scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = again.CreateDefaultStorageNode()
        storage.SetFileName(str(tmp_path / "result.seg.nrrd"))
        assert getattr(storage, action)(again)
    segment = again.GetSegmentation().GetSegment("label_3")
    code = vtk.reference("")
    assert segment.GetTag(segment.GetTerminologyEntryTagName(), code)
    assert segment.GetName() == "Enhancing tumor"
    assert segment.GetColor() == pytest.approx((250 / 255, 210 / 255, 50 / 255), abs=1e-3)
    assert "NCIt^C113842^Enhancing Lesion" in str(code)
