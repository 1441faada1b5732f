"""Whether differences between methods are more than chance: paired tests, and the spread of the seeds."""

from __future__ import annotations

import numpy as np

from DMAFTraining.evaluation.statistics import CONFIDENCE, Bootstrap, Comparison, compare, holm, mean_of_defined
from DMAFTraining.evaluation.study import Quantity, Study
from DMAFTraining.evaluation.tables import captions
from DMAFTraining.evaluation.tables.paper import main_methods
from DMAFTraining.evaluation.tables.scores import by_region, percent
from DMAFTraining.evaluation.tables.table import Cell, Column, Group, Row, Table


def comparison_table(study: Study, bootstrap: Bootstrap, reference: str) -> Table:
    """Dice of every method against a reference method, paired by case, mean over subsets.

    Raises:
        ValueError: the plan has no such method.
    """
    if reference not in study.plan.methods:
        raise ValueError(f"The plan has no method {reference!r}; it has {', '.join(study.plan.methods)}.")
    scored = by_region(study, "dice")
    found = _comparisons(study, bootstrap, reference)
    corrected = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    groups = []
    for setting, title in study.plan.settings.items():
        rows = []
        for method in [name for name in main_methods(study) if name != reference]:
            keys = [(setting, method, each.quantity) for each in scored]
            cells = [_difference(found.get(key)) for key in keys] + [Cell(corrected.get(key)) for key in keys]
            rows.append(Row((study.plan.methods[method],), tuple(cells)))
        groups.append(Group(title, tuple(rows)))
    titles = [each.column.title for each in scored]
    name = study.plan.methods[reference]
    return Table(
        name="comparisons",
        title=f"{study.plan.title}: difference of mean Dice to {name}",
        caption=(
            captions.data_sentence(study),
            f"Points of Dice in %, method minus {name}, with {CONFIDENCE:.0%} bootstrap interval over cases.",
            f"p: Wilcoxon signed-rank test on means over subsets per case, two-sided, Holm correction over the "
            f"{len(found)} comparisons of this table. Seeds are averaged first: the test is about patients.",
            captions.versions_sentence(),
        ),
        stub=("method",),
        columns=(*(Column("difference", title) for title in titles), *(Column("p", title, 4) for title in titles)),
        groups=tuple(groups),
        intervals=True,
    )


def _comparisons(study: Study, bootstrap: Bootstrap, reference: str) -> dict[tuple[str, str, Quantity], Comparison]:
    """Every comparison that has both sides, by setting, method and quantity."""
    found = {}
    for setting in study.plan.settings:
        for method in [name for name in main_methods(study) if name != reference]:
            for scored in by_region(study, "dice"):
                ours, theirs = (study.by_case(setting, name, scored.quantity) for name in (method, reference))
                if ours is not None and theirs is not None:
                    found[setting, method, scored.quantity] = compare(ours, theirs, bootstrap)
    return found


def _difference(comparison: Comparison | None) -> Cell:
    if comparison is None or not np.isfinite(comparison.difference):
        return Cell()
    factor, interval = percent("dice"), comparison.interval
    ends = (factor * interval.low, factor * interval.high) if np.isfinite(interval.low) else None
    return Cell(factor * comparison.difference, ends)


def seed_table(study: Study) -> Table:
    """Smallest and largest mean Dice over the seeds of each method."""
    scored = by_region(study, "dice")
    groups = []
    for setting, title in study.plan.settings.items():
        rows = []
        for method, label in study.plan.methods_in(setting).items():
            count = len(study.of(setting, method))
            ranges = [Cell(text=_range(study, setting, method, each.quantity)) for each in scored]
            rows.append(Row((label,), (Cell(count or None), *ranges)))
        groups.append(Group(title, tuple(rows)))
    return Table(
        name="seeds",
        title=f"{study.plan.title}: spread of the seeds",
        caption=(
            captions.data_sentence(study),
            "Smallest .. largest of the seeds' mean Dice in %; what another training of the same method can change.",
            captions.versions_sentence(),
        ),
        stub=("method",),
        columns=(Column("", "seeds", 0), *(each.column for each in scored)),
        groups=tuple(groups),
    )


def _range(study: Study, setting: str, method: str, quantity: Quantity) -> str:
    values = study.by_seed(setting, method, quantity)
    if values is None or len(values) < 2:
        return ""
    means = percent(quantity.metric) * mean_of_defined(values, axis=1)
    return f"{means.min():.2f} .. {means.max():.2f}"
