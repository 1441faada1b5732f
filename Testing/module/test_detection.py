"""Which volume is which sequence: names, DICOM tags, timing, and how sure the guess is."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.detection import Confidence, detect, dicom_tag, guess_sequence, match_text
from DMAFTraining.modalities import BRATS, MYOPS

DESCRIPTION, PROTOCOL, CONTRAST = "0008,103E", "0018,1030", "0018,0010"
TR, TE, TI, TECHNIQUE = "0018,0080", "0018,0081", "0018,0082", "0018,0020"


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
        ("t1ce T1w", "t1ce"),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FLAIR to T1", "flair"),
        ("T1_to_FLAIR", "t1"),
        ("sub-01_space-T1w_FLAIR", "flair"),
        ("sub-01_space-FLAIR_T1w", "t1"),
        ("T2 in T1 space", "t2"),
        ("t2_space_sag", "t2"),
    ],
)
def test_the_target_of_a_registration_is_not_the_sequence(text, expected):
    assert match_text(text, BRATS)[0].name == expected


def test_t1_flair_is_unclear():
    # A product name for T1 weighting with an inversion: neither word is the whole truth.
    assert match_text("Ax T1 FLAIR", BRATS) is None


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
    new_volume("patientC_t1")
    found = detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)
    assert [found["t1"].node, found["flair"].node] == wanted


def test_latest_of_equal_candidates_wins(new_volume):
    new_volume("A_t1")
    latest = new_volume("B_t1")
    assert detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)["t1"].node is latest


def test_surer_candidate_wins(new_volume):
    sure = new_volume("T1")
    new_volume("MPRAGE")
    assert detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)["t1"].node is sure


@pytest.mark.parametrize(
    "name", ["t1_seg", "T1 mask", "flair label", "T2* GRE", "t2_star", "T2 localizer", "T1 map", "ep2d_diffusion_T2"]
)
def test_other_images_are_no_input(new_volume, name):
    assert guess_sequence(new_volume(name), BRATS) is None


def test_label_maps_are_no_input(scene):
    assert guess_sequence(scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "t1"), BRATS) is None


def test_what_cannot_be_segmented_is_not_chosen(scene, new_volume):
    assert guess_sequence(new_volume("t1", np.zeros((1, 9, 9), np.int16)), BRATS) is None
    color = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "t1")
    slicer.util.updateVolumeFromArray(color, np.zeros((4, 4, 4, 3), np.uint8))
    assert guess_sequence(color, BRATS) is None


def reader(tags):
    return lambda node, tag: tags.get(tag, "")


@pytest.mark.parametrize(
    ("tags", "expected", "confidence", "reason"),
    [
        ({DESCRIPTION: "AX FLAIR 3mm"}, "flair", "high", 'its series description "AX FLAIR 3mm"'),
        ({PROTOCOL: "T2 TSE"}, "t2", "medium", 'its protocol name "T2 TSE"'),
        ({DESCRIPTION: "Sag MPRAGE"}, "t1", "medium", 'its series description "Sag MPRAGE"'),
        ({DESCRIPTION: "dark-fluid"}, "flair", "medium", "dark-fluid"),
        ({DESCRIPTION: "T1 MPRAGE", CONTRAST: "Gadovist"}, "t1ce", "medium", "contrast medium"),
        ({DESCRIPTION: "T1 MPRAGE", CONTRAST: "NONE"}, "t1", "high", "MPRAGE"),
        ({DESCRIPTION: "T1 pre contrast", CONTRAST: "Gadovist"}, "t1", "high", "pre contrast"),
        ({DESCRIPTION: "FLAIR", CONTRAST: "Gadovist"}, "flair", "high", "FLAIR"),
        ({TR: "2000", TE: "9"}, "t1", "low", "times (T1)"),
        ({TR: "4500", TE: "100"}, "t2", "low", "times (T2)"),
        ({TR: "9000", TE: "120", TI: "2500"}, "flair", "low", "times (FLAIR)"),
        ({TR: "500", TE: "10", CONTRAST: "Gd"}, "t1ce", "low", "contrast medium"),
        ({DESCRIPTION: "T1 FLAIR", TR: "2500", TE: "12", TI: "900"}, "t1", "low", "times (T1)"),
        ({DESCRIPTION: "FLAIR", TR: "500", TE: "10"}, "flair", "low", "against its timing, which is that of T1"),
        ({DESCRIPTION: "FLAIR", PROTOCOL: "T2 TSE"}, "flair", "low", 'against its protocol name "T2 TSE"'),
        ({DESCRIPTION: "T1 POST", TR: "500", TE: "10"}, "t1ce", "high", "T1 POST"),
    ],
)
def test_dicom_tags_help_when_the_name_does_not(new_volume, tags, expected, confidence, reason):
    guess = guess_sequence(new_volume("7: unnamed"), BRATS, reader(tags))
    assert guess.modality == expected
    assert guess.confidence.words == f"{confidence} confidence"
    assert reason in guess.reason


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {TR: "3000", TE: "45"},
        {TE: "not a number"},
        {TR: "5000", TE: "90", TECHNIQUE: "EP\\SE"},  # echo-planar: diffusion
        {TR: "700", TE: "20", TECHNIQUE: "GR"},  # T2*
    ],
)
def test_unclear_timing_is_no_guess(new_volume, tags):
    assert guess_sequence(new_volume("7: unnamed"), BRATS, reader(tags)) is None


def test_name_beats_tags_but_not_with_confidence(new_volume):
    guess = guess_sequence(new_volume("flair"), BRATS, reader({DESCRIPTION: "T1 MPRAGE"}))
    assert guess.modality == "flair"
    assert guess.confidence is Confidence.LOW
    assert guess.reason == 'its name "flair", against its series description "T1 MPRAGE"'


def test_tags_come_from_the_dicom_database(host, new_volume):
    node = new_volume("7: unnamed")
    assert dicom_tag(node, DESCRIPTION) == ""
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    host.dicom.values[("1.2.3", DESCRIPTION)] = "AX FLAIR"
    assert guess_sequence(node, BRATS, dicom_tag).modality == "flair"
