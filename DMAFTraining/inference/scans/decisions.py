"""What the scans of a patient need before the network sees them, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Volume
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.reference_choice import choose_reference
from DMAFTraining.inference.scans.alignment import are_aligned
from DMAFTraining.inference.scans.brain import looks_stripped
from DMAFTraining.inference.scans.options import ScanOptions
from DMAFTraining.inference.scans.verdict import Verdict
from DMAFTraining.modalities import ModalitySet

Step = Literal["registration", "brain", "bias"]

OFF = Verdict(True, "Switched off.")
ON = Verdict(False, "Switched on.")
_SLICES = Verdict(True, "A model of slices takes its images as they are.")


@dataclass(frozen=True)
class Decision:
    """Whether a step is needed for one sequence, or for all of them (None), and a sentence that says why."""

    step: Step
    sequence: str | None
    needed: bool
    reason: str


@dataclass(frozen=True)
class Plan:
    """All decisions for one patient.

    Attributes:
        reference: the sequence that does not move and whose grid receives the results.
        decisions: per step and sequence, in the order of the steps.
        heads: sequences that show more than the brain.
        brains: sequences that show the brain alone. Models of slices see no brains: both are empty.
    """

    reference: str
    decisions: tuple[Decision, ...]
    heads: tuple[str, ...] = ()
    brains: tuple[str, ...] = ()

    def needed(self, step: Step) -> tuple[str, ...]:
        """Sequences that a step is needed for."""
        return tuple(d.sequence for d in self.decisions if d.step == step and d.needed and d.sequence is not None)


def decide(
    volumes: Mapping[str, Volume],
    modalities: ModalitySet,
    preprocessing: Preprocessing,
    options: ScanOptions,
    reference: str | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Plan:
    """Look at the scans and decide which steps they need.

    Without a choice of the user, the reference is the first sequence, as for images that need nothing; where one has to
    be moved, it is that of the fullest resolution.

    Args:
        volumes: scan of each sequence that exists, by name.
        modalities: sequences of the model.
        preprocessing: of the model.
        options: choices of the user.
        reference: the user's choice of the sequence that receives the results.
        on_progress: told 0..1 over and over while scans are compared; what it raises stops the work.

    Raises:
        InputError: no sequence, a reference that was not given, or a brain asked for from a model of slices.
    """
    if not volumes:
        raise InputError("No sequence was given.", f"Give at least one of {', '.join(modalities.names)}.")
    if reference is not None and reference not in volumes:
        raise InputError(f"The reference {reference!r} is not among the given sequences.", "Choose one that is given.")
    slices = preprocessing.slice_size is not None
    if slices and options.brain not in ("auto", "off"):
        raise InputError("This model works on slices that do not show a brain.", "Switch brain extraction off.")
    given = modalities.subset(volumes).names
    fullest = reference or choose_reference({name: volumes[name].grid.spacing for name in given}, modalities)
    scans = {name: volumes[name] for name in (fullest, *given)}
    alignment = _alignment(scans, fullest, _SLICES if slices else None, options, on_progress)
    stripped = {} if slices else {name: looks_stripped(volumes[name]) for name in given}
    registrations = [Decision("registration", name, not v.fine, v.reason) for name, v in alignment.items()]
    moves = any(decision.needed for decision in registrations)
    brains = [_brain_decision(name, _SLICES if slices else stripped[name], options) for name in given]
    bias = ON if options.bias_correction else OFF
    biases = [Decision("bias", name, not bias.fine, bias.reason) for name in given]
    heads, alone = (tuple(name for name, v in stripped.items() if v.fine is fine) for fine in (False, True))
    return Plan(fullest if moves else reference or given[0], (*registrations, *brains, *biases), heads, alone)


def _alignment(
    volumes: Mapping[str, Volume],
    reference: str,
    settled: Verdict | None,
    options: ScanOptions,
    on_progress: Callable[[float], None],
) -> dict[str, Verdict]:
    others = [name for name in volumes if name != reference]
    if options.registration != "auto":
        return dict.fromkeys(others, ON if options.registration == "on" else OFF)
    if settled:
        return dict.fromkeys(others, settled)
    return are_aligned(volumes, reference, on_progress)


def _brain_decision(name: str, stripped: Verdict, options: ScanOptions) -> Decision:
    chosen = {"auto": stripped, "off": OFF}.get(options.brain, Verdict(False, f"Asked for: {options.brain}."))
    return Decision("brain", name, not chosen.fine, chosen.reason)
