"""The comparison as one PNG: to show in a talk, a message or a README."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

from DMAFTraining.evaluation.content import Content, Row, comparison_title, truth_title
from DMAFTraining.evaluation.pictures import Pictures
from DMAFTraining.evaluation.sheet import Sheet, TextStyle
from DMAFTraining.evaluation.slices import Picture

_FEWEST_COLUMNS, _MOST_COLUMNS = 3, 5
_MARGIN, _GAP, _LINE = 64, 32, 29  # pixels, as all lengths here
_SWATCH = 22
_GROUND, _TEXT, _QUIET, _NOTICE = "#111418", "#e8eaed", "#a9b2bc", "#e6b955"
_HEADLINE = TextStyle(46, _TEXT, bold=True)
_TITLE = TextStyle(25, _TEXT, bold=True)
_BODY = TextStyle(22, _TEXT)
_SMALL = TextStyle(22, _QUIET)
_WARNING = TextStyle(24, _NOTICE, bold=True)
_SIDE = TextStyle(18, "#c4c9cf")


def write_figure(content: Content, pictures: Pictures, path: Path) -> None:
    """Write the figure; every picture keeps its pixels."""
    sheet, length = comparison_sheet(content, pictures)
    sheet.save(path, length)


def comparison_sheet(content: Content, pictures: Pictures) -> tuple[Sheet, int]:
    """The figure as a sheet, and its height."""
    height, width = pictures.rows[0].shape[:2]
    tops = _top_cells(content, pictures)
    columns = min(_MOST_COLUMNS, max(_FEWEST_COLUMNS, len(pictures.rows), len(tops)))
    sheet = Sheet(2 * _MARGIN + columns * (width + _GAP) - _GAP, _GROUND)
    lefts = [_MARGIN + column * (width + _GAP) for column in range(columns)]
    y = _header(sheet, content, pictures)
    for number, (title, picture) in enumerate(tops):
        place = y + number // columns * (height + 2 * _LINE)
        _picture(sheet, lefts[number % columns], place, picture, title)
    y += -(-len(tops) // columns) * (height + 2 * _LINE) + _LINE
    y = _legend(sheet, content, y)
    step = height + (3 + len(content.metadata.regions)) * _LINE + _GAP
    for number, (row, picture) in enumerate(zip(content.rows, pictures.rows, strict=True)):
        _result(sheet, lefts[number % columns], y + number // columns * step, row, picture)
    y += -(-len(content.rows) // columns) * step
    return sheet, _notes(sheet, content, y) + _MARGIN - _GAP // 2


def _top_cells(content: Content, pictures: Pictures) -> list[tuple[str, Picture]]:
    """The sequences, and the reference segmentation where there is one."""
    cells = list(pictures.sequences.items())
    return cells if pictures.truth is None else [*cells, (truth_title(content), pictures.truth)]


def _header(sheet: Sheet, content: Content, pictures: Pictures) -> int:
    room = sheet.width - 2 * _MARGIN
    y = _MARGIN - 8
    sheet.text(_MARGIN, y, comparison_title(content), _HEADLINE, room)
    slice_text = f"Model: {content.model}. Axial slice at z = {pictures.position:+.0f} mm."
    sheet.text(_MARGIN, y + 70, slice_text, _SMALL, room)
    sheet.text(_MARGIN, y + 108, " ".join(content.notices), _WARNING, room)
    return y + 108 + 2 * _LINE


def _picture(sheet: Sheet, x: int, y: int, picture: Picture, title: str) -> None:
    """A picture with its title below, and the patient's sides."""
    height, width = picture.shape[:2]
    sheet.picture(x, y, picture)
    sheet.text(x + 10, y + height - 28, "R", _SIDE)
    sheet.text(x + width - 10, y + height - 28, "L", replace(_SIDE, align="right"))
    sheet.text(x, y + height + 12, title, _TITLE, width)


def _result(sheet: Sheet, x: int, y: int, row: Row, picture: Picture) -> None:
    """A picture with the volume and the Dice of each region below."""
    height, width = picture.shape[:2]
    _picture(sheet, x, y, picture, row.title)
    y += height + 12 + _LINE + 8
    ends = (x + round(0.5 * width), x + width)
    for end, text in zip(ends, ("mL", "Dice to fullest"), strict=True):
        sheet.text(end, y, text, replace(_SMALL, align="right", size=20))
    for name, volume in row.volumes_ml.items():
        y += _LINE
        sheet.text(x, y, name, _SMALL)
        for end, text in zip(ends, (f"{volume:.1f}", f"{row.dice_to_fullest[name]:.2f}"), strict=True):
            sheet.text(end, y, text, replace(_BODY, align="right"))


def _legend(sheet: Sheet, content: Content, y: int) -> int:
    x = float(_MARGIN)
    for label in content.metadata.labels:
        sheet.swatch(x, y, _SWATCH, label.color)
        sheet.text(x + _SWATCH + 12, y, label.name, _BODY)
        x += _SWATCH + 60 + _BODY.width(label.name)
    return y + _SWATCH + _GAP


def _notes(sheet: Sheet, content: Content, y: int) -> int:
    room = sheet.width - 2 * _MARGIN
    for note in content.reading_notes():
        characters = int(room / _SMALL.width(note) * len(note))
        for line in textwrap.wrap(note, characters):
            sheet.text(_MARGIN, y, line, _SMALL, room)
            y += _LINE + 2
    return y
