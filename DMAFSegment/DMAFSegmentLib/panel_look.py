"""What the grid and the pair of views have in common: the volume behind the results, the plane, and the zoom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import inputs_of
from DMAFSegmentLib.captions import captions
from DMAFSegmentLib.comparison import Cell
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.signal import Signal
from DMAFSegmentLib.view_stage import ORIENTATIONS, Look


class LookControls:
    """Signals: ``look_changed()`` for plane and zoom, ``background_changed()`` for the volume behind the results."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        self.look_changed, self.background_changed = Signal(), Signal()
        for text, orientation in zip((_("Axial"), _("Sagittal"), _("Coronal")), ORIENTATIONS, strict=True):
            ui.orientationComboBox.addItem(text, orientation)
        for text, lesion in ((_("Whole image"), False), (_("Lesion"), True)):
            ui.zoomComboBox.addItem(text, lesion)
        for combo in (ui.orientationComboBox, ui.zoomComboBox):
            combo.connect("currentIndexChanged(int)", lambda *_: self.look_changed.emit())
        ui.backgroundSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda *_: self.background_changed.emit())

    @property
    def look(self) -> Look:
        """Plane and zoom as chosen."""
        orientation, zoom = self.ui.orientationComboBox, self.ui.zoomComboBox
        return Look(orientation.itemData(orientation.currentIndex), bool(zoom.itemData(zoom.currentIndex)))

    def cells(self, nodes: Sequence[Node], listed: Sequence[Node]) -> list[Cell]:
        """Cells of some results of a run, with the chosen volume behind them or the first of each one's own."""
        titles = dict(zip((node.GetID() for node in listed), captions(listed), strict=True))
        chosen = self.ui.backgroundSelector.currentNode()
        return [Cell(titles[node.GetID()], node, chosen or inputs_of(node)[0]) for node in nodes]
