"""The button that draws the numbers of a run in plot views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.panel_numbers import NumberControls
from DMAFSegmentLib.plots import Chart, PlotStage, charts


class PlotControls:
    """Plots follow the chosen result and region. ``opening()`` is called before they come.

    Without a ``layout`` (Slicer without its main window) the button says so.
    """

    def __init__(self, ui: Any, layout: Node | None, numbers: NumberControls, opening: Callable[[], None]) -> None:
        self.ui, self._numbers, self._opening = ui, numbers, opening
        self._result: Node | None = None
        self.stage = PlotStage(slicer.mrmlScene, layout) if layout is not None else None
        ui.plotButton.connect("toggled(bool)", self._on_plot)
        numbers.changed.connect(self._redraw)

    @property
    def active(self) -> bool:
        """Are the plots on?"""
        return self.stage is not None and self.stage.active

    def refresh(self, result: Node | None) -> None:
        """Draw the run of another result, or say why nothing can be drawn."""
        self._result = result
        reason = self._obstacle()
        self.ui.plotButton.enabled = not reason
        self.ui.plotButton.toolTip = reason or _(
            "Draw volume, Dice and the share of each sequence as bars; press again to return to the views before."
        )
        if reason:
            self.leave()
        else:
            self._redraw()

    def leave(self) -> None:
        """Back to the views before; nothing happens without plots."""
        self.ui.plotButton.checked = False

    def layout_changed(self) -> None:
        """The user chose another layout: then the plots are over."""
        if self.stage is not None and self.stage.active and not self.stage.on_screen:
            self.leave()

    def _obstacle(self) -> str:
        if self.stage is None:
            return _("There are no views: Slicer runs without its main window.")
        return "" if self._drawn() else _("Segment from at least two subsets first.")

    def _drawn(self) -> list[Chart]:
        if self._result is None:
            return []
        return charts(slicer.mrmlScene, self._result, self._numbers.region, self._numbers.region_title)

    def _on_plot(self, checked: bool) -> None:
        if self.stage is None:
            return
        if not checked or self._result is None:
            self.stage.hide()
            return
        self._opening()
        problem = self.stage.show(self._result, self._drawn())
        if problem:
            self.leave()
            self.ui.plotButton.enabled = False
            self.ui.plotButton.toolTip = problem

    def _redraw(self) -> None:
        if self.stage is not None and self.stage.active and self._result is not None:
            self.stage.show(self._result, self._drawn())
