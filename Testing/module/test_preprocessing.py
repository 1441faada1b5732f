"""What is asked of the worker before it segments, what it answers, and what becomes of that in the scene."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from DMAFSegmentLib.alignment import put_on, take_off
from DMAFSegmentLib.attributes import NATIVE, SCANS, attribute, nodes_of_run
from DMAFSegmentLib.brain_mask import export_node
from DMAFSegmentLib.geometry import GeometryError
from DMAFSegmentLib.inputs import check, far_apart, reference_sequence
from DMAFSegmentLib.protocol import JobError, WorkerEventError
from DMAFSegmentLib.result_files import ResultError
from DMAFSegmentLib.run_folder import folder_of
from DMAFSegmentLib.scan_record import ScanRecord, scan_record
from DMAFSegmentLib.scan_request import BRAINS, REGISTRATIONS, ScanRequest
from DMAFSegmentLib.scans_event import Decision, ScansEvent
from DMAFTraining.modalities import BRATS
from results_rig import contents, hierarchy, node_ids
from transform_rig import QUARTER, rows, shift, world


@pytest.fixture
def slices(metadata):
    """A model of single slices."""
    preprocessing = dataclasses.replace(metadata.preprocessing, spacing=(1.0, 1.0), orientation="slices", slice_size=64)
    return dataclasses.replace(metadata, preprocessing=preprocessing)


# -- the request -------------------------------------------------------------------------------------


def test_what_the_job_file_says(tmp_path):
    request = ScanRequest("off", "mask", object(), True, True, tmp_path / "kept")
    assert request.document(tmp_path / "m.nrrd") == {
        "registration": "off",
        "brain": "mask",
        "brain_mask": str(tmp_path / "m.nrrd"),
        "bias_correction": True,
        "cache": str(tmp_path / "kept"),
    }
    assert ScanRequest(cache=None).document(tmp_path / "m.nrrd") == {
        "registration": "auto",
        "brain": "auto",
        "brain_mask": None,
        "bias_correction": False,
        "cache": None,
    }


def test_a_mask_that_is_chosen_and_not_used_is_not_sent(tmp_path):
    assert ScanRequest(brain="deepbet", mask=object()).document(tmp_path)["brain_mask"] is None


def test_the_choices_are_those_of_the_worker():
    from typing import get_args

    from DMAFTraining.inference.scans import options

    assert set(REGISTRATIONS) == set(get_args(options.RegistrationChoice))
    assert set(BRAINS) == set(get_args(options.BrainChoice))


def test_models_of_slices_get_nothing(slices, metadata):
    asked = ScanRequest("on", "deepbet", bias_correction=True, native=True)
    assert asked.suited_to(metadata) == asked
    assert asked.suited_to(slices) == ScanRequest("off", "off", cache=None)


def test_words_for_every_choice():
    assert ScanRequest().title() == "only what is needed"
    assert ScanRequest("off", "off", None, True, True).title() == "align none, brain as it is, bias, all grids"
    assert ScanRequest("on", "hd-bet").sentence() == (
        "All scans are aligned to the reference. The brain is extracted by HD-BET."
    )


def test_a_mask_is_needed_and_must_hold_something(scene):
    assert "Choose the brain mask" in ScanRequest(brain="mask").problems()[0]
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Nothing")
    assert ScanRequest(brain="mask", mask=empty).problems()[0].startswith('The brain mask "Nothing" has no segment')
    hollow = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Hollow")
    assert "holds no image" in ScanRequest(brain="mask", mask=hollow).problems()[0]
    assert ScanRequest(brain="off", mask=hollow).problems() == []


# -- the mask ----------------------------------------------------------------------------------------


@pytest.fixture
def box():
    array = np.zeros((16, 20, 24), np.uint8)
    array[4:9, 5:11, 6:13] = 1
    return array


@pytest.fixture
def label_map(scene, new_volume, box):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    slicer.util.updateVolumeFromArray(node, box)
    matrix = vtk.vtkMatrix4x4()
    new_volume("case_t1").GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    return node


def as_segmentation(scene, label_map):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "brain")
    node.SetReferenceImageGeometryParameterFromVolumeNode(label_map)
    for name, values in (("left", slice(None, 9)), ("right", slice(9, None))):
        part = np.zeros((16, 20, 24), np.uint8)
        part[:, :, values] = slicer.util.arrayFromVolume(label_map)[:, :, values]
        identifier = node.GetSegmentation().AddEmptySegment("", name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(part, node, identifier, label_map)
    return node


def positions(path):
    """Places of all voxels of a mask file that are not 0, in RAS."""
    image = sitk.ReadImage(str(path))
    indices = np.argwhere(sitk.GetArrayFromImage(image) != 0)[:, ::-1]
    points = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in index]) for index in indices])
    return points * (-1, -1, 1)


@pytest.mark.parametrize("kind", ["label map", "segmentation"])
def test_a_mask_is_exported_where_it_lies_in_the_world(scene, label_map, box, tmp_path, kind):
    node = label_map if kind == "label map" else as_segmentation(scene, label_map)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(QUARTER, float)))
    node.SetAndObserveTransformNodeID(transform.GetID())
    export_node(node, tmp_path / "mask.nrrd")
    found = positions(tmp_path / "mask.nrrd")
    # Voxel (i, j, k) lies at (24 - 2i, 20 - 2j, 2k - 16) before the transform.
    k, j, i = np.nonzero(box)
    x, y, z = 24.0 - 2 * i, 20.0 - 2 * j, 2.0 * k - 16
    expected = np.stack([-y + 10, x + 20, z + 30], axis=1)
    assert len(found) == 5 * 6 * 7
    assert sorted(map(tuple, found.round(3))) == sorted(map(tuple, expected))


def test_an_empty_mask_is_told(scene, label_map, tmp_path):
    node = as_segmentation(scene, label_map)
    for identifier in node.GetSegmentation().GetSegmentIDs():
        slicer.util.updateSegmentBinaryLabelmapFromArray(np.zeros((16, 20, 24), np.uint8), node, identifier, label_map)
    with pytest.raises(GeometryError, match='brain mask "brain" is empty'):
        export_node(node, tmp_path / "mask.nrrd")


# -- inputs and the reference ------------------------------------------------------------------------


def test_volumes_apart_are_refused_only_where_nothing_may_move(new_volume):
    far = np.diag([2.0, 2.0, 2.0, 1.0])
    far[0, 3] = 500
    chosen = {"t1": new_volume("a"), "flair": new_volume("b", matrix=far)}
    assert check(chosen, BRATS, may_move=True) == []
    assert check(chosen, BRATS)[0].startswith("T1 and FLAIR do not overlap in space")
    assert far_apart(chosen, BRATS).startswith("FLAIR does not overlap T1 in space and will be moved there")
    assert far_apart({"t1": chosen["t1"]}, BRATS) == ""


def test_the_reference_is_the_first_of_one_grid_and_else_the_finest(new_volume, metadata, slices):
    same = {"t2": new_volume("b"), "t1": new_volume("a")}
    assert reference_sequence(same, metadata) == "t1"
    finer = new_volume("c", matrix=np.diag([1.0, 1.0, 1.0, 1.0]))
    assert reference_sequence({**same, "t2": finer}, metadata) == "t2"
    assert reference_sequence({**same, "t2": finer}, slices) == "t1"


# -- the event ---------------------------------------------------------------------------------------

EVENT = {
    "event": "scans",
    "reference": "t1",
    "decisions": [{"step": "registration", "sequence": "flair", "needed": True, "reason": "Another grid."}],
    "transforms": {"flair": QUARTER},
    "pictures": {"flair": "p.png"},
    "brain_tool": None,
    "brain_ml": None,
}


def test_the_event_is_read():
    event = ScansEvent.read(EVENT)
    assert event.decisions == (Decision("registration", "flair", True, "Another grid."),)
    assert event.transforms == {"flair": rows(QUARTER)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference": None},
        {"brain_ml": "much"},
        {"pictures": {"flair": 5}},
        {"decisions": [{"step": "brain"}]},
        {"decisions": ["brain"]},
        {"transforms": {"flair": QUARTER[:3]}},
        {"transforms": {"flair": [[float("nan")] * 4] * 3 + [[0, 0, 0, 1]]}},
        {"transforms": {"flair": [*QUARTER[:3], [0, 0, 1, 1]]}},
        {"transforms": {"flair": 7}},
    ],
)
def test_a_broken_event_is_refused(wrong):
    with pytest.raises(WorkerEventError):
        ScansEvent.read({**EVENT, **wrong})


# -- what a run keeps --------------------------------------------------------------------------------


@pytest.fixture
def event(tmp_path):
    """FLAIR moved to T1, brain extracted, one picture."""
    picture = tmp_path / "p.png"
    picture.write_bytes(b"picture")
    decisions = (
        Decision("registration", "flair", True, "Another grid."),
        Decision("brain", "t1", False, "It shows the brain alone."),
        Decision("bias", "t1", False, "Switched off."),
    )
    return ScansEvent("t1", decisions, {"flair": rows(shift(3, 4, 0))}, {"flair": picture}, "deepbet 1.0.2", 1432.4)


def test_the_report_says_what_was_done(scene, run, make_event, event):
    signals, collector, inputs = run
    signals.scan_warning.emit("Early.")
    signals.scans.emit(event)
    event.pictures["flair"].unlink()
    signals.scan_warning.emit("Late.")
    signals.result.emit(make_event(inputs["t1"]))
    signals.finished.emit("{}")
    record = scan_record(scene, collector.segmentations[0])
    assert record.lines() == [
        "T1: The reference. Brain not extracted (It shows the brain alone).",
        "FLAIR: Aligned (Another grid). Moved by 5.0 mm, turned by 0.0 degrees.",
        "Brain: 1432 mL, by deepbet 1.0.2.",
        "Warning: Early.",
        "Warning: Late.",
    ]
    assert record.pictures == {"flair": b"picture"}
    assert record.caption("flair") == "T1, FLAIR, both as a checkerboard"
    assert ScanRecord.read(record.write()) == record
    folder = folder_of(scene, attribute(collector.segmentations[0], "Run"))
    assert {"FLAIR to T1", "DMAF scans", "DMAF T1+FLAIR"} <= set(contents(scene, folder))


def test_damaged_reports_are_no_reports(scene, run, make_event, event):
    signals, collector, inputs = run
    signals.scans.emit(event)
    signals.result.emit(make_event(inputs["t1"]))
    node = next(
        n for n in nodes_of_run(scene, attribute(collector.segmentations[0], "Run")) if n.IsA("vtkMRMLTextNode")
    )
    assert attribute(node, "Kind") == SCANS
    for text in ("", "[]", "{}", json.dumps({**json.loads(node.GetText()), "movements": {"flair": 3}})):
        node.SetText(text)
        assert scan_record(scene, collector.segmentations[0]) is None


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_nothing_stays_of_a_run_without_results(scene, run, event, end):
    hierarchy(scene)
    signals, _, _ = run
    before = node_ids(scene)
    signals.scans.emit(event)
    assert node_ids(scene) != before
    getattr(signals, end).emit(*([JobError("No memory.")] if end == "failed" else []))
    assert node_ids(scene) == before


def test_sequences_nobody_gave_are_refused(run):
    signals, _, _ = run
    with pytest.raises(ResultError, match='"t2" it was not given'):
        signals.scans.emit(ScansEvent("t1", transforms={"t2": rows(QUARTER)}))


def test_results_on_own_grids_follow_their_scan(scene, new_volume, make_event, run, event, labels):
    signals, collector, inputs = run
    signals.scans.emit(event)
    own = make_event(inputs["flair"], title="own")
    result = make_event(inputs["t1"])
    signals.result.emit(dataclasses.replace(result, native={"flair": own.file}))
    run_id = attribute(collector.segmentations[0], "Run")
    (node,) = [n for n in nodes_of_run(scene, run_id) if attribute(n, "Kind") == NATIVE]
    assert node.GetName() == "DMAF T1+FLAIR on FLAIR"
    assert not node.GetDisplayNode().GetVisibility()
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, "label_2", inputs["flair"])
    assert np.array_equal(array > 0, labels == 2)
    assert collector.segmentations == [n for n in collector.segmentations if attribute(n, "Kind") == "labels"]
    put_on(scene, run_id)
    assert world(node, (0.0, 0.0, 0.0)) == pytest.approx([3.0, 4.0, 0.0])
    take_off(scene)
    assert node.GetParentTransformNode() is None


def test_the_same_grid_unmoved_gets_no_second_result(scene, run, make_event):
    signals, collector, inputs = run
    signals.scans.emit(ScansEvent("t1"))
    result = make_event(inputs["t1"])
    signals.result.emit(dataclasses.replace(result, native={"flair": result.file}))
    kinds = {attribute(node, "Kind") for node in nodes_of_run(scene, attribute(collector.segmentations[0], "Run"))}
    assert NATIVE not in kinds
