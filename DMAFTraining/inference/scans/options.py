"""What a user asks for when scans come straight from a scanner: alignment, brain extraction, bias correction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from DMAFTraining.inference.errors import InputError

RegistrationChoice = Literal["auto", "on", "off"]
BrainChoice = Literal["auto", "off", "deepbet", "hd-bet", "mask"]


@dataclass(frozen=True)
class ScanOptions:
    """Choices for the steps before the network; the defaults decide from the images.

    Args:
        registration: "auto" aligns the sequences that are not aligned yet, "on" all of them, "off" none.
        brain: "auto" extracts the brain where a head is found, "off" never; or the tool to use, or "mask".
        brain_mask: file of the brain to keep (non-zero = brain); exactly with `brain="mask"`.
        bias_correction: even out the slow change of brightness across each scan (N4).
        cache: folder for results of slow steps; None: nothing is kept.

    Raises:
        InputError: a choice nobody knows, or a brain mask that does not go with `brain`.
    """

    registration: RegistrationChoice = "auto"
    brain: BrainChoice = "auto"
    brain_mask: Path | None = None
    bias_correction: bool = False
    cache: Path | None = None

    def __post_init__(self) -> None:
        _check_choice("registration", self.registration, get_args(RegistrationChoice))
        _check_choice("brain extraction", self.brain, get_args(BrainChoice))
        if (self.brain == "mask") != (self.brain_mask is not None):
            raise InputError(
                "A brain mask file and the choice 'mask' for the brain belong together",
                "Give both, or neither of them.",
            )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"Unknown choice {value!r} for {name}", f"Choose one of: {', '.join(choices)}.")
