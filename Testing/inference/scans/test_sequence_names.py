"""Findings about names and tags, and that they can be told in other words."""

from __future__ import annotations

import pytest

from DMAFTraining.inference.sequence_names import Confidence, Wording, find_sequence, match_text, other_image
from DMAFTraining.modalities import BRATS, MYOPS, Modality, ModalitySet

DESCRIPTION, PROTOCOL, CONTRAST = "0008,103E", "0018,1030", "0018,0010"


def read(tags):
    return lambda tag: tags.get(tag, "")


@pytest.mark.parametrize(
    ("name", "tags", "modality", "confidence", "reason"),
    [
        ("case_flair", {}, "flair", Confidence.HIGH, 'its name "case_flair"'),
        ("", {DESCRIPTION: "Ax T2"}, "t2", Confidence.HIGH, 'its series description "Ax T2"'),
        ("", {PROTOCOL: "T2 TSE"}, "t2", Confidence.MEDIUM, 'its protocol name "T2 TSE"'),
        (
            "",
            {DESCRIPTION: "T1", CONTRAST: "Gadovist"},
            "t1ce",
            Confidence.MEDIUM,
            'its series description "T1" and its contrast medium',
        ),
        (
            "",
            {DESCRIPTION: "FLAIR", PROTOCOL: "T2", "0018,0080": "500", "0018,0081": "10"},
            "flair",
            Confidence.LOW,
            'its series description "FLAIR", against its protocol name "T2" and its timing, which is that of T1',
        ),
    ],
)
def test_a_finding_tells_the_sequence_how_sure_and_why(name, tags, modality, confidence, reason):
    finding = find_sequence(name, read(tags), BRATS)
    assert (finding.modality, finding.confidence, finding.reason()) == (modality, confidence, reason)


def test_reasons_can_be_told_in_another_language():
    german = Wording(description='die Serienbeschreibung "{text}"', contrast=" und das Kontrastmittel")
    finding = find_sequence("", read({DESCRIPTION: "T1", CONTRAST: "Gd"}), BRATS)
    assert finding.reason(german) == 'die Serienbeschreibung "T1" und das Kontrastmittel'


def test_the_word_of_another_kind_of_image_is_told():
    assert other_image("", read({DESCRIPTION: "3-plane Localizer"})) == "localizer"
    assert other_image("t1_seg", read({})) == "seg"
    assert other_image("t1", read({DESCRIPTION: "mprage"})) == ""
    assert find_sequence("", read({DESCRIPTION: "T2 ADC"}), BRATS) is None


def test_any_set_of_sequences_is_known_by_its_own_names():
    assert match_text("PSIR LGE sax", MYOPS)[0].name == "lge"
    own = ModalitySet((Modality("pd", "PD", ("protondensity",)),))
    assert match_text("ax Proton-Density", own)[0].name == "pd"
    assert match_text("ax T1", own) is None
