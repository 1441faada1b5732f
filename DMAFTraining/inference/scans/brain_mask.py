"""One brain mask for all sequences of a patient: the user's, that of a sequence without skull, or a tool's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.reference_choice import choose_reference
from DMAFTraining.inference.scans.brain import preferred_sequence, read_mask
from DMAFTraining.inference.scans.brain_tools import BrainTool, find_tool
from DMAFTraining.inference.scans.cache import ScanCache, content_key
from DMAFTraining.inference.scans.decisions import Plan
from DMAFTraining.inference.scans.options import ScanOptions
from DMAFTraining.modalities import ModalitySet

_MUCH_COARSER = 2.0


@dataclass(frozen=True)
class BrainMask:
    """The brain of a patient.

    Attributes:
        mask: ``(I, J, K)``.
        grid: its grid as the files have it.
        moves_with: the sequence whose registration moves the grid too.
        facts: for the provenance.
    """

    mask: NDArray[np.bool_]
    grid: Grid
    moves_with: str
    facts: Mapping[str, Any]


class MaskMaker(Protocol):
    """Makes the mask of a patient; everything that it needs has been found."""

    @property
    def title(self) -> str:
        """Where the mask comes from, for provenance and progress."""

    @property
    def warning(self) -> str:
        """What to tell the user about it, or ""."""

    def __call__(self, cache: ScanCache, on_progress: Callable[[float], None]) -> BrainMask:
        """The mask; raising in ``on_progress`` stops the work."""


@dataclass(frozen=True)
class GivenMask:
    """The user's mask; it belongs to the scan whose grid it shares, else to the reference."""

    volume: Volume
    moves_with: str
    title: str = "mask"
    warning: str = ""

    def __call__(self, cache: ScanCache, on_progress: Callable[[float], None]) -> BrainMask:
        """See :class:`MaskMaker`."""
        on_progress(1.0)
        facts = {"file": Path(self.volume.source).name, "placed_with": self.moves_with}
        return BrainMask(self.volume.array != 0, self.volume.grid, self.moves_with, facts)


@dataclass(frozen=True)
class OwnBrain:
    """The brain that a sequence without skull shows, with the dark spots inside it."""

    volume: Volume
    sequence: str
    title: str
    warning: str = ""

    def __call__(self, cache: ScanCache, on_progress: Callable[[float], None]) -> BrainMask:
        """See :class:`MaskMaker`."""
        mask = ndimage.binary_fill_holes(self.volume.array != 0)
        on_progress(1.0)
        return BrainMask(mask, self.volume.grid, self.sequence, {"found_on": self.sequence})


@dataclass(frozen=True)
class ToolMask:
    """A mask that a tool finds, or that the cache has from an earlier run."""

    tool: BrainTool
    volume: Volume
    sequence: str
    warning: str = ""

    @property
    def title(self) -> str:
        """Name and version of the tool."""
        return f"{self.tool.name} {self.tool.version}"

    def __call__(self, cache: ScanCache, on_progress: Callable[[float], None]) -> BrainMask:
        """See :class:`MaskMaker`."""
        start = time.monotonic()
        key = content_key("brain", self.title, {"head": self.volume})
        kept = cache.get(key, {"mask": self.volume.grid.size})
        mask = self.tool(self.volume, on_progress) if kept is None else kept["mask"].astype(bool)
        if kept is None:
            cache.put(key, {"mask": mask})
        seconds = round(time.monotonic() - start, 2)
        facts = {"found_on": self.sequence, "cached": kept is not None, "seconds": seconds}
        return BrainMask(mask, self.volume.grid, self.sequence, facts)


def find_mask_maker(
    volumes: Mapping[str, Volume], plan: Plan, modalities: ModalitySet, options: ScanOptions
) -> MaskMaker:
    """Who makes the mask, found before any slow work, so that what is missing is said at once.

    A tool gets the sequence that it does best on, of those that are not much coarser than the finest.

    Raises:
        InputError: no tool is there, or the user's mask cannot be used.
    """
    if options.brain_mask is not None:
        mask = read_mask(options.brain_mask)
        order = sorted(volumes, key=lambda name: name != plan.reference)
        return GivenMask(mask, next((n for n in order if volumes[n].grid.same_as(mask.grid)), plan.reference))
    if options.brain == "auto" and plan.brains:
        spacings = {name: volumes[name].grid.spacing for name in plan.brains}
        name = plan.reference if plan.reference in spacings else choose_reference(spacings, modalities)
        return OwnBrain(volumes[name], name, f"brain of {modalities[name].title}")
    steps = {name: max(volumes[name].grid.spacing) for name in plan.heads or volumes}
    clear = [name for name, step in steps.items() if step <= _MUCH_COARSER * min(steps.values())]
    name, warning = preferred_sequence(clear, modalities)
    return ToolMask(find_tool(options.brain), volumes[name], name, warning)
