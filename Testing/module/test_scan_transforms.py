"""Transforms that a run found: on record, put on volumes, taken off, saved with the scene."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from DMAFSegmentLib.alignment import add_transform, movement, put_on, run_put_on, take_off, transforms_of_run
from DMAFSegmentLib.attributes import attribute
from DMAFSegmentLib.geometry import volume_grid
from DMAFSegmentLib.run_folder import folder_of
from DMAFSegmentLib.scans_event import ScansEvent
from results_rig import hierarchy
from transform_rig import QUARTER, rows, shift, world


@pytest.fixture
def moved_run(scene, run, inputs):
    """A run that found QUARTER for FLAIR; gives its identifier."""

    def build(matrix=QUARTER):
        signals, _, _ = run
        signals.scans.emit(ScansEvent("t1", transforms={"flair": rows(matrix)}))
        return attribute(scene.GetFirstNodeByName("FLAIR to T1"), "Run")

    return build


def test_a_transform_takes_points_where_the_worker_meant(scene, inputs, moved_run):
    run_id = moved_run()
    (transform,) = transforms_of_run(scene, run_id)
    assert inputs["flair"].GetParentTransformNode() is None, "it is on record, not applied"
    assert put_on(scene, run_id) == []
    assert inputs["flair"].GetParentTransformNode() is transform
    assert world(inputs["flair"], (1.0, 2.0, 3.0)) == pytest.approx([8.0, 21.0, 33.0])
    assert inputs["t1"].GetParentTransformNode() is None
    # Voxel (0, 0, 0) lies at (24, 20, -16): turned and moved to (-10, 44, 14).
    assert volume_grid(inputs["flair"]).ijk_to_ras[:3, 3] == pytest.approx([-10.0, 44.0, 14.0])


def test_it_composes_with_the_transform_the_volume_was_under(scene, inputs, moved_run):
    """The worker saw FLAIR moved by (100, 0, 0). Hardened it lies there still: QUARTER then holds for the world."""
    own = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "mine")
    own.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(shift(100, 0, 0), float)))
    inputs["flair"].SetAndObserveTransformNodeID(own.GetID())
    run_id = moved_run()
    (reason,) = put_on(scene, run_id)
    assert reason == '"case_flair" is left where it is: you put it under a transform of your own ("mine").'
    assert inputs["flair"].GetParentTransformNode() is own
    inputs["flair"].HardenTransform()
    assert put_on(scene, run_id) == []
    # Voxel (0, 0, 0): (24, 20, -16), hardened at (124, 20, -16), turned and moved to (-10, 144, 14).
    assert volume_grid(inputs["flair"]).ijk_to_ras[:3, 3] == pytest.approx([-10.0, 144.0, 14.0])
    take_off(scene)
    assert volume_grid(inputs["flair"]).ijk_to_ras[:3, 3] == pytest.approx([124.0, 20.0, -16.0])


@pytest.mark.parametrize("name", ["t1", "flair"])
def test_a_scan_that_was_moved_since_is_left_alone(scene, inputs, moved_run, name):
    run_id = moved_run()
    inputs[name].SetOrigin(0, 0, 0.5)
    (reason,) = put_on(scene, run_id)
    assert f'"case_{name}" was moved since the run' in reason
    assert run_put_on(scene) == ""


def test_take_off_leaves_what_it_did_not_put_on(scene, inputs, moved_run, new_volume):
    run_id = moved_run()
    put_on(scene, run_id)
    other, own = new_volume("other"), scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "mine")
    other.SetAndObserveTransformNodeID(transforms_of_run(scene, run_id)[0].GetID())
    inputs["t1"].SetAndObserveTransformNodeID(own.GetID())
    assert run_put_on(scene) == run_id
    take_off(scene)
    assert run_put_on(scene) == ""
    assert inputs["flair"].GetParentTransformNode() is None
    assert other.GetParentTransformNode() is not None, "the user did that"
    assert inputs["t1"].GetParentTransformNode() is own


def test_a_volume_that_left_is_told(scene, inputs, moved_run):
    run_id = moved_run()
    scene.RemoveNode(inputs["flair"])
    assert put_on(scene, run_id) == ['"FLAIR to T1": a scan of it is no longer in the scene.']


def test_removing_the_run_brings_the_scan_back(scene, inputs, moved_run):
    hierarchy(scene)
    run_id = moved_run()
    put_on(scene, run_id)
    hierarchy(scene).RemoveItem(folder_of(scene, run_id))
    assert inputs["flair"].GetParentTransformNode() is None
    assert volume_grid(inputs["flair"]).ijk_to_ras[:3, 3] == pytest.approx([24.0, 20.0, -16.0])


def test_what_was_put_on_is_taken_off_after_saving_and_loading(scene, inputs, moved_run, tmp_path):
    run_id = moved_run()
    put_on(scene, run_id)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    scene.Clear(0)
    slicer.util.loadScene(path)
    flair = slicer.util.getNode("case_flair")
    assert run_put_on(scene) == run_id
    assert volume_grid(flair).ijk_to_ras[:3, 3] == pytest.approx([-10.0, 44.0, 14.0])
    take_off(scene)
    assert flair.GetParentTransformNode() is None
    assert put_on(scene, run_id) == []
    assert volume_grid(flair).ijk_to_ras[:3, 3] == pytest.approx([-10.0, 44.0, 14.0])


def test_the_file_of_a_transform_holds_what_itk_expects(scene, inputs, moved_run, tmp_path):
    """ITK's transforms go from the fixed to the moving space, in LPS: (8, 21, 33) back to (1, 2, 3) in RAS."""
    (transform,) = transforms_of_run(scene, moved_run())
    file = tmp_path / "flair.h5"
    assert slicer.util.saveNode(transform, str(file))
    read = sitk.ReadTransform(str(file))
    assert read.TransformPoint((-8.0, -21.0, 33.0)) == pytest.approx((-1.0, -2.0, 3.0))


def test_movement_is_that_of_the_middle(inputs):
    """The middle of the volume is at (1, 1, -1): QUARTER takes it to (9, 21, 29)."""
    found = movement(QUARTER, inputs["flair"])
    assert found.distance_mm == pytest.approx(np.sqrt(8**2 + 20**2 + 30**2))
    assert found.angle_deg == pytest.approx(90)
    assert movement(np.eye(4).tolist(), inputs["flair"]).angle_deg == 0


def test_names_of_transforms_stay_unique(scene, inputs):
    one, two = (add_transform(scene, "FLAIR to T1", QUARTER, inputs["flair"], inputs["t1"]) for _ in range(2))
    assert one.GetName() == "FLAIR to T1"
    assert two.GetName() != one.GetName()
