"""Maps of a whole run over the images: which one, the button, and how to read it."""

from __future__ import annotations

from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute
from DMAFSegmentLib.comparison_maps import HOW_TO_READ, maps_of_run
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.uncertainty import UncertaintyOverlay


class MapControls:
    """Lays a map of the run of the chosen result over every slice view, in place of the uncertainty.

    Make it before what lays the uncertainty over the views: its map has to be off when the other one comes.
    """

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self._maps: list[Node] = []
        self._overlay = UncertaintyOverlay(slicer.mrmlScene)
        self._quiet = False
        ui.mapButton.connect("toggled(bool)", self._on_map)
        ui.mapComboBox.connect("currentIndexChanged(int)", self.show)
        ui.uncertaintyButton.connect("toggled(bool)", self._on_uncertainty)

    def refresh(self, result: Node | None) -> None:
        """Offer the maps of the run of a result."""
        maps = maps_of_run(slicer.mrmlScene, result)
        if maps != self._maps:
            self._offer(maps)
        ui = self.ui
        ui.mapComboBox.enabled = ui.mapButton.enabled = bool(maps)
        ui.mapButton.toolTip = (
            _("Show the chosen map over the images; press again to take it off.")
            if maps
            else _("This run has no map of agreement or contribution. Tick one before Apply.")
        )
        if not maps:
            ui.mapButton.checked = False
        self.show()

    def show(self, *_arguments: Any) -> None:
        """Lay the chosen map over every view there is, or take it off."""
        if self._quiet:
            return
        chosen = self._chosen() if self.ui.mapButton.checked else None
        self._overlay.hide()
        self.ui.mapLabel.visible = chosen is not None
        if chosen is not None:
            self.ui.mapLabel.text = HOW_TO_READ[attribute(chosen, "Kind")]
            views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", slicer.mrmlScene)
            self._overlay.show(dict.fromkeys(views, chosen))

    def _chosen(self) -> Node | None:
        index = self.ui.mapComboBox.currentIndex
        return self._maps[index] if 0 <= index < len(self._maps) else None

    def _offer(self, maps: list[Node]) -> None:
        combo, before = self.ui.mapComboBox, self._chosen()
        self._quiet = True
        self._maps = maps
        combo.clear()
        for node in maps:
            combo.addItem(node.GetName())
        combo.currentIndex = maps.index(before) if before in maps else min(0, len(maps) - 1)
        self._quiet = False

    def _on_map(self, checked: bool) -> None:
        if checked:
            self.ui.uncertaintyButton.checked = False
        self.show()

    def _on_uncertainty(self, checked: bool) -> None:
        if checked:
            self.ui.mapButton.checked = False
