"""Which volume is which sequence, and why volumes are refused."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from DMAFSegmentLib.inputs import check, describe, detect, guess_sequence, match_text
from DMAFTraining.modalities import BRATS, MYOPS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BraTS20_Training_001_t1", "t1"),
        ("BraTS20_Training_001_t1ce", "t1ce"),
        ("BraTS-GLI-00000-000-t1n", "t1"),
        ("BraTS-GLI-00000-000-t1c", "t1ce"),
        ("BraTS-GLI-00000-000-t2w", "t2"),
        ("BraTS-GLI-00000-000-t2f", "flair"),
        ("sub-01_ce-gadolinium_T1w", "t1ce"),
        ("sub-01_T1w", "t1"),
        ("sub-01_FLAIR", "flair"),
        ("AX T1 POST", "t1ce"),
        ("5: t1_mprage_sag_gd", "t1ce"),
        ("Ax T1 SE +C", "t1ce"),
        ("T1 pre contrast", "t1"),
        ("T1 post contrast", "t1ce"),
        ("T1w without Gd", "t1"),
        ("T1w contrast", "t1ce"),
        ("Ax T2 FLAIR", "flair"),
        ("t2_tirm_dark-fluid_FLAIR", "flair"),
        ("T2w TSE", "t2"),
        ("T1 T2", None),
        ("ADC map", None),
        ("patient1", None),
        ("MRHead", None),
        ("", None),
    ],
)
def test_brain_names(text, expected):
    match = match_text(text, BRATS)
    assert (match and match[0].name) == expected


@pytest.mark.parametrize(("text", "expected"), [("case_C0", "bssfp"), ("case_DE", "lge"), ("case_T2", "t2")])
def test_heart_names_come_from_the_model(text, expected):
    assert match_text(text, MYOPS)[0].name == expected


def test_rest_of_the_name_is_what_is_not_the_sequence():
    assert match_text("BraTS_007_t1_post", BRATS)[1] == ("brats", "007")


def test_detection_fills_each_sequence_once(new_volume):
    nodes = {name: new_volume(f"case_{name}") for name in ("t2", "flair", "t1ce", "t1")}
    found = detect(nodes.values(), BRATS)
    assert {name: guess.node for name, guess in found.items()} == nodes
    assert found["t1"].reason == 'its name "case_t1"'


def test_detection_prefers_volumes_of_one_patient(new_volume):
    new_volume("patientA_t1")
    wanted = [new_volume("patientB_t1"), new_volume("patientB_flair")]
    late = new_volume("patientC_t1")
    found = detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)
    assert [found["t1"].node, found["flair"].node] == wanted
    assert late is not found["t1"].node


def test_latest_of_equal_candidates_wins(new_volume):
    new_volume("A_t1")
    latest = new_volume("B_t1")
    assert detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)["t1"].node is latest


@pytest.mark.parametrize("name", ["t1_seg", "T1 mask", "flair label"])
def test_segmentations_by_name_are_no_input(new_volume, name):
    assert guess_sequence(new_volume(name), BRATS) is None


def test_label_maps_are_no_input(scene):
    assert guess_sequence(scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "t1"), BRATS) is None


def reader(tags):
    return lambda node, tag: tags.get(tag, "")


@pytest.mark.parametrize(
    ("tags", "expected", "reason"),
    [
        ({"0008,103E": "AX FLAIR 3mm"}, "flair", 'its series description "AX FLAIR 3mm"'),
        ({"0018,1030": "T2 TSE"}, "t2", 'its protocol name "T2 TSE"'),
        ({"0008,103E": "T1 MPRAGE", "0018,0010": "Gadovist"}, "t1ce", "contrast medium"),
        ({"0018,0080": "2000", "0018,0081": "9"}, "t1", "times (T1)"),
        ({"0018,0080": "4500", "0018,0081": "100"}, "t2", "times (T2)"),
        ({"0018,0080": "9000", "0018,0081": "120", "0018,0082": "2500"}, "flair", "times (FLAIR)"),
        ({"0018,0080": "500", "0018,0081": "10", "0018,0010": "Gd"}, "t1ce", "contrast medium"),
    ],
)
def test_dicom_tags_help_when_the_name_does_not(new_volume, tags, expected, reason):
    guess = guess_sequence(new_volume("7: unnamed"), BRATS, reader(tags))
    assert guess.modality == expected
    assert reason in guess.reason


@pytest.mark.parametrize("tags", [{}, {"0018,0080": "3000", "0018,0081": "45"}, {"0018,0081": "not a number"}])
def test_unclear_timing_is_no_guess(new_volume, tags):
    assert guess_sequence(new_volume("7: unnamed"), BRATS, reader(tags)) is None


def test_name_beats_tags(new_volume):
    guess = guess_sequence(new_volume("flair"), BRATS, reader({"0008,103E": "T1 MPRAGE"}))
    assert guess.modality == "flair"


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


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["t1", "flair"], "T1 and FLAIR present; T1ce and T2 missing."),
        (["t2"], "T2 present; T1, T1ce and FLAIR missing."),
        (["t1", "t1ce", "flair", "t2"], "All 4 sequences present: T1, T1ce, FLAIR and T2."),
        ([], "No sequence chosen yet. Any of T1, T1ce, FLAIR and T2 can be used."),
    ],
)
def test_summary_line(names, text):
    assert describe(names, BRATS) == text
