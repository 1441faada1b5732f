"""Means over cases, per subset and over all subsets, as tables for people."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from DMAFTraining.evaluation.empty_rule import EmptyRule
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.targets import subset_key
from DMAFTraining.modalities import Subset

MEAN = "Mean"
_NONE = "-"


@dataclass(frozen=True)
class Measure:
    """What a table shows.

    Attributes:
        title: with the unit.
        digits: behind the point.
        value: of one row; NaN leaves the row out of the mean.
        counted: show how many cases instead of their mean.
    """

    title: str
    digits: int
    value: Callable[[ScoreRow, EmptyRule], float]
    counted: bool = False


HEADLINES = (
    Measure("Dice, percent", 2, lambda row, _: 100 * row.dice),
    Measure("HD95 of both directions pooled, mm", 2, lambda row, rule: rule.apply(row, "hd95_pooled")),
)
"""What the papers report."""

MEASURES = (
    *HEADLINES,
    Measure("HD95, the larger of both directions, mm", 2, lambda row, rule: rule.apply(row, "hd95")),
    Measure("Hausdorff distance, mm", 2, lambda row, rule: rule.apply(row, "hd")),
    Measure("Expected calibration error in the brain, percent", 3, lambda row, _: _percent(row.ece)),
    Measure("Brier score in the brain, percent", 3, lambda row, _: _percent(row.brier)),
    Measure("Cases whose truth is empty", 0, lambda row, _: row.truth_empty, counted=True),
    Measure("Cases whose prediction is empty", 0, lambda row, _: row.predicted_empty, counted=True),
    Measure("Cases without a distance, as one of the two is empty", 0, lambda row, _: row.hd is None, counted=True),
)


def _percent(value: float | None) -> float:
    return math.nan if value is None else 100 * value


@dataclass(frozen=True)
class SummaryTable:
    """One measure of one model.

    Attributes:
        measure: which.
        regions: the columns.
        rows: title of each subset with its number of cases and a value per region, NaN where no case has one.
    """

    measure: Measure
    regions: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[float, ...]], ...]

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over the subsets of the means over cases, as the papers' "Avg."; NaN where there is none."""
        columns = zip(*(values for _, _, values in self.rows), strict=True)
        return tuple(_mean(column) for column in columns)

    def as_text(self) -> str:
        """Aligned columns under a title."""
        lines = self._cells()
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        body = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in lines
        ]
        return "\n".join([self.measure.title, *body])

    def as_markdown(self) -> str:
        """A Markdown table under its title."""
        header, *body = self._cells()
        lines = [header, ["---", *("---:" for _ in header[1:])], *body]
        return f"**{self.measure.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def _cells(self) -> list[list[str]]:
        body = [[subset, str(count), *map(self._number, values)] for subset, count, values in self.rows]
        return [["Sequences", "Cases", *self.regions], *body, [MEAN, "", *map(self._mean_number, self.mean)]]

    def _number(self, value: float) -> str:
        return _NONE if math.isnan(value) else f"{value:.{self.measure.digits}f}"

    def _mean_number(self, value: float) -> str:
        # The mean of counts is rarely a whole number.
        return _NONE if math.isnan(value) else f"{value:.{self.measure.digits or 1}f}"


def summarize(rows: Sequence[ScoreRow], order: Sequence[Subset], measure: Measure, rule: EmptyRule) -> SummaryTable:
    """One measure of one model over its cases.

    Args:
        rows: of the model.
        order: subsets as the table lists them; those without any row are left out.
        measure: what to show.
        rule: what empty masks count.
    """
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        groups[row.subset, row.region].append(float(measure.value(row, rule)))
    known = {subset for subset, _ in groups}
    shown = [(str(subset), key) for subset in order if (key := subset_key(subset)) in known]
    regions = tuple(dict.fromkeys(row.region for row in rows))
    combine = np.sum if measure.counted else _mean
    return SummaryTable(
        measure,
        regions,
        tuple(
            (title, len(groups[key, regions[0]]), tuple(float(combine(groups[key, r])) for r in regions))
            for title, key in shown
        ),
    )


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
