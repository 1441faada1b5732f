"""The tables of a run, one row per subset and one per sequence: nodes of the scene, and text for other programs."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import vtk

from DMAFSegmentLib.attributes import attribute, stored
from DMAFSegmentLib.comparison_record import DICE, VOLUME, Numbers, Record
from DMAFSegmentLib.geometry import Node

SUBSETS, SEQUENCE, PATTERN = "Sequences", "Sequence", "Pattern"
ML, REGION, DICE_TO_FULLEST = "{name} (mL)", "{name} region (mL)", "Dice {name}"
EXPECTED, TO_TRUTH = "{name} expected Dice", "{name} Dice to reference"
WITHOUT, SHAPLEY = "{name} without it ({unit})", "{name} Shapley ({unit})"
UNITS = {DICE: "Dice", VOLUME: "mL"}
"""Headings of columns, filled with the name of a region; plots find their columns by them."""
_MOST_TITLES = 7  # beside each other on the axis of a plot; more subsets get a short name too
_COLUMNS = (("LabelVolumesMl", ML), ("RegionVolumesMl", ML), ("DiceToFullest", DICE_TO_FULLEST))


def fill_table(
    table: Node, segmentations: Sequence[Node], record: Record | None = None, truth: Record | None = None
) -> None:
    """One row per subset: volumes of labels and regions in mL, and Dice of the regions to the fullest subset.

    With a ``record`` changes and HD95 too, with one of a comparison with a reference segmentation (``truth``) Dice and
    HD95 to that.
    """
    columns = _measured(segmentations)
    columns |= _expected(segmentations)
    titles = [attribute(node, "Title") for node in segmentations]
    if record is not None:
        columns |= _compared(record, titles)
    if truth is not None:
        columns |= _to_truth(truth, titles)
    short = {PATTERN: patterns(titles)} if len(titles) > _MOST_TITLES else {}
    _fill(table, {SUBSETS: titles}, columns, short)


def patterns(titles: Sequence[str]) -> list[str]:
    """Short names of subsets for the axis of a plot: for each sequence, in their order, x if it is used, else -.

    >>> patterns(["T1+FLAIR", "FLAIR"])
    ['xx', '-x']
    """
    every = sequences_of(titles)
    return ["".join("x" if name in title.split("+") else "-" for name in every) for title in titles]


def sequences_of(titles: Sequence[str]) -> list[str]:
    """Titles of all sequences of some subsets."""
    return list(dict.fromkeys(name for title in sorted(titles, key=len, reverse=True) for name in title.split("+")))


def fill_sequences(table: Node, record: Record, truth: Record | None = None) -> None:
    """One row per sequence: what each region loses without it, and its Shapley value, in Dice and in mL.

    Dice is to the reference segmentation (``truth``) where that knows the region.
    """
    columns = {}
    for measure, unit in UNITS.items():
        known = truth.shares[measure] if truth is not None and measure == DICE else {}
        for region, share in {**record.shares[measure], **known}.items():
            for heading, values in ((WITHOUT, share.leave_one_out), (SHAPLEY, share.shapley)):
                if values:
                    column = [values.get(name, math.nan) for name in record.sequences]
                    columns[heading.format(name=region, unit=unit)] = column
    _fill(table, {SEQUENCE: list(record.sequences.values())}, columns, {})


def _measured(segmentations: Sequence[Node]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for key, heading in _COLUMNS:
        for name in stored(segmentations[0], key):
            # A label and a region may share a name; the region then keeps its own column.
            title = heading.format(name=name) if heading.format(name=name) not in columns else REGION.format(name=name)
            columns[title] = [stored(node, key).get(name, math.nan) for node in segmentations]
    return columns


def _expected(segmentations: Sequence[Node]) -> dict[str, list[float]]:
    rows = [stored(node, "ExpectedDice") for node in segmentations]
    names = dict.fromkeys(name for row in rows for name in row)
    return {EXPECTED.format(name=name): [row.get(name, math.nan) for row in rows] for name in names}


def _compared(record: Record, titles: Sequence[str]) -> dict[str, list[float]]:
    columns = {}
    for name in record.regions:
        rows = list(_rows(record, titles, name))
        columns[f"{name} change (mL)"] = [math.nan if row is None else row.change_ml for row in rows]
        columns[f"{name} change (%)"] = [math.nan if row is None else _or_nan(row.change_percent) for row in rows]
        columns[f"{name} HD95 (mm)"] = [math.nan if row is None else _or_nan(row.hd95_mm) for row in rows]
    return columns


def _to_truth(truth: Record, titles: Sequence[str]) -> dict[str, list[float]]:
    columns = {}
    for name in truth.regions:
        rows = list(_rows(truth, titles, name))
        dice = [math.nan if row is None else _or_nan(row.truth_dice) for row in rows]
        columns[TO_TRUTH.format(name=name)] = dice
        hd95 = [math.nan if row is None else _or_nan(row.truth_hd95_mm) for row in rows]
        columns[f"{name} HD95 to reference (mm)"] = hd95
    return columns


def _rows(record: Record, titles: Iterable[str], region: str) -> Iterable[Numbers | None]:
    return (record.rows.get(title, {}).get(region) for title in titles)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _fill(
    table: Node,
    first: Mapping[str, Sequence[str]],
    numbers: Mapping[str, Sequence[float]],
    last: Mapping[str, Sequence[str]],
) -> None:
    """Columns of text, of numbers, and of text again, in place of what the table holds."""
    changing = table.StartModify()
    table.RemoveAllColumns()
    for kind, columns in ((vtk.vtkStringArray, first), (vtk.vtkDoubleArray, numbers), (vtk.vtkStringArray, last)):
        for heading, values in columns.items():
            column = kind()
            column.SetName(heading)
            for value in values:
                column.InsertNextValue(value)
            table.AddColumn(column)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.EndModify(changing)


def table_text(table: Node, separator: str) -> str:
    """The table with its headings: a tab as separator for pasting into a spreadsheet, a comma for a CSV file."""
    content = table.GetTable()
    every = [content.GetColumn(index) for index in range(content.GetNumberOfColumns())]
    columns = [column for column in every if column.GetName() != PATTERN]
    rows = [[column.GetName() for column in columns]]
    rows += [[_cell(column, row) for column in columns] for row in range(content.GetNumberOfRows())]
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def save_csv(table: Node, path: Path) -> None:
    """Write the table as a CSV file, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(table_text(table, ","), encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _cell(column: vtk.vtkAbstractArray, row: int) -> str:
    if not column.IsNumeric():
        return str(column.GetValue(row))
    value = column.GetValue(row)
    return "" if math.isnan(value) else f"{value:.6g}"
