"""A table as data: groups of rows, columns under headings, numbers with intervals and marks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DASH = "–"
"""Shown where there is no number."""

Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Cell:
    """One number.

    Attributes:
        value: None where there is none, for example because the run is missing.
        interval: its confidence interval, where there is one.
        mark: how it compares with the rest of its column and group.
        text: shown instead of the number.
    """

    value: float | None = None
    interval: tuple[float, float] | None = None
    mark: Mark = ""
    text: str = ""


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        heading: stands above this and its neighbors with the same heading.
        title: of the column.
        decimals: shown.
        present: for a column of one subset, which sequences it has; drawn as dots in LaTeX.
    """

    heading: str
    title: str
    decimals: int = 2
    present: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row: one label per stub column, and one cell per column."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows that are compared with each other."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: of its files, and label in LaTeX.
        title: first sentence of the caption.
        caption: its other sentences.
        stub: titles of the columns of labels.
        columns: of numbers.
        groups: of rows.
        intervals: whether Markdown and LaTeX show them; CSV always does.
        dots: titles of the sequences, if the columns are subsets.
    """

    name: str
    title: str
    caption: tuple[str, ...]
    stub: tuple[str, ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    intervals: bool = False
    dots: tuple[str, ...] = field(default=())

    def headings(self) -> list[tuple[str, int]]:
        """Each heading and how many columns stand below it, in order."""
        found: list[tuple[str, int]] = []
        for column in self.columns:
            if found and found[-1][0] == column.heading:
                found[-1] = (column.heading, found[-1][1] + 1)
            else:
                found.append((column.heading, 1))
        return found

    def cell_text(self, cell: Cell, column: Column) -> str:
        """The number without its mark."""
        if cell.value is None:
            return cell.text or DASH
        text = f"{cell.value:.{column.decimals}f}"
        if not self.intervals or cell.interval is None:
            return text
        low, high = (f"{end:.{column.decimals}f}" for end in cell.interval)
        return f"{text} [{low}, {high}]"
