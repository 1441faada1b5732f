"""Temperatures that make probabilities mean what they say, one per subset or one per number of sequences.

Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017: logits are divided by the
temperature with the least negative log-likelihood on cases that the network was not trained on. A missing
sequence changes how sure a network is, so one temperature does not fit all subsets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar

from DMAFTraining.evaluation.calibration import calibration
from DMAFTraining.evaluation.window_logits import Samples
from DMAFTraining.inference.metadata import BundleMetadata, Region
from DMAFTraining.modalities import Subset

By = Literal["subset", "size"]

_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Trust:
    """How good the probabilities of one subset are at one temperature; 0 is best.

    Attributes:
        surprise: negative log-likelihood of the truth, mean over voxels.
        ece: see :class:`~DMAFTraining.evaluation.calibration.Calibration`; over the voxels of all cases
            together, mean over regions.
        brier: likewise.
    """

    surprise: float
    ece: float
    brier: float


@dataclass(frozen=True)
class FittedSubset:
    """What was found for one subset: its temperature, and its probabilities at 1 and at that temperature."""

    temperature: float
    voxels: int
    before: Trust
    after: Trust


@dataclass(frozen=True)
class FittedTemperatures:
    """What was found for a model.

    Attributes:
        overall: the temperature that fits all subsets together.
        subsets: by subset, in the order they were given in.
    """

    overall: float
    subsets: dict[Subset, FittedSubset]

    def describe(self, metadata: BundleMetadata, source: str) -> BundleMetadata:
        """The description of the same model with these temperatures; ``source`` says what they were fitted on."""
        errors = {
            str(subset): {"before": round(fit.before.ece, 5), "after": round(fit.after.ece, 5)}
            for subset, fit in self.subsets.items()
        }
        return replace(
            metadata,
            temperature=self.overall,
            temperatures={str(subset): fit.temperature for subset, fit in self.subsets.items()},
            calibration_error=errors,
            calibration_source=source,
        )

    def as_text(self) -> str:
        """Aligned columns; negative log-likelihood (NLL) and errors before and after, in percent."""
        titles = ["", "temperature", *(f"{name} {when}" for name in ("NLL", "ECE", "Brier") for when in ("", "after"))]
        lines = [titles, *([str(subset), *_cells(fit)] for subset, fit in self.subsets.items())]
        widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
        rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([*rows, f"All subsets together: {self.overall:.3f}"])


def _cells(fit: FittedSubset) -> list[str]:
    numbers = [getattr(trust, name) for name in ("surprise", "ece", "brier") for trust in (fit.before, fit.after)]
    return [f"{fit.temperature:.3f}", *(f"{100 * number:.3f}" for number in numbers)]


def fit_temperatures(samples: Mapping[Subset, Samples], regions: Sequence[Region], by: By) -> FittedTemperatures:
    """Fit one temperature per subset, or one for all subsets of the same number of sequences.

    Args:
        samples: of each subset, over all cases.
        regions: of the model; errors are means over them.
        by: ``"subset"`` or ``"size"``.
    """
    groups: dict[Subset | int, list[Samples]] = {}
    for subset, own in samples.items():
        groups.setdefault(subset if by == "subset" else len(subset), []).append(own)
    found = {key: fit_temperature(group) for key, group in groups.items()}
    fits = {}
    for subset, own in samples.items():
        temperature = found[subset if by == "subset" else len(subset)]
        before, after = (judge(own, value, regions) for value in (1.0, temperature))
        fits[subset] = FittedSubset(temperature, len(own.truth), before, after)
    return FittedTemperatures(fit_temperature(list(samples.values())), fits)


def fit_temperature(groups: Sequence[Samples]) -> float:
    """The temperature from 0.05 to 20 at which the truth of all voxels is least surprising, to four digits."""

    def surprise(logarithm: float) -> float:
        return sum(group.surprise(math.exp(logarithm)) for group in groups)

    low, high = (math.log(limit) for limit in _RANGE)
    best = minimize_scalar(surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return round(math.exp(best.x), 4)


def judge(samples: Samples, temperature: float, regions: Sequence[Region]) -> Trust:
    """How good the probabilities are at a temperature."""
    classes = samples.probabilities(temperature)
    found = [
        calibration(classes[:, list(region.labels)].sum(axis=1), np.isin(samples.truth, region.labels))
        for region in regions
    ]
    return Trust(
        samples.surprise(temperature) / len(samples.truth),
        float(np.mean([each.ece for each in found])),
        float(np.mean([each.brier for each in found])),
    )
