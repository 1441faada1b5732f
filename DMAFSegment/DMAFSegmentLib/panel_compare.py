"""The comparison of all subsets of a run: a table with a row for each, and the grid with a view for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import inputs_of
from DMAFSegmentLib.comparison import MAX_CELLS, ComparisonGrid
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.panel_look import LookControls
from DMAFSegmentLib.panel_numbers import NumberControls
from DMAFSegmentLib.surface_view import SURFACE_TAG


class CompareControls:
    """Table and grid follow the chosen result: a click on a row chooses another one.

    ``opening`` is called before the grid comes, ``changed`` whenever its views show something else or are gone.
    Without a ``layout`` (Slicer without its main window) there is a table only.
    """

    def __init__(
        self,
        ui: Any,
        layout: Node | None,
        look: LookControls,
        opening: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.ui, self._look, self._opening, self._changed = ui, look, opening, changed
        self._listed: list[Node] = []
        self._chosen: Node | None = None
        self._can_open = layout is not None
        self.grid = ComparisonGrid(slicer.mrmlScene, slicer.app.applicationLogic(), layout)
        self.numbers = NumberControls(ui)
        self.table = self.numbers.table
        ui.gridButton.connect("toggled(bool)", self._on_grid)
        ui.enlargeButton.connect("toggled(bool)", self._on_enlarge)
        ui.surfaceButton.connect("toggled(bool)", self._on_surface)
        ui.compareTable.connect("cellClicked(int,int)", self._on_row)
        look.background_changed.connect(self._reopen)
        look.look_changed.connect(self._on_look)

    @property
    def active(self) -> bool:
        """Is the grid on?"""
        return self.grid.active

    def refresh(self, listed: Sequence[Node], chosen: Node | None) -> None:
        """Show the results of a run, one of them chosen; a grid that is on takes up what arrived."""
        if self.active and not self.grid.complete:
            self.leave()
        self._listed, self._chosen = list(listed), chosen
        self.numbers.show(self._listed)
        if self.active and self.grid.shown != self._shown():
            self._reopen()
        elif self.active:
            self._show_chosen()
        self._refresh_buttons()

    def leave(self) -> None:
        """Back to the views before the grid; nothing happens without one."""
        self.ui.gridButton.checked = False

    def layout_changed(self) -> None:
        """The user chose another layout: then the grid is over."""
        if self.active and not self.grid.on_screen:
            self.leave()

    def _on_row(self, row: int, _column: int) -> None:
        self.ui.segmentationSelector.setCurrentNode(self.table.payloads[row])

    # -- grid -----------------------------------------------------------------------------------

    def _shown(self) -> list[Node]:
        """Results the grid can show: those that still have a volume to lie on."""
        return [node for node in self._listed if inputs_of(node)][:MAX_CELLS]

    def _refresh_buttons(self) -> None:
        ui, count = self.ui, len(self._shown())
        ui.gridButton.enabled = count > 0 and self._can_open
        text = _("Show comparison grid ({count})").format(count=count) if count else _("Show comparison grid")
        ui.gridButton.text = text
        ui.gridButton.toolTip = (
            _("Show each result in a view of its own; press again to return to the views before.")
            if count
            else _("Choose a segmentation made by this module first.")
        )
        for button in (ui.enlargeButton, ui.surfaceButton):
            button.enabled = self.active

    def _on_grid(self, checked: bool) -> None:
        if checked and self._shown():
            self._opening()
            self._open()
        else:
            self._uncheck(self.ui.gridButton, self.ui.enlargeButton, self.ui.surfaceButton)
            self.grid.hide()
        self._refresh_buttons()
        self._changed()

    def _open(self) -> None:
        self.grid.stage.look = self._look.look
        self.grid.show(self._look.cells(self._shown(), self._listed))
        self._show_chosen()
        qt.QTimer.singleShot(0, self.grid.fit)  # views get their size when Qt lays them out

    def _reopen(self) -> None:
        if not self.active:
            return
        if self._shown():
            self.grid.show(self._look.cells(self._shown(), self._listed))
            self._show_chosen()
            self._fit_soon()
            self._changed()
        else:
            self.leave()

    def _on_look(self) -> None:
        if self.active:
            self.grid.stage.look = self._look.look
            self.grid.fit()

    def _on_enlarge(self, *_arguments: Any) -> None:
        if self.active:
            self._show_chosen()
            self._fit_soon()

    def _on_surface(self, *_arguments: Any) -> None:
        if self.active:
            self._show_chosen()
            self._fit_soon()
            qt.QTimer.singleShot(0, center_surface)

    def _show_chosen(self) -> None:
        """Enlarge the chosen result, and show it in 3-D, if the buttons say so."""
        shown = self.grid.shown
        index = shown.index(self._chosen) if self._chosen in shown else 0
        self.grid.enlarge(index if self.ui.enlargeButton.checked else None)
        self.grid.show_surface(index if self.ui.surfaceButton.checked else None)

    def _fit_soon(self) -> None:
        qt.QTimer.singleShot(0, lambda: self.grid.fit(keep_slice=True))

    def _uncheck(self, *buttons: Any) -> None:
        for button in buttons:
            button.blockSignals(True)
            button.checked = False
            button.blockSignals(False)


def center_surface() -> None:
    """Turn the camera of the 3-D view to what it shows."""
    manager = slicer.app.layoutManager()
    for index in range(manager.threeDViewCount):
        view = manager.threeDWidget(index).threeDView()
        if view.mrmlViewNode().GetSingletonTag() == SURFACE_TAG:
            view.resetFocalPoint()
            view.resetCamera()
