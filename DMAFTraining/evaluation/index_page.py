"""One page over many patients: a line for each, and the mean of what each sequence contributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from DMAFTraining.evaluation.content import Content
from DMAFTraining.evaluation.page import whole_page
from DMAFTraining.evaluation.page_html import Cell, Line, items, number, section, share, table
from DMAFTraining.inference.case_comparison import Comparison


@dataclass(frozen=True)
class CaseLine:
    """What the index says about one patient.

    Attributes:
        name: of the patient's folder.
        file: of the patient's page, beside the index.
        model: name and version.
        notices: of the patient's page.
        comparison: the numbers.
    """

    name: str
    file: str
    model: str
    notices: tuple[str, ...]
    comparison: Comparison

    @classmethod
    def of(cls, name: str, file: str, content: Content) -> CaseLine:
        """The line of a patient."""
        return cls(name, file, content.model, content.notices, content.comparison)


def index_page(cases: Sequence[CaseLine], problems: Sequence[str]) -> str:
    """The page as text; regions and sequences of different models get columns and lines of their own."""
    notices = list(dict.fromkeys(notice for case in cases for notice in case.notices))
    sections = (
        section("problems", "Not shown", items(problems) if problems else ""),
        section("cases", "Patients", _case_table(cases)),
        section("matters", "Which sequence matters, on average", _mean_table(cases)),
        section("reading", "How to read this page", items(_READING)),
    )
    models = ", ".join(dict.fromkeys(case.model for case in cases))
    count = f"{len(cases)} patient{'s' if len(cases) != 1 else ''}, compared"
    return whole_page(count, f"Model: {models}", notices, sections)


_READING = (
    "Volumes are those of the result that the others are compared with, mostly from all sequences. Lowest Dice without "
    "one is the smallest overlap that any result lacking just one sequence has with it, and which sequence that is.",
    "The means are over the patients of whom every combination was segmented. A mean hides that a sequence may be "
    "needed by a few patients and useless to the others: look at the pages of the patients too.",
)


def _case_table(cases: Sequence[CaseLine]) -> str:
    names = list(dict.fromkeys(region.name for case in cases for region in case.comparison.regions))
    heads = [("Compared with", ("Sequences",)), ("Volume (mL)", names)]
    heads += [(f"Lowest Dice without one, {name}", ("Dice", "Sequence")) for name in names]
    return table("Table of patients", "Patient", heads, [_case_line(case, names) for case in cases])


def _case_line(case: CaseLine, names: Sequence[str]) -> Line:
    comparison = case.comparison
    base = comparison.rows[comparison.base]
    cells = [Cell(str(comparison.base))]
    cells += [number(base[name].volume_ml if name in base else None, ".1f") for name in names]
    lacking = {m.title: comparison.rows[s] for m in comparison.base if (s := comparison.without(m.name)) is not None}
    for name in names:
        found = {title: row[name].to_base.dice for title, row in lacking.items() if name in row}
        lowest = min(found, key=lambda title: found[title]) if found else None
        cells += [share(found[lowest]), Cell(lowest)] if lowest else [share(None), Cell("")]
    return Line(case.name, cells, case.file)


def _mean_table(cases: Sequence[CaseLine]) -> str:
    known = [case.comparison.attributions["dice"] for case in cases]
    titles = {m.name: m.title for case in cases for m in case.comparison.players}
    names = list(dict.fromkeys(name for regions in known for name, each in regions.items() if each.shapley))
    if not names:
        return ""
    heads = [(name, ("Shapley value of Dice", "Patients")) for name in names]
    lines = []
    for sequence, title in titles.items():
        cells = []
        for name in names:
            values = _values(known, name, sequence)
            cells += [number(float(np.mean(values)) if values else None, "+.3f"), number(len(values), "d")]
        lines.append(Line(title, cells))
    return table("Table of mean contributions", "Sequence", heads, lines)


def _values(known: Sequence[Mapping[str, object]], name: str, sequence: str) -> list[float]:
    """Shapley values of a sequence in a region, of the patients that have one."""
    found = [getattr(regions.get(name), "shapley", None) or {} for regions in known]
    return [values[sequence] for values in found if sequence in values]
