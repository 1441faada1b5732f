"""The runs of a plan and their scores as arrays: what tables and figures are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data import brats, myops
from DMAFTraining.evaluation.empty_rule import Distance, RuleName
from DMAFTraining.evaluation.statistics import mean_of_defined
from DMAFTraining.inference.metadata import Label
from DMAFTraining.modalities import BRATS, MYOPS, ModalitySet, Subset

Metric = Literal["dice"] | Distance
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """What a plan's ``dataset`` stands for; ``regions`` are those of the paper's tables, in their order."""

    title: str
    modalities: ModalitySet
    regions: tuple[str, ...]
    labels: tuple[Label, ...]
    simulated: bool


_BRAIN = tuple(region.name for region in brats.REGIONS)
_HEART = tuple(region.name for region in myops.REGIONS)
DATASETS = {
    "brats2020": Dataset("BraTS 2020", BRATS, _BRAIN, brats.LABELS, simulated=False),
    "myops2020": Dataset("MyoPS 2020", MYOPS, _HEART, myops.LABELS, simulated=False),
    "simulated-brain": Dataset("simulated brain tumors", BRATS, _BRAIN, brats.LABELS, simulated=True),
    "simulated-heart": Dataset("simulated hearts", MYOPS, _HEART, myops.LABELS, simulated=True),
}


@dataclass(frozen=True)
class Plan:
    """What was to be run; ``settings`` and ``methods`` map names to titles in display order.

    ``empty_rule`` is what a distance counts where a mask is empty, if nobody asks for another rule; ``planned``
    are the pairs of setting and method that were to be run, all where it is None.
    """

    title: str
    dataset: str
    settings: Mapping[str, str]
    methods: Mapping[str, str]
    empty_rule: RuleName = "passion"
    planned: frozenset[tuple[str, str]] | None = None

    def methods_in(self, setting: str) -> dict[str, str]:
        """The methods that were to be run in a setting."""
        return {
            name: title
            for name, title in self.methods.items()
            if self.planned is None or (setting, name) in self.planned
        }


@dataclass(frozen=True)
class Run:
    """One trained model on all cases.

    Attributes:
        setting: name in the plan, as are ``method`` and the seed.
        folder: where it lies.
        model: name and version.
        model_sha256: of the bundle.
        simulated_training: whether the model was trained on simulated data.
        scores: by metric ``(cases, subsets, regions)``; NaN where undefined.
        truth_empty: ``(cases, subsets, regions)``; ``predicted_empty`` likewise.
    """

    setting: str
    method: str
    seed: int
    folder: Path
    model: str
    model_sha256: str
    simulated_training: bool
    scores: Mapping[Metric, Scores]
    truth_empty: NDArray[np.bool_]
    predicted_empty: NDArray[np.bool_]


@dataclass(frozen=True)
class Quantity:
    """What a number of a table is: a metric in a region (None: their mean) from a subset (None: mean over them).

    ``size`` restricts the mean over subsets to those of that many sequences.
    """

    metric: Metric
    region: str | None = None
    subset: Subset | None = None
    size: int | None = None


@dataclass(frozen=True)
class Study:
    """All runs of a folder.

    Attributes:
        plan: what was to be run.
        cases: their names, the first axis of every score.
        subsets: those that were scored, in the order of the paper's tables.
        regions: those that were scored, the data set's first.
        runs: every run with scores, in the order of the plan, then by seed.
        empty_rule: what a distance counts where a mask is empty.
    """

    plan: Plan
    cases: tuple[str, ...]
    subsets: tuple[Subset, ...]
    regions: tuple[str, ...]
    runs: tuple[Run, ...]
    empty_rule: RuleName

    @property
    def dataset(self) -> Dataset:
        """The data set of the plan."""
        return DATASETS[self.plan.dataset]

    @property
    def main_regions(self) -> tuple[str, ...]:
        """The regions a mean over regions takes in: those of the data set, not variants like ET-500."""
        return tuple(region for region in self.regions if region in self.dataset.regions)

    @property
    def simulated_training(self) -> bool:
        """Whether any model was trained on simulated data."""
        return any(run.simulated_training for run in self.runs)

    def of(self, setting: str, method: str) -> tuple[Run, ...]:
        """The runs of a method in a setting, one per seed."""
        return tuple(run for run in self.runs if (run.setting, run.method) == (setting, method))

    def by_seed(self, setting: str, method: str, quantity: Quantity) -> Scores | None:
        """The quantity of each seed and case ``(seeds, cases)``; None without a run."""
        runs = self.of(setting, method)
        if not runs:
            return None
        regions = self.main_regions if quantity.region is None else (quantity.region,)
        subsets = self.subsets if quantity.subset is None else (quantity.subset,)
        subsets = tuple(subset for subset in subsets if quantity.size in (None, len(subset)))
        scores = np.stack([run.scores[quantity.metric] for run in runs])
        part = scores[:, :, [self.subsets.index(s) for s in subsets]][..., [self.regions.index(r) for r in regions]]
        return mean_of_defined(part, axis=(2, 3))

    def by_case(self, setting: str, method: str, quantity: Quantity) -> Scores | None:
        """The quantity of each case, mean over seeds ``(cases,)``; None without a run."""
        values = self.by_seed(setting, method, quantity)
        return None if values is None else mean_of_defined(values, axis=0)
