"""Pieces of the HTML pages: pictures, legends and tables that can be sorted; plain text in, escaped HTML out."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

from DMAFTraining.evaluation.overlays import Color
from DMAFTraining.evaluation.slices import Picture

NOTHING = "–"
_DPI = 160


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        text: what is read.
        value: what it is sorted by; None comes last.
        share: length of the bar behind it, 0 to 1; None: no bar.
    """

    text: str
    value: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class Line:
    """One line of a table; ``link`` is where its title leads."""

    title: str
    cells: Sequence[Cell]
    link: str = ""


def number(value: float | None, form: str) -> Cell:
    """A cell with a number in a format such as ``.1f``, or a dash."""
    return Cell(NOTHING) if value is None else Cell(format(value, form), value)


def share(value: float | None) -> Cell:
    """A cell with a number from 0 to 1 and a bar."""
    return Cell(NOTHING) if value is None else Cell(f"{value:.2f}", value, value)


def data_url(picture: Picture) -> str:
    """The picture as PNG inside an address, so that the page needs no other file."""
    stream = io.BytesIO()
    imsave(stream, np.ascontiguousarray(picture), format="png")
    return _address(stream)


def figure_url(figure: Figure) -> str:
    """The same of a matplotlib figure."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI)
    return _address(stream)


def _address(stream: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def picture_figure(picture: Picture, alt: str, caption: str, sides: tuple[str, str], mark: str = "") -> str:
    """A slice with the letters of its sides; ``caption`` is HTML, ``mark`` a class."""
    height, width = picture.shape[:2]
    attributes = f' class="{mark}"' if mark else ""
    left, right = (f'<span class="{side}" aria-hidden="true">' for side in ("left", "right"))
    return (
        f'<figure{attributes}><div class="picture">'
        f'<img src="{data_url(picture)}" width="{width}" height="{height}" alt="{escape(alt)}">'
        f"{left}{sides[0]}</span>{right}{sides[1]}</span></div>"
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def legend(entries: Iterable[tuple[str, Color]], label: str) -> str:
    """A line of color swatches with what they mean."""
    items = "".join(
        f'<li><span class="swatch" style="background:rgb({red},{green},{blue})"></span>{escape(name)}</li>\n'
        for name, (red, green, blue) in entries
    )
    return f'<ul class="legend" aria-label="{escape(label)}">\n{items}</ul>\n'


def scale(strip: Picture, low: str, high: str, meaning: str) -> str:
    """A strip of colors between what its ends mean."""
    alt = f"Color scale of {meaning}: dark is {low}, bright is {high}"
    image = f'<img src="{data_url(strip)}" width="{strip.shape[1]}" height="{strip.shape[0]}" alt="{escape(alt)}">'
    return f'<p class="scale"><span>{escape(low)}</span>{image}<span>{escape(high)}</span></p>\n'


def table(
    label: str,
    first: str,
    groups: Sequence[tuple[str, Sequence[str]]],
    lines: Sequence[Line],
    foot: Sequence[Line] = (),
) -> str:
    """A table with a line per title, columns in groups, and lines at its end that are not sorted.

    Args:
        label: what the table holds, for people who hear it.
        first: heading of the titles.
        groups: heading of each group and of its columns.
        lines: the body; as many cells each as there are columns.
        foot: lines apart from the body.
    """
    starts = {0} | {sum(len(columns) for _, columns in groups[:n]) for n in range(len(groups))}
    heads = "".join(
        f'<th scope="colgroup" class="first" colspan="{len(columns)}">{escape(title)}</th>' for title, columns in groups
    )
    names = [name for _, columns in groups for name in columns]
    marks = [' class="first"' if place in starts else "" for place in range(len(names))]
    columns = "".join(
        f'<th scope="col" data-column="{place}"{mark}>{escape(name)}</th>'
        for place, (name, mark) in enumerate(zip(names, marks, strict=True))
    )
    body = "".join(_line(line, starts) for line in lines)
    end = f"<tfoot>{''.join(_line(line, starts) for line in foot)}</tfoot>" if foot else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table class="sortable"><thead>'
        f'<tr><th scope="col" rowspan="2">{escape(first)}</th>{heads}</tr><tr>{columns}</tr>'
        f"</thead><tbody>{body}</tbody>{end}</table></div>\n"
    )


def _line(line: Line, starts: set[int]) -> str:
    title = f'<a href="{escape(line.link)}">{escape(line.title)}</a>' if line.link else escape(line.title)
    cells = "".join(_cell(cell, place in starts) for place, cell in enumerate(line.cells))
    return f'<tr><th scope="row">{title}</th>{cells}</tr>\n'


def _cell(cell: Cell, is_first: bool) -> str:
    classes = [*(["share"] if cell.share is not None else []), *(["first"] if is_first else [])]
    mark = f' class="{" ".join(classes)}"' if classes else ""
    bar = "" if cell.share is None else f' style="--value:{cell.share:.3f}"'
    value = "" if cell.value is None else f' data-value="{cell.value:.6g}"'
    return f"<td{mark}{bar}{value}>{escape(cell.text)}</td>"


def items(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>\n" + "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences) + "</ul>\n"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>\n"


def section(key: str, title: str, body: str) -> str:
    """A section with its heading; ``body`` is HTML, nothing comes of an empty one."""
    return f'<section aria-labelledby="{key}">\n<h2 id="{key}">{escape(title)}</h2>\n{body}</section>\n' if body else ""
