"""Which loaded volume is which MR sequence: from its name, its DICOM tags, its timing.

A guess says how sure it is and why. High: its name or series description says so and nothing speaks against
it. Medium: only the protocol name, a trade name or the contrast medium says so. Low: only the timing, or two
sources contradict each other.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.inputs import unusable
from DMAFTraining.modalities import Modality, ModalitySet

TagReader = Callable[[Node, str], str]
"""Value of a DICOM tag such as ``"0008,103E"`` for a volume; empty when there is none."""

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
    """How sure a guess is."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def words(self) -> str:
        """For people."""
        return {1: _("low confidence"), 2: _("medium confidence"), 3: _("high confidence")}[self.value]


@dataclass(frozen=True)
class Guess:
    """A volume taken for a sequence. ``reason`` is for people; ``rest`` is the name without the sequence."""

    node: Node
    modality: str
    reason: str
    confidence: Confidence
    strength: int
    rest: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Evidence:
    """What one source says: ``strength`` orders the sources, ``sure`` is how far it can be trusted alone."""

    modality: Modality
    reason: str
    strength: int
    sure: Confidence
    rest: tuple[str, ...]


def detect(volumes: Iterable[Node], modalities: ModalitySet, read_tag: TagReader | None = None) -> dict[str, Guess]:
    """Best volume for each sequence of the model; sequences without a candidate are left out.

    Several candidates for one sequence: the surer one wins, then the stronger source, then the one whose
    remaining name is shared by most others (volumes of one patient are named alike), then the latest.
    """
    found = (guess_sequence(node, modalities, read_tag) for node in volumes)
    guesses = [guess for guess in found if guess is not None]
    relatives = Counter(guess.rest for guess in guesses)
    best: dict[str, Guess] = {}
    for guess in guesses:
        rival = best.get(guess.modality)
        if rival is None or _rank(guess, relatives) >= _rank(rival, relatives):
            best[guess.modality] = guess
    return best


def _rank(guess: Guess, relatives: Counter[tuple[str, ...]]) -> tuple[int, int, int]:
    return guess.confidence, guess.strength, relatives[guess.rest]


def guess_sequence(node: Node, modalities: ModalitySet, read_tag: TagReader | None = None) -> Guess | None:
    """What one volume is; None when unclear, or when it is no image of a sequence (label map, ADC, localizer)."""
    read = read_tag or (lambda node, tag: "")
    texts = (
        (3, Confidence.HIGH, _('its name "{text}"'), node.GetName() or ""),
        (2, Confidence.HIGH, _('its series description "{text}"'), read(node, _SERIES_DESCRIPTION)),
        (1, Confidence.MEDIUM, _('its protocol name "{text}"'), read(node, _PROTOCOL_NAME)),
    )
    other = any(_OTHER_IMAGES & set(_tokens(text)) for *_others, text in texts)
    if other or unusable(node, node.GetName() or ""):
        return None
    contrast = read(node, _CONTRAST_MEDIUM).strip().lower() not in _NO_CONTRAST
    found = [_from_text(text, modalities, contrast, place) for *place, text in texts]
    evidence = [item for item in found if item is not None]
    weighting = _weighting(node, read)
    if not evidence:
        return _from_timing(node, weighting, modalities, contrast)
    best, *others = evidence
    against = [item.reason for item in others if item.modality != best.modality]
    if weighting and not _timing_fits(best.modality, weighting, modalities):
        against.append(_("its timing, which is that of {text}").format(text=weighting))
    reason = best.reason
    if against:
        reason = _("{reason}, against {others}").format(reason=reason, others=_(" and ").join(against))
    confidence = Confidence.LOW if against else best.sure
    return Guess(node, best.modality.name, reason, confidence, best.strength, best.rest)


def _from_text(text: str, modalities: ModalitySet, contrast: bool, place: list) -> _Evidence | None:
    """What one text says; ``place`` is the strength, trust and wording of its source."""
    strength, sure, reason = place
    reason = reason.format(text=text)
    plain = match_text(text, modalities)
    if plain is None:
        for pattern, meaning in _TRADE_NAMES:
            text = pattern.sub(meaning, text.lower())
        plain, sure = match_text(text, modalities), Confidence.MEDIUM
    if plain is None:
        return None
    enhanced = match_text(text + " contrast", modalities) if contrast and "native" not in _tokens(text) else None
    if enhanced is not None and enhanced[0] != plain[0]:
        reason += _(" and its contrast medium")
        return _Evidence(enhanced[0], reason, strength, Confidence.MEDIUM, enhanced[1])
    return _Evidence(plain[0], reason, strength, sure, plain[1])


def _from_timing(node: Node, weighting: str, modalities: ModalitySet, contrast: bool) -> Guess | None:
    match = match_text(weighting + (" contrast" if contrast else ""), modalities) if weighting else None
    if match is None:
        return None
    reason = _("its echo, repetition and inversion times ({text})").format(text=weighting)
    reason += _(" and its contrast medium") if contrast else ""
    return Guess(node, match[0].name, reason, Confidence.LOW, 0, match[1])


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


def _weighting(node: Node, read: TagReader) -> str:
    """Weighting that the timing (ms) speaks for, or an empty text between the clear cases."""
    repetition, echo, inversion = (_number(read(node, t)) for t in (_REPETITION_TIME, _ECHO_TIME, _INVERSION_TIME))
    technique = read(node, _SCANNING_SEQUENCE).upper().replace("\\", " ").split()
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


def dicom_tag(node: Node, tag: str) -> str:
    """A :data:`TagReader` on Slicer's DICOM database; empty for volumes that were not loaded from it."""
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return database.instanceValue(uids[0], tag) if uids and database is not None else ""
