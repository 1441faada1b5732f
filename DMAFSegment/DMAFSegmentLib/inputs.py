"""Which loaded volume is which MR sequence, and whether the chosen ones can be used together."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import GeometryError, Grid, Node, overlap, volume_grid
from DMAFTraining.modalities import Modality, ModalitySet

TagReader = Callable[[Node, str], str]
"""Value of a DICOM tag such as ``"0008,103E"`` for a volume; empty when there is none."""

_SERIES_DESCRIPTION, _PROTOCOL_NAME, _CONTRAST_MEDIUM = "0008,103E", "0018,1030", "0018,0010"
_REPETITION_TIME, _ECHO_TIME, _INVERSION_TIME = "0018,0080", "0018,0081", "0018,0082"
_NATIVE = re.compile(r"(?<![a-z])(pre|non|no|without|w/o)[\s_\-]*(contrast|gadolinium|gado|gad|gd|enhanced)(?![a-z])")
_CONTRAST = re.compile(r"\+\s*(c|gd|km)(?![a-z0-9])|(?<![a-z])(postcontrast|enhanced|gadolinium|gado|gad)(?![a-z])")
_NO_IMAGE_WORDS = {"seg", "segmentation", "mask", "label", "labels", "labelmap"}


@dataclass(frozen=True)
class Guess:
    """A volume taken for a sequence. ``strength`` orders competing guesses; ``reason`` is for people."""

    node: Node
    modality: str
    reason: str
    strength: int
    rest: tuple[str, ...] = ()


def detect(volumes: Iterable[Node], modalities: ModalitySet, read_tag: TagReader | None = None) -> dict[str, Guess]:
    """Best volume for each sequence of the model; sequences without a candidate are left out.

    Several candidates for one sequence: the stronger match wins, then the one whose remaining name
    is shared by most others (volumes of one patient are named alike), then the latest.
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


def _rank(guess: Guess, relatives: Counter[tuple[str, ...]]) -> tuple[int, int]:
    return guess.strength, relatives[guess.rest]


def guess_sequence(node: Node, modalities: ModalitySet, read_tag: TagReader | None = None) -> Guess | None:
    """What one volume is, from its name, then its DICOM descriptions, then its timing; None when unclear."""
    if node.IsA("vtkMRMLLabelMapVolumeNode") or _NO_IMAGE_WORDS & set(_tokens(node.GetName() or "")):
        return None
    read = read_tag or (lambda node, tag: "")
    contrast = " contrast" if read(node, _CONTRAST_MEDIUM).strip() else ""
    sources = (
        (3, _('its name "{text}"'), node.GetName() or ""),
        (2, _('its series description "{text}"'), read(node, _SERIES_DESCRIPTION)),
        (2, _('its protocol name "{text}"'), read(node, _PROTOCOL_NAME)),
        (1, _("its echo, repetition and inversion times ({text})"), _weighting(node, read)),
    )
    for strength, reason, text in sources:
        match = match_text(text + contrast, modalities) if text else None
        if match is not None:
            modality, rest = match
            reason = reason.format(text=text) + (_(" and its contrast medium") if contrast else "")
            return Guess(node, modality.name, reason, strength, rest)
    return None


def match_text(text: str, modalities: ModalitySet) -> tuple[Modality, tuple[str, ...]] | None:
    """Sequence that a text names, and the words left over; None when it names none or several.

    Words are compared alone and in pairs, so that ``t1 mprage gd`` is found as ``t1gd``. The longest
    spelling wins: ``t2 flair`` is FLAIR although it contains ``t2``.
    """
    words = _tokens(text)
    spellings = {_compact(s): m for m in modalities for s in (m.name, m.title, *m.aliases)}
    # Each word also counts as the sequence it spells: "t1w contrast" is then "t1" + "contrast".
    forms = [(word, word) for word in words] + [(spellings[word].name, word) for word in words if word in spellings]
    hits: dict[int, dict[str, tuple[str, ...]]] = {}
    for used in itertools.chain(((form,) for form in forms), itertools.permutations(forms, 2)):
        spelled = "".join(form for form, _word in used)
        if spelled in spellings:
            hits.setdefault(len(spelled), {})[spellings[spelled].name] = tuple(word for _form, word in used)
    if not hits or len(hits[max(hits)]) != 1:
        return None
    ((name, spent),) = hits[max(hits)].items()
    return modalities[name], tuple(word for word in words if word not in spent)


def _tokens(text: str) -> list[str]:
    text = _CONTRAST.sub(" contrast ", _NATIVE.sub(" native ", text.lower()))
    return re.findall(r"[a-z0-9]+", text)


def _compact(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _weighting(node: Node, read: TagReader) -> str:
    """Weighting that the timing (ms) speaks for, or an empty text between the clear cases."""
    repetition, echo, inversion = (_number(read(node, t)) for t in (_REPETITION_TIME, _ECHO_TIME, _INVERSION_TIME))
    if echo <= 0 or repetition <= 0:
        return ""
    if echo >= 70 and inversion >= 1500:
        return "FLAIR"
    if echo >= 70 and repetition >= 2000:
        return "T2"
    return "T1" if echo <= 30 and repetition <= 3000 else ""


def _number(text: str) -> float:
    try:
        return float(text.split("\\")[0])
    except ValueError:
        return 0.0


def check(chosen: Mapping[str, Node], modalities: ModalitySet) -> list[str]:
    """Why the chosen volumes (sequence name -> volume) cannot be used; an empty list means they can."""
    if not chosen:
        return [_("Choose at least one input volume.")]
    names = [name for name in modalities.names if name in chosen]
    problems = _duplicates(chosen, names, modalities)
    grids: dict[str, Grid] = {}
    for name in names:
        label = f"{modalities[name].title} ({chosen[name].GetName()})"
        try:
            problems += _unusable(chosen[name], label)
            grids[name] = volume_grid(chosen[name])
        except GeometryError as error:
            problems.append(f"{modalities[name].title}: {error}")
    first, *others = grids or [""]
    for name in others:
        if not overlap(grids[first], grids[name]):
            text = _("{first} and {second} do not overlap in space. Choose volumes of one patient and one examination.")
            problems.append(text.format(first=modalities[first].title, second=modalities[name].title))
    return problems


def _duplicates(chosen: Mapping[str, Node], names: list[str], modalities: ModalitySet) -> list[str]:
    text = _('{first} and {second} are the same volume ("{volume}"). Change one of them or set it to None.')
    return [
        text.format(first=modalities[a].title, second=modalities[b].title, volume=chosen[a].GetName())
        for a, b in itertools.combinations(names, 2)
        if chosen[a] is chosen[b]
    ]


def _unusable(node: Node, label: str) -> list[str]:
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        return []  # volume_grid says so
    if image.GetNumberOfScalarComponents() != 1:
        return [_("{volume} has color or several values per voxel. Choose a gray-scale volume.").format(volume=label)]
    if min(image.GetDimensions()) < 2:
        return [_("{volume} is a single slice. Choose a volume with several slices.").format(volume=label)]
    return []


def describe(chosen: Iterable[str], modalities: ModalitySet) -> str:
    """The line under the selectors: which sequences exist and which are missing."""
    chosen = set(chosen)
    present = [m.title for m in modalities if m.name in chosen]
    missing = [m.title for m in modalities if m.name not in chosen]
    if not present:
        return _("No sequence chosen yet. Any of {all} can be used.").format(all=_listed([m.title for m in modalities]))
    if not missing:
        return _("All {count} sequences present: {present}.").format(count=len(present), present=_listed(present))
    return _("{present} present; {missing} missing.").format(present=_listed(present), missing=_listed(missing))


def _listed(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    return _("{first} and {last}").format(first=", ".join(words[:-1]), last=words[-1])


def dicom_tag(node: Node, tag: str) -> str:
    """A :data:`TagReader` on Slicer's DICOM database; empty for volumes that were not loaded from it."""
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return database.instanceValue(uids[0], tag) if uids and database is not None else ""
