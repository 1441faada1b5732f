"""The three tables of the DMAF-Net paper (arXiv:2506.11691), from runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from DMAFTraining.evaluation.published import Published
from DMAFTraining.evaluation.statistics import Bootstrap
from DMAFTraining.evaluation.study import Metric, Quantity, Study
from DMAFTraining.evaluation.tables import captions
from DMAFTraining.evaluation.tables.scores import MEAN, Scored, by_region, our_rows, published_rows
from DMAFTraining.evaluation.tables.table import Column, Group, Row, Table

PARTS = ("fusion", "distill", "monitor")
"""The parts an ablation switches, as they are spelled in names of methods."""

_PART_TITLES = ("fusion", "distillation", "monitoring")
_BASELINE, _COMPLETE = ("none", "baseline"), ("dmaf", "dmafnet")


def parts_of(method: str) -> frozenset[str] | None:
    """The parts a method has, from its name, ``none`` (``baseline``), ``dmaf`` (``dmafnet``) or
    ``ablation_fusion_distill``; None: no ablation."""
    if method in (*_BASELINE, *_COMPLETE):
        return frozenset(PARTS if method in _COMPLETE else ())
    words = method.removeprefix("ablation_").split("_")
    return frozenset(words) if set(words) <= set(PARTS) else None


def main_methods(study: Study) -> list[str]:
    """Methods that are compared with each other: all but the rows of the ablation."""
    return [name for name in study.plan.methods if parts_of(name) is None or name in (*_BASELINE, *_COMPLETE)]


def main_table(study: Study, bootstrap: Bootstrap, published: Sequence[Published], distance: Metric) -> Table:
    """Table 1: methods in every setting, mean over subsets of Dice and distance per region."""
    columns = [*by_region(study, "dice"), *by_region(study, distance)]
    methods = [(name, (study.plan.methods[name],)) for name in main_methods(study)]
    shown = [entry for entry in published if entry.parts is None]
    groups = []
    for setting, title in study.plan.settings.items():
        groups.append(Group(title, our_rows(study, bootstrap, setting, methods, columns)))
        groups += _published_group(title, setting, shown, columns)
    return Table(
        name="table1",
        title=f"{study.plan.title}: mean over all subsets of sequences",
        caption=_caption(study, shown, captions.BRACKETS, captions.MARKS, captions.empty_sentence(study)),
        stub=("method",),
        columns=tuple(scored.column for scored in columns),
        groups=tuple(groups),
        intervals=True,
    )


def subset_table(study: Study, bootstrap: Bootstrap, published: Sequence[Published], setting: str) -> Table:
    """Table 2 for one setting: Dice of every subset, in the order of the paper, and their mean; a group per region."""
    sequences = study.dataset.modalities
    methods = [(name, (study.plan.methods[name],)) for name in main_methods(study)]
    shown = [entry for entry in published if entry.parts is None]
    groups, columns = [], [Column("", str(subset), present=sequences.flags(subset)) for subset in study.subsets]
    columns.append(Column("", MEAN))
    for region in study.main_regions:
        scored = [
            Scored(column, Quantity("dice", region, subset))
            for column, subset in zip(columns, (*study.subsets, None), strict=True)
        ]
        groups.append(Group(region, our_rows(study, bootstrap, setting, methods, scored)))
        groups += _published_group(region, setting, shown, scored)
    return Table(
        name=f"table2_{setting}",
        title=f"{study.plan.title}: Dice in % of every subset of sequences, {study.plan.settings[setting]}",
        caption=_caption(study, [entry for entry in shown if entry.setting == setting], captions.MARKS),
        stub=("method",),
        columns=tuple(columns),
        groups=tuple(groups),
        dots=tuple(modality.title for modality in sequences),
    )


def ablation_table(
    study: Study, bootstrap: Bootstrap, published: Sequence[Published], setting: str, distance: Metric
) -> Table | None:
    """Table 3 for one setting: every combination of the parts of DMAF-Net; None if the plan has no ablation.

    Only seeds that every row has count: a row of other seeds would differ by more than its parts.
    """
    named = {parts: name for name in study.plan.methods if (parts := parts_of(name)) is not None}
    if not has_ablation(study, setting):
        return None
    study = with_common_seeds(study, setting, named.values())
    columns = [*by_region(study, "dice"), *by_region(study, distance)]
    every = [frozenset(parts) for size in range(len(PARTS) + 1) for parts in itertools.combinations(PARTS, size)]
    rows = our_rows(study, bootstrap, setting, [(named.get(parts), _ticks(parts)) for parts in every], columns)
    shown = [entry for entry in published if entry.parts is not None and entry.setting == setting]
    printed = published_rows([(entry, _ticks(entry.parts or frozenset())) for entry in shown], columns)
    return Table(
        name=f"table3_{setting}",
        title=f"{study.plan.title}: what each part of DMAF-Net contributes, {study.plan.settings[setting]}",
        caption=_caption(study, shown, captions.BRACKETS, captions.MARKS, captions.empty_sentence(study)),
        stub=_PART_TITLES,
        columns=tuple(scored.column for scored in columns),
        groups=(Group("", rows), *((Group("published (Table 3)", printed),) if printed else ())),
        intervals=True,
    )


def has_ablation(study: Study, setting: str) -> bool:
    """Whether a method with some of the parts, not none or all of them, has a run."""
    counts = {run.method: len(parts_of(run.method) or ()) for run in study.runs if run.setting == setting}
    return any(0 < count < len(PARTS) for count in counts.values())


def with_common_seeds(study: Study, setting: str, methods: Iterable[str]) -> Study:
    """The runs of these methods in one setting, of the seeds that all of them have, if there are any such."""
    runs = [of_method for method in methods if (of_method := study.of(setting, method))]
    common = set.intersection(*({run.seed for run in of_method} for of_method in runs))
    kept = (run for of_method in runs for run in of_method if run.seed in common or not common)
    return replace(study, runs=tuple(kept))


def _ticks(parts: frozenset[str]) -> tuple[str, ...]:
    return tuple("✓" if part in parts else "" for part in PARTS)


def _published_group(
    title: str, setting: str, published: Sequence[Published], columns: Sequence[Scored]
) -> list[Group]:
    rows: tuple[Row, ...] = published_rows(
        [(entry, (captions.published_label(entry),)) for entry in published if entry.setting == setting], columns
    )
    return [Group(f"{title}, published", rows)] if rows else []


def _caption(study: Study, published: Sequence[Published], *more: str) -> tuple[str, ...]:
    used = [entry for entry in published if entry.setting in study.plan.settings]
    return (
        captions.data_sentence(study),
        *more,
        *captions.published_sentences(used),
        captions.versions_sentence(),
    )
