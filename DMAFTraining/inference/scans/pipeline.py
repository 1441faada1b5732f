"""From the scans of a patient to what a model was trained on: aligned, the brain alone, evenly bright.

A scan is never interpolated here. Aligning replaces its grid by a moved one, and the brain is cut out on its own
voxels; so :func:`~DMAFTraining.inference.preprocessing.prepare_case` interpolates once, as it does for images that
need nothing of this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.inference.geometry import Grid, Matrix, Volume
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.preprocessing import skull_warning
from DMAFTraining.inference.scans.aligning import Alignment, align
from DMAFTraining.inference.scans.brain import keep_brain, mask_problems, zero_background
from DMAFTraining.inference.scans.brain_mask import MaskMaker, find_mask_maker
from DMAFTraining.inference.scans.cache import ScanCache
from DMAFTraining.inference.scans.decisions import Decision, Plan, decide
from DMAFTraining.inference.scans.evening import even_out
from DMAFTraining.inference.scans.options import ScanOptions
from DMAFTraining.inference.scans.registration import moved
from DMAFTraining.inference.scans.step_bar import OnStep, StepBar
from DMAFTraining.modalities import ModalitySet


@dataclass(frozen=True)
class PreparedScans:
    """The scans of a patient, ready for ``prepare_case``.

    Attributes:
        volumes: the scans by sequence, placed on the reference.
        native: the grid of each scan as its file has it.
        reference: the sequence that did not move, and whose grid receives the results.
        transforms: 4x4 RAS of each scan that was registered, from where its file places it to the reference.
        decisions: what was done and what not, and why.
        steps: what was done, for the provenance.
        warnings: ``(code, sentence)`` for the user.
        pictures: gray pictures ``(H, W)`` of registrations that look wrong.
        brain_tool: what found the brain; None if nothing had to.
        brain_ml: volume of the brain in mL, likewise.
    """

    volumes: dict[str, Volume]
    native: dict[str, Grid]
    reference: str
    transforms: dict[str, Matrix]
    decisions: tuple[Decision, ...]
    steps: tuple[dict[str, Any], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    brain_tool: str | None = None
    brain_ml: float | None = None


def prepare_scans(
    volumes: Mapping[str, Volume],
    modalities: ModalitySet,
    preprocessing: Preprocessing,
    options: ScanOptions,
    reference: str | None = None,
    on_step: OnStep = lambda fraction, stage, message: None,
    plan: Plan | None = None,
) -> PreparedScans:
    """Do what the scans of a patient need.

    Args:
        volumes: scan of each sequence that exists, by name.
        modalities: sequences of the model.
        preprocessing: of the model.
        options: choices of the user.
        reference: sequence that receives the results; default see :func:`decide`.
        on_step: told the progress at least once a second; what it raises stops the work.
        plan: the decisions, if they have been made already.

    Raises:
        InputError: the brain has to be extracted and nothing can do that, or a step fails.
        GeometryError: a scan cannot be registered.
    """
    plan = plan or decide(volumes, modalities, preprocessing, options, reference)
    work = _Work(volumes, modalities, plan, ScanCache(options.cache), StepBar(on_step, plan))
    if options.brain != "off":
        work.clear_background()
    maker = find_mask_maker(work.ready, plan, modalities, options) if plan.needed("brain") else None
    work.align()
    brain_ml = work.cut_out_brain(maker) if maker else None
    work.even_out()
    return PreparedScans(
        work.ready,
        {name: volume.grid for name, volume in volumes.items()},
        plan.reference,
        {name: alignment.moved_by for name, alignment in work.alignments.items()},
        plan.decisions,
        tuple(work.steps),
        tuple(work.warnings),
        {name: a.picture for name, a in work.alignments.items() if a.picture is not None},
        maker.title if maker else None,
        brain_ml,
    )


class _Work:
    """The scans of one patient on their way, and what there is to tell about it."""

    def __init__(
        self, volumes: Mapping[str, Volume], modalities: ModalitySet, plan: Plan, cache: ScanCache, bar: StepBar
    ) -> None:
        self._titles = {name: modalities[name].title for name in volumes}
        self._plan = plan
        self._cache = cache
        self._bar = bar
        self.ready = dict(volumes)
        self.alignments: dict[str, Alignment] = {}
        self.steps: list[dict[str, Any]] = []
        unclean = [] if plan.needed("brain") else [self._titles[name] for name in plan.heads]
        self.warnings = [skull_warning(title) for title in unclean]

    def clear_background(self) -> None:
        """Set the background of brains to 0, if it has another value."""
        for name in self._plan.brains:
            cleared = zero_background(self.ready[name])
            if cleared is not self.ready[name]:
                self.ready[name] = cleared
                self.steps.append({"step": "background", "sequence": name})
                text = f"{self._titles[name]}: the background had another value than 0; it was set to 0."
                self.warnings.append(("brain", text))

    def align(self) -> None:
        """Register the scans that need it, and place them on the reference."""
        fixed = self._plan.reference
        for name in self._plan.needed("registration"):
            told = self._bar.part("registration", f"Aligning {self._titles[name]} with {self._titles[fixed]}")
            alignment = align(self.ready[name], self.ready[fixed], self._cache, told)
            self.alignments[name] = alignment
            self.ready[name] = moved(self.ready[name], alignment.moved_by)
            self.steps.append({"step": "registration", "sequence": name, "to": fixed, **alignment.facts})
            if alignment.doubt:
                self.warnings.append(("registration", f"{self._titles[name]}: {alignment.doubt}"))

    def cut_out_brain(self, maker: MaskMaker) -> float:
        """Set what is not brain to 0 in the scans that need it; returns the volume of the brain in mL."""
        told = self._bar.part("brain", f"Finding the brain: {maker.title}")
        brain = maker(self._cache, told)
        grid = brain.grid
        if brain.moves_with in self.alignments:
            grid = Grid(grid.size, self.alignments[brain.moves_with].moved_by @ grid.ijk_to_ras)
        heads = self._plan.needed("brain")
        for name in heads:
            self.ready[name] = keep_brain(self.ready[name], brain.mask, grid)
            told(1.0)
        problems = [text for text in (maker.warning, *mask_problems(brain.mask, grid)) if text]
        self.warnings.extend(("brain", problem) for problem in problems)
        volume_ml = round(float(brain.mask.sum()) * grid.voxel_ml, 1)
        facts = {"tool": maker.title, "applied_to": list(heads), "mask_ml": volume_ml, "problems": problems}
        self.steps.append({"step": "brain", **facts, **brain.facts})
        return volume_ml

    def even_out(self) -> None:
        """Take the slow change of brightness out of the scans."""
        for name in self._plan.needed("bias"):
            told = self._bar.part("bias", f"Evening out the brightness of {self._titles[name]}")
            self.ready[name], facts = even_out(self.ready[name], self._cache, told)
            self.steps.append({"step": "bias", "sequence": name, **facts})
