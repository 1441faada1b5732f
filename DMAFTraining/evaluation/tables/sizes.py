"""Dice by number of sequences: whether a method helps where much is missing or where little is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from DMAFTraining.evaluation.statistics import Bootstrap
from DMAFTraining.evaluation.study import Quantity, Study
from DMAFTraining.evaluation.tables import captions
from DMAFTraining.evaluation.tables.paper import has_ablation, main_methods, parts_of, with_common_seeds
from DMAFTraining.evaluation.tables.scores import Scored, our_rows
from DMAFTraining.evaluation.tables.table import Column, Group, Table


def size_table(study: Study, bootstrap: Bootstrap) -> Table:
    """Mean Dice over regions and over all subsets of one sequence, of two, and so on.

    A setting with an ablation has a second group with its rows, of the seeds that all of them have.
    """
    sizes = sorted({len(subset) for subset in study.subsets})
    columns = [Scored(Column("Dice %", _count(n)), Quantity("dice", size=n)) for n in sizes]
    return Table(
        name="sizes",
        title=f"{study.plan.title}: mean Dice by number of sequences",
        caption=(captions.data_sentence(study), captions.BRACKETS, captions.MARKS, captions.versions_sentence()),
        stub=("method",),
        columns=tuple(scored.column for scored in columns),
        groups=tuple(_groups(study, bootstrap, columns)),
        intervals=True,
    )


def _groups(study: Study, bootstrap: Bootstrap, columns: Sequence[Scored]) -> Iterator[Group]:
    for setting, title in study.plan.settings.items():
        yield Group(title, our_rows(study, bootstrap, setting, _labeled(study, main_methods(study)), columns))
        if has_ablation(study, setting):
            parts = [name for name in study.plan.methods_in(setting) if parts_of(name) is not None]
            common = with_common_seeds(study, setting, parts)
            yield Group(f"{title}, parts", our_rows(common, bootstrap, setting, _labeled(study, parts), columns))


def _labeled(study: Study, methods: Sequence[str]) -> list[tuple[str | None, tuple[str, ...]]]:
    return [(name, (study.plan.methods[name],)) for name in methods]


def _count(size: int) -> str:
    return f"{size} sequence{'' if size == 1 else 's'}"
