"""A table as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable

from DMAFTraining.evaluation.tables.table import DASH, Cell, Column, Mark, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    DASH: "--",
    "✓": r"\checkmark{}",
    "†": r"\dag{}",
}
_LATEX_MARKS: dict[Mark, str] = {"": "{}", "best": r"\textbf{{{}}}", "second": r"\underline{{{}}}"}
_MARKDOWN_MARKS: dict[Mark, str] = {"": "{}", "best": "**{}**", "second": "<u>{}</u>"}


def as_markdown(table: Table) -> str:
    """A title, a GitHub table per group, and the caption."""
    lines = [f"## {table.title}"]
    header = [*table.stub, *(" ".join(filter(None, (c.heading, c.title))) for c in table.columns)]
    for group in table.groups:
        lines += ["", f"**{group.title}**", ""] if group.title else [""]
        body = [[*row.labels, *_numbers(table, row.cells, _MARKDOWN_MARKS, str)] for row in group.rows]
        rule = ["---"] * len(table.stub) + ["---:"] * len(table.columns)
        lines += [f"| {' | '.join(_pipe(cell) for cell in cells)} |" for cells in (header, rule, *body)]
    return "\n".join([*lines, "", *(f"{sentence}  " for sentence in table.caption)]) + "\n"


def as_csv(table: Table) -> str:
    """One line per row; a number that does not exist is an empty cell, intervals are two more columns."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [" ".join(filter(None, (c.heading, c.title))) for c in table.columns]
    writer.writerow(["group", *table.stub, *(f"{name}{end}" for name in names for end in ("", " low", " high"))])
    for group in table.groups:
        for row in group.rows:
            writer.writerow([group.title, *row.labels, *(text for cell in row.cells for text in _csv_cells(cell))])
    return stream.getvalue()


def as_latex(table: Table) -> str:
    """A ``table*`` in booktabs style; needs the packages booktabs and amssymb."""
    count = len(table.stub) + len(table.columns)
    lines = [
        "% needs \\usepackage{booktabs,amssymb}",
        r"\begin{table*}",
        rf"\caption{{{_escape(' '.join((f'{table.title}.', *table.caption)))}}}",
        rf"\label{{tab:{table.name}}}",
        r"\centering\footnotesize",
        rf"\begin{{tabular}}{{{'l' * len(table.stub)}{'r' * len(table.columns)}}}",
        r"\toprule",
        *_latex_header(table),
    ]
    for group in table.groups:
        lines.append(r"\midrule")
        if group.title:
            lines.append(rf"\multicolumn{{{count}}}{{l}}{{\textit{{{_escape(group.title)}}}}} \\")
        for row in group.rows:
            cells = [*map(_escape, row.labels), *_numbers(table, row.cells, _LATEX_MARKS, _escape)]
            lines.append(f"{' & '.join(cells)} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}"]) + "\n"


def _numbers(table: Table, cells: tuple[Cell, ...], marks: dict[Mark, str], escape: Callable[[str], str]) -> list[str]:
    texts = [escape(table.cell_text(cell, column)) for cell, column in zip(cells, table.columns, strict=True)]
    return [marks[cell.mark].format(text) for cell, text in zip(cells, texts, strict=True)]


def _csv_cells(cell: Cell) -> list[str]:
    ends = cell.interval or (math.nan, math.nan)
    first = cell.text if cell.value is None else f"{cell.value:.6f}"
    return [first, *("" if math.isnan(end) else f"{end:.6f}" for end in ends)]


def _latex_header(table: Table) -> list[str]:
    stub = len(table.stub)
    lines = []
    if any(heading for heading, _ in table.headings()):
        spans, rules, start = [], "", stub + 1
        for heading, width in table.headings():
            spans.append(rf"\multicolumn{{{width}}}{{c}}{{{_escape(heading)}}}")
            rules += rf"\cmidrule(lr){{{start}-{start + width - 1}}}" if heading else ""
            start += width
        lines = [f"{'& ' * stub}{' & '.join(spans)} \\\\", rules]
    if not table.dots:
        return [
            *lines,
            f"{' & '.join(_escape(title) for title in (*table.stub, *(c.title for c in table.columns)))} \\\\",
        ]
    for number, sequence in enumerate(table.dots):
        first = [""] * (stub - 1) + [_escape(sequence)]
        last = number == len(table.dots) - 1
        lines.append(f"{' & '.join([*first, *(_dot(column, number, last) for column in table.columns)])} \\\\")
    return lines


def _dot(column: Column, number: int, last: bool) -> str:
    """A filled circle if the subset has the sequence; a column that is no subset has its title in the last line."""
    if column.present:
        return r"$\bullet$" if column.present[number] else r"$\circ$"
    return _escape(column.title) if last else ""


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _pipe(text: str) -> str:
    return text.replace("|", r"\|")
