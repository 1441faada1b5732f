"""Which MR sequence an image is: from its name, its DICOM tags, its timing.

Standard library only, and no words for people inside the logic: the Slicer module shows the same findings translated.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from DMAFTraining.modalities import Modality, ModalitySet

TagReader = Callable[[str], str]
"""Value of a DICOM tag such as ``"0008,103E"`` of an image; empty when there is none."""

_SERIES_DESCRIPTION, _PROTOCOL_NAME, _CONTRAST_MEDIUM = "0008,103E", "0018,1030", "0018,0010"
_REPETITION_TIME, _ECHO_TIME, _INVERSION_TIME = "0018,0080", "0018,0081", "0018,0082"
_SCANNING_SEQUENCE = "0018,0020"
_NO_CONTRAST = {"", "no", "none", "n", "n/a", "0", "without", "unenhanced"}
_NATIVE = re.compile(r"(?<![a-z])(pre|non|no|without|w/o)[\s_\-]*(contrast|gadolinium|gado|gad|gd|enhanced)(?![a-z])")
_CONTRAST = re.compile(r"\+\s*(c|gd|km)(?![a-z0-9])|(?<![a-z])(postcontrast|enhanced|gadolinium|gado|gad)(?![a-z])")
# A registered image is named after its target too: "FLAIR to T1", "space-T1w_FLAIR".
_TARGET = re.compile(r"(?<![a-z0-9])(space-[a-z0-9]+|(to|onto|into|in)[\s_\-]+[a-z0-9]+)(?![a-z0-9])")
_TRADE_NAMES = (
    (re.compile(r"(?<![a-z])(mp-?rage|f?spgr|bravo)(?![a-z])"), " t1 "),
    (re.compile(r"dark[\s_\-]*fluid"), " flair "),
)
_OTHER_IMAGES = {
    *("seg", "segmentation", "mask", "label", "labels", "labelmap", "map", "mapping", "subtraction", "mip"),
    *("adc", "dwi", "dti", "diffusion", "trace", "tensor", "swi", "star", "tof", "mra", "mrv"),
    *("perfusion", "dsc", "asl", "cbf", "cbv", "bold", "fmri", "localizer", "localiser", "scout", "survey"),
}


class Confidence(IntEnum):
    """How sure a finding is.

    High: the name or the series description says so and nothing speaks against it. Medium: only the protocol name, a
    trade name or the contrast medium says so. Low: only the timing, or two sources contradict each other.
    """

    LOW = 1
    MEDIUM = 2
    HIGH = 3


# Where a text stands -> its strength, and how far it can be trusted alone.
_TRUST = {"name": (3, Confidence.HIGH), "description": (2, Confidence.HIGH), "protocol": (1, Confidence.MEDIUM)}


@dataclass(frozen=True)
class Wording:
    """How a finding is put into words, in English or, from the Slicer module, translated."""

    name: str = 'its name "{text}"'
    description: str = 'its series description "{text}"'
    protocol: str = 'its protocol name "{text}"'
    timing: str = "its echo, repetition and inversion times ({text})"
    rival_timing: str = "its timing, which is that of {text}"
    contrast: str = " and its contrast medium"
    against: str = "{reason}, against {others}"
    joined: str = " and "


@dataclass(frozen=True)
class Evidence:
    """What one source says an image is.

    Attributes:
        modality: the sequence.
        place: the source, which is the name of a field of :class:`Wording`.
        text: what stands there, or the weighting that the timing speaks for.
        contrast: the contrast medium counted too.
        strength: order of the sources, the strongest highest.
        sure: how far the source can be trusted alone.
        rest: words of the text without those of the sequence.
    """

    modality: Modality
    place: str
    text: str
    contrast: bool
    strength: int
    sure: Confidence
    rest: tuple[str, ...]

    def words(self, wording: Wording) -> str:
        """For people."""
        text = str(getattr(wording, self.place)).format(text=self.text)
        return text + (wording.contrast if self.contrast else "")


@dataclass(frozen=True)
class Finding:
    """An image taken for a sequence because of ``best``, although ``rivals`` or the timing may say otherwise."""

    best: Evidence
    rivals: tuple[Evidence, ...] = ()
    rival_timing: str = ""

    @property
    def modality(self) -> str:
        """Name of the sequence."""
        return self.best.modality.name

    @property
    def confidence(self) -> Confidence:
        """How sure it is; see :class:`Confidence`."""
        return Confidence.LOW if self.rivals or self.rival_timing else self.best.sure

    def reason(self, wording: Wording = Wording()) -> str:
        """Why, for people: a part of a sentence that follows "because of"."""
        against = [rival.words(wording) for rival in self.rivals]
        if self.rival_timing:
            against.append(wording.rival_timing.format(text=self.rival_timing))
        reason = self.best.words(wording)
        return wording.against.format(reason=reason, others=wording.joined.join(against)) if against else reason


def find_sequence(name: str, read: TagReader, modalities: ModalitySet) -> Finding | None:
    """What an image is; None when unclear, or when it is no image of a sequence (label map, ADC, localizer).

    Args:
        name: of the image, or an empty text when only the tags can tell.
        read: its DICOM tags.
        modalities: sequences to choose from.
    """
    texts = _texts(name, read)
    if other_image(name, read):
        return None
    contrast = read(_CONTRAST_MEDIUM).strip().lower() not in _NO_CONTRAST
    found = [_from_text(place, text, modalities, contrast) for place, text in texts.items()]
    evidence = [item for item in found if item is not None]
    weighting = _weighting(read)
    if not evidence:
        return _from_timing(weighting, modalities, contrast)
    best, *others = evidence
    rivals = tuple(item for item in others if item.modality != best.modality)
    fits = not weighting or _timing_fits(best.modality, weighting, modalities)
    return Finding(best, rivals, "" if fits else weighting)


def other_image(name: str, read: TagReader) -> str:
    """Word that tells that an image is none of a sequence, such as ``"localizer"``; empty when there is none."""
    words = [word for text in _texts(name, read).values() for word in _tokens(text)]
    return next((word for word in words if word in _OTHER_IMAGES), "")


def _texts(name: str, read: TagReader) -> dict[str, str]:
    """Texts that may tell the sequence, the strongest first; keys are those of :data:`_TRUST`."""
    return dict(zip(_TRUST, (name, read(_SERIES_DESCRIPTION), read(_PROTOCOL_NAME)), strict=True))


def _from_text(place: str, text: str, modalities: ModalitySet, contrast: bool) -> Evidence | None:
    """What one text says."""
    strength, sure = _TRUST[place]
    said = text
    plain = match_text(text, modalities)
    if plain is None:
        for pattern, meaning in _TRADE_NAMES:
            text = pattern.sub(meaning, text.lower())
        plain, sure = match_text(text, modalities), Confidence.MEDIUM
    if plain is None:
        return None
    enhanced = match_text(text + " contrast", modalities) if contrast and "native" not in _tokens(text) else None
    if enhanced is not None and enhanced[0] != plain[0]:
        return Evidence(enhanced[0], place, said, True, strength, Confidence.MEDIUM, enhanced[1])
    return Evidence(plain[0], place, said, False, strength, sure, plain[1])


def _from_timing(weighting: str, modalities: ModalitySet, contrast: bool) -> Finding | None:
    match = match_text(weighting + (" contrast" if contrast else ""), modalities) if weighting else None
    if match is None:
        return None
    return Finding(Evidence(match[0], "timing", weighting, contrast, 0, Confidence.LOW, match[1]))


def _timing_fits(modality: Modality, weighting: str, modalities: ModalitySet) -> bool:
    """Could a sequence have this timing? It does not tell whether contrast medium was given."""
    said = [match_text(text, modalities) for text in (weighting, weighting + " contrast")]
    known = [match[0] for match in said if match is not None]
    return not known or modality in known


def match_text(text: str, modalities: ModalitySet) -> tuple[Modality, tuple[str, ...]] | None:
    """Sequence that a text names, and the words left over; None when it names none or several.

    Words are compared alone and in pairs, so that ``t1 mprage gd`` is found as ``t1gd``. The longest
    spelling wins: ``t2 flair`` is FLAIR although it contains ``t2``. But ``t1 flair`` is unclear: none of
    the two spellings is a part of the other.
    """
    words = _tokens(text)
    spellings = {_compact(s): m for m in modalities for s in (m.name, m.title, *m.aliases)}
    # Each word also counts as the sequence it spells: "t1w contrast" is then "t1" + "contrast".
    forms = [(word, word) for word in words] + [(spellings[word].name, word) for word in words if word in spellings]
    hits: dict[str, tuple[str, ...]] = {}
    for used in itertools.chain(((form,) for form in forms), itertools.permutations(forms, 2)):
        spelled = "".join(form for form, _word in used)
        if spelled in spellings:
            hits[spelled] = tuple(word for _form, word in used)
    longest = [spelled for spelled in hits if len(spelled) == max(map(len, hits))]
    if len({spellings[spelled].name for spelled in longest}) != 1:
        return None
    winner = spellings[longest[0]]
    rest = tuple(word for word in words if word not in hits[longest[0]])
    rivals = {spellings[word] for word in rest if word in spellings} - {winner}
    if any(_compact(rival.name) not in longest[0] for rival in rivals):
        return None
    return winner, rest


def _tokens(text: str) -> list[str]:
    text = _CONTRAST.sub(" contrast ", _NATIVE.sub(" native ", text.lower().replace("t2*", " t2 star ")))
    return re.findall(r"[a-z0-9]+", _TARGET.sub(" ", text))


def _compact(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _weighting(read: TagReader) -> str:
    """Weighting that the timing (ms) speaks for, or an empty text between the clear cases."""
    repetition, echo, inversion = (_number(read(t)) for t in (_REPETITION_TIME, _ECHO_TIME, _INVERSION_TIME))
    technique = read(_SCANNING_SEQUENCE).upper().replace("\\", " ").split()
    if echo <= 0 or repetition <= 0 or "EP" in technique:  # echo-planar: diffusion, perfusion
        return ""
    if echo >= 70 and inversion >= 1500:
        return "FLAIR"
    if echo >= 70 and repetition >= 2000:
        return "T2"
    longest_t1_echo = 12 if "GR" in technique else 30  # a gradient echo with a long echo time is T2*
    return "T1" if echo <= longest_t1_echo and repetition <= 3000 else ""


def _number(text: str) -> float:
    try:
        return float(text.split("\\")[0])
    except ValueError:
        return 0.0
