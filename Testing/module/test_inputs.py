"""Why volumes are refused."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from DMAFSegmentLib.inputs import check
from DMAFTraining.modalities import BRATS


def test_no_input():
    assert check({}, BRATS) == ["Choose at least one input volume."]


def test_good_inputs_have_no_problem(new_volume):
    assert check({"t1": new_volume("a"), "flair": new_volume("b")}, BRATS) == []


def test_duplicates_name_both_selectors(new_volume):
    same = new_volume("Brain")
    (problem,) = check({"t1": same, "t2": same}, BRATS)
    assert problem.startswith('T1 and T2 are the same volume ("Brain")')


def test_single_slice(new_volume):
    (problem,) = check({"t1": new_volume("Flat", np.zeros((1, 9, 9), np.int16))}, BRATS)
    assert problem.startswith("T1 (Flat) is a single slice")


def test_several_values_per_voxel(scene):
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Color")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    (problem,) = check({"flair": node}, BRATS)
    assert problem.startswith("FLAIR (Color) has color or several values per voxel")


def test_empty_volume(scene):
    (problem,) = check({"t2": scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")}, BRATS)
    assert problem == 'T2: "Empty" holds no image. Choose another volume.'


def test_volumes_far_apart(new_volume):
    far = np.diag([2.0, 2.0, 2.0, 1.0])
    far[0, 3] = 500
    (problem,) = check({"t1": new_volume("a"), "flair": new_volume("b", matrix=far)}, BRATS)
    assert problem.startswith("T1 and FLAIR do not overlap in space")


def test_transform_can_bring_volumes_together(scene, new_volume):
    far = np.diag([2.0, 2.0, 2.0, 1.0])
    far[0, 3] = 500
    node = new_volume("b", matrix=far)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    back = np.eye(4)
    back[0, 3] = -520
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(back))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert check({"t1": new_volume("a"), "flair": node}, BRATS) == []


def test_label_map_is_refused(scene):
    (problem,) = check({"t1": scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Tumor")}, BRATS)
    assert problem == "T1 (Tumor) is a label map. Choose the image, not a segmentation of it."


def test_node_of_another_kind_is_refused(scene):
    (problem,) = check({"t1": scene.AddNewNodeByClass("vtkMRMLModelNode", "Surface")}, BRATS)
    assert problem == "T1 (Surface) is not an image volume. Choose a gray-scale volume."


def test_sequence_over_time_is_refused(scene):
    (problem,) = check({"t1": scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Perfusion")}, BRATS)
    assert problem == "T1 (Perfusion) is a sequence over time (4-D). Choose one volume of it."


def test_nonlinear_transform_is_refused_with_the_way_out(scene, new_volume):
    node = new_volume("warped")
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLGridTransformNode").GetID())
    warp = slicer.vtkOrientedGridTransform()
    node.GetParentTransformNode().SetAndObserveTransformFromParent(warp)
    (problem,) = check({"t1": node, "flair": new_volume("plain")}, BRATS)
    assert problem == 'T1: "warped" is under a transform that is not linear. Harden the transform or remove it.'


def test_volume_without_thickness_is_refused(new_volume):
    (problem,) = check({"t2": new_volume("thin", matrix=np.diag([1.0, 1.0, 0.0, 1.0]))}, BRATS)
    assert problem.startswith('T2: "thin" has no thickness along one of its axes.')


def test_every_unusable_volume_is_named(scene, new_volume):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    flat = new_volume("Flat", np.zeros((1, 9, 9), np.int16))
    assert [text.split(":")[0].split(" ")[0] for text in check({"t2": empty, "t1": flat}, BRATS)] == ["T1", "T2"]
