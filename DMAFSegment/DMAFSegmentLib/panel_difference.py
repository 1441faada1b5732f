"""What A and B disagree on: the region whose difference is colored, the legend in words, and the largest places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import reference_of
from DMAFSegmentLib.difference import COLORS, DifferenceOverlay, Place, ResultPair, kind_title
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.panel_tables import Cell, SortedTable
from DMAFSegmentLib.view_stage import Focus


class DifferenceControls:
    """Region, legend and places of two results; ``go_to(center)`` is called for a place that was clicked."""

    def __init__(self, ui: Any, go_to: Callable[[tuple[float, float, float]], None]) -> None:
        self.ui, self._go_to = ui, go_to
        self._pair: ResultPair | None = None
        self._reference: Node | None = None
        self._quiet = False
        self.overlay = DifferenceOverlay(slicer.mrmlScene)
        self.legend = SortedTable(ui.legendTable)
        self.places = SortedTable(ui.placesTable)
        ui.regionComboBox.connect("currentIndexChanged(int)", self._on_region)
        ui.placesTable.connect("cellClicked(int,int)", self._on_place)
        self.close()

    def open(self, first: Node, second: Node) -> tuple[Node, Focus]:
        """Compare two results; gives the overlay of the region with the largest place, and where to look.

        Raises:
            GeometryError, ValueError: they cannot be compared.
        """
        pair = ResultPair(first, second)
        self._pair, self._reference = pair, reference_of(first)
        places = pair.places()
        self._fill_regions(pair, places[0].region if places else "")
        self._fill_legend(pair)
        self._fill_places(places)
        self._show(True)
        return self.overlay.make(pair, self._region(), first, second), pair.focus(self._region())

    def close(self) -> None:
        """Take the overlay out of the scene."""
        self.overlay.remove()
        self._pair = None
        self._show(False)

    def _show(self, visible: bool) -> None:
        ui = self.ui
        ui.regionLabel.visible = ui.regionComboBox.visible = visible
        for table in (ui.legendTable, ui.placesTable):
            table.visible = visible and table.rowCount > 0

    def _region(self) -> str:
        combo = self.ui.regionComboBox
        return str(combo.itemData(combo.currentIndex))

    def _fill_regions(self, pair: ResultPair, shown: str) -> None:
        combo, names = self.ui.regionComboBox, list(pair.regions)
        self._quiet = True
        combo.clear()
        for name, title in pair.regions.items():
            combo.addItem(title, name)
        combo.currentIndex = names.index(shown) if shown in names else 0
        self._quiet = False

    def _fill_legend(self, pair: ResultPair) -> None:
        volumes = pair.volumes_ml(self._region())
        rows = [(kind, [_kind_cell(kind), Cell.number(volume, 2)]) for kind, volume in volumes.items()]
        self.legend.show([_("Color"), _("mL")], rows)

    def _fill_places(self, places: Sequence[Place]) -> None:
        rows = []
        for place in places:
            region = place.region or _("all")
            rows.append((place, [_kind_cell(place.kind), Cell(region, region), Cell.number(place.volume_ml, 2)]))
        self.places.show([_("Where they differ most"), _("Region"), _("mL")], rows)

    def _on_region(self, *_arguments: Any) -> None:
        if self._pair is not None and not self._quiet:
            self.overlay.fill(self._pair, self._region(), self._reference)
            self._fill_legend(self._pair)

    def _on_place(self, row: int, _column: int) -> None:
        if self._pair is not None:
            place = self.places.payloads[row]
            self.ui.regionComboBox.currentIndex = list(self._pair.regions).index(place.region)
            self._go_to(place.center)


def _kind_cell(kind: str) -> Cell:
    red, green, blue = (part / 255 for part in COLORS[kind])
    return Cell(kind_title(kind), kind, (red, green, blue))
