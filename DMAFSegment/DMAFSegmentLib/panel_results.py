"""The results of the panel: tables of volumes and of subsets, and the switch of the comparison grid."""

from __future__ import annotations

from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.comparison import MAX_CELLS, Cell, ComparisonGrid
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.results import PREFIX, inputs_of, measures, our_segmentations, stored

_ROW_PADDING = 6  # pixels
_MAX_ROWS_SHOWN = 16


class ResultView:
    """Shows one segmentation's volumes, the other subsets of its run, and all of them side by side."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._listed: list[Node] = []
        layout = layout_node()
        self.grid = ComparisonGrid(slicer.mrmlScene, slicer.app.applicationLogic(), layout) if layout else None
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.refresh)
        ui.gridButton.connect("toggled(bool)", self._on_grid)
        ui.opacitySlider.connect("valueChanged(int)", self._style_grid)
        ui.outlineCheckBox.connect("toggled(bool)", self._style_grid)
        ui.backgroundSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_background)
        ui.compareTable.connect("cellClicked(int,int)", self._on_row)
        self.refresh()

    def show_latest(self, segmentations: list[Node], select: bool) -> None:
        """A result arrived; the first of a run becomes the chosen one."""
        if select:
            self.leave_grid()
            self.ui.segmentationSelector.setCurrentNode(segmentations[0])
        self.refresh()

    def refresh(self, *_arguments: Any) -> None:
        """Fill both tables from the chosen segmentation's node."""
        node = self.ui.segmentationSelector.currentNode()
        self.ui.show3DButton.setSegmentationNode(node)
        self._fill_volumes(node)
        ours = node is not None and node.GetAttribute(PREFIX + "Subset")
        self._listed = our_segmentations(slicer.mrmlScene, node) if ours else []
        self._fill_comparison()
        if node in self._listed:
            self.ui.compareTable.selectRow(self._listed.index(node))
        button, count = self.ui.gridButton, len(self._shown())
        button.enabled = count > 0 and self.grid is not None
        button.text = _("Show comparison grid ({count})").format(count=count) if count else _("Show comparison grid")
        button.toolTip = (
            _("Show each result in a view of its own; press again to return to the views before.")
            if count
            else _("Choose a segmentation made by this module first.")
        )

    def leave_grid(self) -> None:
        """Back to the views before the grid; nothing happens without one."""
        self.ui.gridButton.checked = False

    def layout_changed(self) -> None:
        """The user chose another layout: then the grid is over."""
        if self.grid is not None and self.grid.active and not self.grid.on_screen:
            self.leave_grid()

    def _fill_volumes(self, node: Node | None) -> None:
        rows = measures(node)
        table = self.ui.volumesTable
        _prepare(table, [_("Segment or region"), _("mL"), _("Dice to fullest")], len(rows))
        for index, row in enumerate(rows):
            name = _item(row.name, left=True)
            if row.color is not None:
                name.setData(qt.Qt.DecorationRole, qt.QColor(*(int(255 * part) for part in row.color)))
            dice = "" if row.dice is None else f"{row.dice:.2f}"
            for column, item in enumerate((name, _item(f"{row.volume_ml:.2f}"), _item(dice))):
                table.setItem(index, column, item)
        _fit_height(table)

    def _fill_comparison(self) -> None:
        table = self.ui.compareTable
        regions = list(stored(self._listed[0], "RegionVolumesMl")) if self._listed else []
        whole = regions[:1]
        headings = [_("{region}\nmL").format(region=name) for name in whole]
        headings += [_("Dice\n{region}").format(region=name) for name in regions]
        _prepare(table, [_("Sequences"), *headings], len(self._listed))
        for index, node in enumerate(self._listed):
            volumes, dice = stored(node, "RegionVolumesMl"), stored(node, "DiceToFullest")
            texts = [f"{volumes[name]:.1f}" for name in whole]
            texts += [f"{dice[name]:.2f}" if name in dice else "-" for name in regions]
            table.setItem(index, 0, _item(node.GetAttribute(PREFIX + "Title"), left=True))
            for column, text in enumerate(texts, 1):
                table.setItem(index, column, _item(text))
        _fit_height(table)

    def _shown(self) -> list[Node]:
        """Results the grid can show: those that still have a volume to lie on."""
        return [node for node in self._listed if inputs_of(node)][:MAX_CELLS]

    def _on_grid(self, checked: bool) -> None:
        if self.grid is None:
            return
        if not checked:
            self.grid.hide()
            return
        chosen = self.ui.backgroundSelector.currentNode()
        cells = [
            Cell(node.GetAttribute(PREFIX + "Title"), node, chosen or inputs_of(node)[0]) for node in self._shown()
        ]
        if not cells:
            self.leave_grid()
            return
        self.grid.show(cells)
        self._style_grid()
        qt.QTimer.singleShot(0, self.grid.fit)  # views get their size when Qt lays them out

    def _style_grid(self, *_arguments: Any) -> None:
        if self.grid is not None:
            self.grid.set_style(self.ui.opacitySlider.value / 100, self.ui.outlineCheckBox.checked)

    def _on_background(self, *_arguments: Any) -> None:
        if self.grid is not None and self.grid.active:
            self._on_grid(True)

    def _on_row(self, row: int, _column: int) -> None:
        self.ui.segmentationSelector.setCurrentNode(self._listed[row])


def layout_node() -> Node | None:
    """The application's layout; None when Slicer runs without its main window."""
    manager = slicer.app.layoutManager()
    return manager.layoutLogic().GetLayoutNode() if manager is not None else None


def _item(text: str, left: bool = False) -> Any:
    item = qt.QTableWidgetItem(text)
    side = qt.Qt.AlignLeft if left else qt.Qt.AlignRight
    item.setTextAlignment(side | qt.Qt.AlignVCenter)
    item.setToolTip(text)
    return item


def _prepare(table: Any, headings: list[str], rows: int) -> None:
    table.setColumnCount(len(headings))
    table.setHorizontalHeaderLabels(headings)
    table.setRowCount(rows)
    header = table.horizontalHeader()
    for column in range(len(headings)):
        header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents if column else qt.QHeaderView.Stretch)


def _fit_height(table: Any) -> None:
    """As tall as its rows: a table that scrolls inside a scrolling panel is hard to read. Hidden when empty."""
    table.visible = table.rowCount > 0
    table.resizeRowsToContents()
    rows = min(table.rowCount, _MAX_ROWS_SHOWN)
    header = table.horizontalHeader()
    table.setFixedHeight(header.height + sum(table.rowHeight(row) for row in range(rows)) + _ROW_PADDING)
