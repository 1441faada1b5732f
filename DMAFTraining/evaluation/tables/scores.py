"""Rows of scores: numbers of our runs with intervals and marks, and numbers from papers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from DMAFTraining.evaluation.published import Published
from DMAFTraining.evaluation.statistics import Bootstrap, Values
from DMAFTraining.evaluation.study import Metric, Quantity, Study
from DMAFTraining.evaluation.tables.table import Cell, Column, Mark, Row

MEAN = "mean"
_HEADINGS: Mapping[Metric, str] = {
    "dice": "Dice %",
    "hd95_pooled": "HD95 (pooled) mm",
    "hd95": "HD95 mm",
    "hd": "HD mm",
}


@dataclass(frozen=True)
class Scored:
    """A column and what stands in it."""

    column: Column
    quantity: Quantity


def by_region(study: Study, metric: Metric) -> tuple[Scored, ...]:
    """A column for the mean over subsets of each region, and for their mean."""
    heading = _HEADINGS[metric]
    regions = [Scored(Column(heading, region), Quantity(metric, region)) for region in study.regions]
    return (*regions, Scored(Column(heading, MEAN), Quantity(metric)))


def percent(metric: Metric) -> float:
    """What a score is multiplied with in a table: Dice is shown in percent, distances in mm."""
    return 100.0 if metric == "dice" else 1.0


def our_rows(
    study: Study,
    bootstrap: Bootstrap,
    setting: str,
    methods: Iterable[tuple[str | None, tuple[str, ...]]],
    columns: Sequence[Scored],
) -> tuple[Row, ...]:
    """A row for each method (None: not in the plan) with its labels; a method without a run has dashes."""
    rows = list(methods)
    by_column = []
    for scored in columns:
        values = [study.by_case(setting, method, scored.quantity) if method else None for method, _ in rows]
        marks = mark(values, scored.quantity.metric == "dice", bootstrap)
        factor = percent(scored.quantity.metric)
        by_column.append([_cell(value, each, factor, bootstrap) for value, each in zip(values, marks, strict=True)])
    return tuple(Row(labels, tuple(cells[n] for cells in by_column)) for n, (_, labels) in enumerate(rows))


def _cell(values: Values | None, mark: Mark, factor: float, bootstrap: Bootstrap) -> Cell:
    if values is None or not np.isfinite(values).any():
        return Cell()
    interval = bootstrap.interval(values)
    ends = (factor * interval.low, factor * interval.high) if np.isfinite(interval.low) else None
    return Cell(factor * float(np.nanmean(values)), ends, mark)


def mark(values: Sequence[Values | None], higher: bool, bootstrap: Bootstrap) -> list[Mark]:
    """Marks of a column: the best mean, and the second where its distance to the best is beyond chance.

    Args:
        values: of each row ``(cases,)``; None without a run.
        higher: whether a higher mean is better.
        bootstrap: gives the interval of the paired difference between second and best.
    """
    marks: list[Mark] = [""] * len(values)
    sign = 1.0 if higher else -1.0
    means = {n: sign * float(np.nanmean(v)) for n, v in enumerate(values) if v is not None and np.isfinite(v).any()}
    ranked = sorted(means, key=lambda n: -means[n])
    if len(ranked) > 1:
        first, second = ranked[:2]
        marks[first] = "best"
        best, next_best = values[first], values[second]
        if best is not None and next_best is not None and bootstrap.interval(best - next_best).excludes(0.0):
            marks[second] = "second"
    return marks


def published_rows(entries: Iterable[tuple[Published, tuple[str, ...]]], columns: Sequence[Scored]) -> tuple[Row, ...]:
    """A row for each published entry that knows any of the columns."""
    rows = []
    for entry, labels in entries:
        values = [entry.value(scored.quantity) for scored in columns]
        if any(value is not None for value in values):
            rows.append(Row(labels, tuple(Cell(value) for value in values)))
    return tuple(rows)
