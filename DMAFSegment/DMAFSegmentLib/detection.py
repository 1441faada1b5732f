"""Which loaded volume is which MR sequence: the findings of ``sequence_names`` about volumes, in translated words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.inputs import unusable
from DMAFTraining.inference import sequence_names
from DMAFTraining.inference.sequence_names import match_text as match_text
from DMAFTraining.modalities import ModalitySet

TagReader = Callable[[Node, str], str]
"""Value of a DICOM tag such as ``"0008,103E"`` for a volume; empty when there is none."""


class Confidence(IntEnum):
    """How sure a guess is: that of ``sequence_names`` with words."""

    LOW = sequence_names.Confidence.LOW
    MEDIUM = sequence_names.Confidence.MEDIUM
    HIGH = sequence_names.Confidence.HIGH

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
    name = node.GetName() or ""
    read = read_tag or (lambda node, tag: "")
    finding = sequence_names.find_sequence(name, lambda tag: read(node, tag), modalities)
    if finding is None or unusable(node, name):
        return None
    confidence, best = Confidence(finding.confidence), finding.best
    return Guess(node, finding.modality, finding.reason(_wording()), confidence, best.strength, best.rest)


def _wording() -> sequence_names.Wording:
    """In the language of the application."""
    return sequence_names.Wording(
        name=_('its name "{text}"'),
        description=_('its series description "{text}"'),
        protocol=_('its protocol name "{text}"'),
        timing=_("its echo, repetition and inversion times ({text})"),
        rival_timing=_("its timing, which is that of {text}"),
        contrast=_(" and its contrast medium"),
        against=_("{reason}, against {others}"),
        joined=_(" and "),
    )


def dicom_tag(node: Node, tag: str) -> str:
    """A :data:`TagReader` on Slicer's DICOM database; empty for volumes that were not loaded from it."""
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return database.instanceValue(uids[0], tag) if uids and database is not None else ""
