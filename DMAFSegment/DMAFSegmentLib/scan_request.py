"""What is to be done with scans before the network sees them, as asked for in the panel or by a script."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.brain_mask import mask_problem
from DMAFSegmentLib.geometry import Node
from DMAFTraining.inference.metadata import BundleMetadata
from DMAFTraining.inference.scans.cache_folder import default_cache

REGISTRATIONS = ("auto", "on", "off")
BRAINS = ("auto", "deepbet", "hd-bet", "mask", "off")
TOOL_TITLES = {"deepbet": "deepbet", "hd-bet": "HD-BET"}
"""Programs that extract a brain, and how they are spelled."""


@dataclass(frozen=True)
class ScanRequest:
    """Steps before the network; the defaults leave it to the worker to look at the images.

    Attributes:
        registration: ``"auto"`` aligns what is not aligned yet, ``"on"`` every scan, ``"off"`` none.
        brain: ``"auto"`` extracts the brain where there is a skull, ``"off"`` never; or the tool, or ``"mask"``.
        mask: label map or segmentation of the brain, for ``"mask"``.
        bias_correction: even out slow changes of brightness.
        native: results on the grid of every scan, beside those on the reference's.
        cache: folder where slow steps are kept for the next run on the same scans; None keeps nothing.
    """

    registration: str = "auto"
    brain: str = "auto"
    mask: Node | None = None
    bias_correction: bool = False
    native: bool = False
    cache: Path | None = field(default_factory=default_cache)

    def suited_to(self, metadata: BundleMetadata) -> ScanRequest:
        """The same, or nothing at all for a model of slices: these have no brain, and planes do not move."""
        return ScanRequest("off", "off", cache=None) if works_on_slices(metadata) else self

    @property
    def may_move(self) -> bool:
        """May a scan lie anywhere, because it is moved onto the others?"""
        return self.registration != "off"

    def problems(self) -> list[str]:
        """Why this cannot be done, in sentences; empty when it can."""
        if self.brain != "mask":
            return []
        if self.mask is None:
            return [_("Choose the brain mask under Preprocessing, or another way to extract the brain.")]
        return [text for text in [mask_problem(self.mask)] if text]

    def document(self, mask_file: Path) -> dict[str, Any]:
        """As it stands in the job file; ``mask_file`` is where the mask is, if there is one."""
        return {
            "registration": self.registration,
            "brain": self.brain,
            "brain_mask": str(mask_file) if self.brain == "mask" else None,
            "bias_correction": self.bias_correction,
            "cache": str(self.cache) if self.cache is not None else None,
        }

    def title(self) -> str:
        """In few words, for the title of the section: what departs from leaving it to the worker."""
        registrations = {"on": _("align all"), "off": _("align none")}
        brains = {"mask": _("brain mask"), "off": _("brain as it is"), **TOOL_TITLES}
        words = [registrations.get(self.registration), brains.get(self.brain)]
        words += [_("bias") if self.bias_correction else None, _("all grids") if self.native else None]
        return ", ".join(word for word in words if word) or _("only what is needed")

    def sentence(self) -> str:
        """In full sentences: what will happen."""
        registrations = {
            "auto": _("Scans that do not lie on each other yet are aligned."),
            "on": _("All scans are aligned to the reference."),
            "off": _("Scans are taken where they lie."),
        }
        brains = {
            "auto": _("The brain is extracted where there is a skull."),
            "mask": _("The brain is what the mask covers."),
            "off": _("The brain is not extracted: the scans must show nothing else."),
        }
        by_tool = _("The brain is extracted by {tool}.").format(tool=TOOL_TITLES.get(self.brain, ""))
        words = [registrations[self.registration], brains.get(self.brain, by_tool)]
        words += [_("Slow changes of brightness are evened out.")] if self.bias_correction else []
        words += [_("Every scan gets results on its own grid too.")] if self.native else []
        return " ".join(words)


def works_on_slices(metadata: BundleMetadata) -> bool:
    """Is it a model of single slices, such as those of the heart?"""
    return metadata.preprocessing.slice_size is not None
