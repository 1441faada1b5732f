"""What a distance counts as where the truth or the prediction shows nothing, so that there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from DMAFTraining.evaluation.scorebook import ScoreRow

Distance = Literal["hd95_pooled", "hd95", "hd"]
RuleName = Literal["passion", "brats", "nan"]


@dataclass(frozen=True)
class EmptyRule:
    """One rule.

    Attributes:
        one: distance in mm where only one of truth and prediction is empty; NaN leaves the case out.
        both: likewise where both are.
        sentence: the rule in words, to stand beside every mean.
    """

    one: float
    both: float
    sentence: str

    def apply(self, row: ScoreRow, distance: Distance) -> float:
        """The distance of a row in mm, by the rule if it has none; NaN: leave it out."""
        value: float | None = getattr(row, distance)
        if value is not None:
            return value
        return self.both if row.truth_empty and row.predicted_empty else self.one


EMPTY_RULES: dict[RuleName, EmptyRule] = {
    "passion": EmptyRule(
        1.0,
        0.0,
        "Distances where truth or prediction is empty: 1 mm if one is, 0 if both are, as PASSION and DMAF-Net count"
        " (this favors a model that finds nothing).",
    ),
    "brats": EmptyRule(
        373.13,
        0.0,
        "Distances where truth or prediction is empty: 373.13 mm (the diagonal of a BraTS image) if one is, 0 if both"
        " are, as in the BraTS challenges.",
    ),
    "nan": EmptyRule(
        math.nan,
        math.nan,
        "Distances where truth or prediction is empty are left out of the means; the counts say how many.",
    ),
}
