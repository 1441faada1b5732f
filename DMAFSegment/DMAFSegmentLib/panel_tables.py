"""A table of the panel whose columns can be sorted, and whose rows may carry a check box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt

_ROW_PADDING = 6  # pixels
_MAX_ROWS_SHOWN = 16


@dataclass(frozen=True)
class Cell:
    """Text of a cell and what it is sorted by; ``color`` is RGB 0-1, ``checked`` None means no check box."""

    text: str
    key: str | float
    color: tuple[float, float, float] | None = None
    checked: bool | None = None

    @classmethod
    def number(cls, value: float | None, digits: int, missing: str = "") -> Cell:
        """A number with so many digits; one that is missing is sorted below all others."""
        return cls(missing, float("-inf")) if value is None else cls(f"{value:.{digits}f}", value)


class SortedTable:
    """Fills a QTableWidget; a click on a heading sorts by that column, another one the other way round.

    Sorted here, not by Qt: an item of Qt's is sorted by its text. ``on_checked(payload, checked)`` is told when the
    user changes a check box. Each row has a payload, any object.
    """

    def __init__(self, widget: Any, on_checked: Callable[[Any, bool], None] | None = None) -> None:
        self.payloads: list[Any] = []
        self._widget, self._on_checked = widget, on_checked
        self._rows: list[tuple[Any, Sequence[Cell]]] = []
        self._column, self._descending = -1, False
        self._filling = False
        header = widget.horizontalHeader()
        header.setSectionsClickable(True)
        header.connect("sectionClicked(int)", self._on_heading)
        widget.connect("cellChanged(int,int)", self._on_cell)

    def show(self, headings: Sequence[str], rows: Sequence[tuple[Any, Sequence[Cell]]]) -> None:
        """Show rows of (payload, cells), in the given order until a heading was clicked."""
        self._widget.setColumnCount(len(headings))
        self._widget.setHorizontalHeaderLabels(list(headings))
        header = self._widget.horizontalHeader()
        for column in range(len(headings)):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch)
        self._rows = list(rows)
        self._fill()

    def _on_heading(self, column: int) -> None:
        self._descending = column == self._column and not self._descending
        self._column = column
        header = self._widget.horizontalHeader()
        header.setSortIndicatorShown(True)
        header.setSortIndicator(column, qt.Qt.DescendingOrder if self._descending else qt.Qt.AscendingOrder)
        self._fill()

    def _fill(self) -> None:
        rows = self._rows
        if 0 <= self._column < self._widget.columnCount:
            rows = sorted(rows, key=lambda row: row[1][self._column].key, reverse=self._descending)
        self.payloads = [payload for payload, _cells in rows]
        self._filling = True
        self._widget.setRowCount(len(rows))
        for index, (_payload, cells) in enumerate(rows):
            for column, cell in enumerate(cells):
                self._widget.setItem(index, column, _item(cell, left=column == 0))
        self._filling = False
        self._fit_height()

    def _on_cell(self, row: int, column: int) -> None:
        if self._filling or column or self._on_checked is None:
            return
        self._on_checked(self.payloads[row], self._widget.item(row, 0).checkState() == qt.Qt.Checked)

    def _fit_height(self) -> None:
        """As tall as its rows: a table that scrolls inside a scrolling panel is hard to read. Hidden when empty."""
        table = self._widget
        table.visible = table.rowCount > 0
        table.resizeRowsToContents()
        rows = min(table.rowCount, _MAX_ROWS_SHOWN)
        header = table.horizontalHeader()
        table.setFixedHeight(header.height + sum(table.rowHeight(row) for row in range(rows)) + _ROW_PADDING)


def _item(cell: Cell, left: bool) -> Any:
    item = qt.QTableWidgetItem(cell.text)
    item.setTextAlignment((qt.Qt.AlignLeft if left else qt.Qt.AlignRight) | qt.Qt.AlignVCenter)
    item.setToolTip(cell.text)
    if cell.color is not None:
        item.setData(qt.Qt.DecorationRole, qt.QColor(*(int(255 * part) for part in cell.color)))
    if cell.checked is not None:
        item.setCheckState(qt.Qt.Checked if cell.checked else qt.Qt.Unchecked)
    return item
