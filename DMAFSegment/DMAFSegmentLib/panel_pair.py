"""Two results against each other: which two, their views, and flicker between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute, inputs_of
from DMAFSegmentLib.captions import captions
from DMAFSegmentLib.geometry import GeometryError, Node
from DMAFSegmentLib.pair_view import PairView, default_pair
from DMAFSegmentLib.panel_difference import DifferenceControls
from DMAFSegmentLib.panel_look import LookControls
from DMAFSegmentLib.panel_process import call_later

_TURN_S = 0.7


class PairControls:
    """Selectors A and B, the button that shows the two views and their difference, and flicker.

    ``opening`` is called before the views come, ``changed`` whenever they show something else or are gone. Without a
    ``layout`` (Slicer without its main window) they cannot be opened.
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
        self._run = ""
        self._chosen_by_user = self._quiet = self._waiting = False
        self._can_open = layout is not None
        self.view = PairView(slicer.mrmlScene, slicer.app.applicationLogic(), layout)
        self.difference = DifferenceControls(ui, self.view.stage.jump)
        for combo in (ui.firstComboBox, ui.secondComboBox):
            combo.connect("currentIndexChanged(int)", self._on_chosen)
        ui.pairButton.connect("toggled(bool)", self._on_pair)
        ui.flickerButton.connect("toggled(bool)", self._on_flicker)
        ui.swapButton.connect("clicked(bool)", self._swap)
        ui.autoSwapCheckBox.connect("toggled(bool)", self._on_auto_swap)
        look.background_changed.connect(self._reopen)
        look.look_changed.connect(self._on_look)
        self._show_flicker()

    @property
    def active(self) -> bool:
        """Are the views on?"""
        return self.view.stage.active

    def refresh(self, listed: Sequence[Node]) -> None:
        """Offer the results of a run."""
        usable = [node for node in listed if inputs_of(node)]
        if self.active and not (self.view.stage.complete and all(node in usable for node in self._two())):
            self.leave()
        if usable != self._listed:
            self._offer(usable)
        reason, button = self._obstacle(), self.ui.pairButton
        button.enabled = not reason and self._can_open
        button.toolTip = reason or _("Show A, B and their difference; press again to return to the views before.")

    def leave(self) -> None:
        """Back to the views before; nothing happens without ours."""
        self.ui.pairButton.checked = False

    def layout_changed(self) -> None:
        """The user chose another layout: then the pair is over."""
        if self.active and not self.view.stage.on_screen:
            self.leave()

    # -- choice ---------------------------------------------------------------------------------

    def _offer(self, usable: list[Node]) -> None:
        """Fill the selectors; the choice of the user stays, as does what the views show."""
        kept = [usable.index(node) for node in self._two() if node in usable]
        run = attribute(usable[0], "Run") if usable else ""
        if run != self._run:
            self._run, self._chosen_by_user = run, False
        self._listed = usable
        self._quiet = True
        combos = (self.ui.firstComboBox, self.ui.secondComboBox)
        for combo in combos:
            combo.clear()
            for text in captions(usable):
                combo.addItem(text)
        if len(usable) > 1:
            stays = len(kept) == 2 and (self._chosen_by_user or self.active)
            for combo, index in zip(combos, kept if stays else default_pair(usable), strict=True):
                combo.currentIndex = index
        self._quiet = False

    def _two(self) -> list[Node]:
        """A and B; empty when there are no two results."""
        places = (self.ui.firstComboBox.currentIndex, self.ui.secondComboBox.currentIndex)
        return [self._listed[place] for place in places] if self._listed and min(places) >= 0 else []

    def _obstacle(self) -> str:
        if len(self._listed) < 2:
            return _("Segment from at least two subsets first.")
        first, second = self._two()
        return _("A and B are the same result. Choose two.") if first is second else ""

    def _on_chosen(self, *_arguments: Any) -> None:
        if not self._quiet:
            self._chosen_by_user = True
            self._reopen()
            self.refresh(self._listed)

    # -- views ----------------------------------------------------------------------------------

    def _on_pair(self, checked: bool) -> None:
        if checked and not self._obstacle():
            self._opening()
            self._open()
        else:
            self._close()
        self._show_flicker()
        self._changed()

    def _open(self) -> None:
        first, second = self._two()
        try:
            overlay, focus = self.difference.open(first, second)
        except (GeometryError, ValueError) as error:
            slicer.util.errorDisplay(str(error))
            self.leave()
            return
        self.ui.flickerButton.checked = False
        self.view.stage.look = self._look.look
        cell_a, cell_b = self._look.cells((first, second), self._listed)
        self.view.show(cell_a, cell_b, overlay, focus)
        qt.QTimer.singleShot(0, self.view.stage.fit)  # views get their size when Qt lays them out

    def _close(self) -> None:
        self.leave()
        self.ui.flickerButton.checked = False
        self.view.hide()
        self.difference.close()

    def _reopen(self) -> None:
        if self.active and self._obstacle():
            self.leave()
        elif self.active:
            self._open()
            self._changed()

    def _on_look(self) -> None:
        if self.active:
            self.view.stage.look = self._look.look
            self.view.stage.fit()

    # -- flicker --------------------------------------------------------------------------------

    def _show_flicker(self) -> None:
        ui = self.ui
        for widget in (ui.flickerButton, ui.swapButton, ui.autoSwapCheckBox):
            widget.visible = self.active
        ui.swapButton.enabled = ui.autoSwapCheckBox.enabled = self.active and ui.flickerButton.checked

    def _on_flicker(self, checked: bool) -> None:
        if self.active:
            (self.view.swap if checked else self.view.show_difference)()
            self._changed()
        self._show_flicker()
        self._on_auto_swap()

    def _swap(self, *_arguments: Any) -> None:
        if self.active and self.ui.flickerButton.checked:
            self.view.swap()
            self._changed()

    def _on_auto_swap(self, *_arguments: Any) -> None:
        if self._flickers_alone() and not self._waiting:
            self._waiting = True
            call_later(_TURN_S, self._tick)

    def _tick(self) -> None:
        self._waiting = False
        if self._flickers_alone():
            self._swap()
            self._on_auto_swap()

    def _flickers_alone(self) -> bool:
        return self.active and bool(self.ui.flickerButton.checked and self.ui.autoSwapCheckBox.checked)
