"""The results of the panel: which one is chosen, its volumes, and the views that compare it with the others."""

from __future__ import annotations

from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute, measures, our_segmentations
from DMAFSegmentLib.comparison import leave_saved_views
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.panel_compare import CompareControls
from DMAFSegmentLib.panel_display import DisplayControls
from DMAFSegmentLib.panel_export import ExportControls
from DMAFSegmentLib.panel_look import LookControls
from DMAFSegmentLib.panel_maps import MapControls
from DMAFSegmentLib.panel_pair import PairControls
from DMAFSegmentLib.panel_plots import PlotControls
from DMAFSegmentLib.panel_scans import ScansView
from DMAFSegmentLib.panel_tables import Cell as TableCell
from DMAFSegmentLib.panel_tables import SortedTable


class ResultView:
    """Shows one segmentation's volumes; the grid and the pair of views show it among the others of its run."""

    def __init__(self, ui: Any) -> None:
        self.ui = ui
        layout = layout_node()
        self.volumes = SortedTable(ui.volumesTable, self._on_segment)
        look = LookControls(ui)
        self.compare = CompareControls(ui, layout, look, lambda: self._leave_others(self.compare), self._on_views)
        self.pair = PairControls(ui, layout, look, lambda: self._leave_others(self.pair), self._on_views)
        self.plots = PlotControls(ui, layout, self.compare.numbers, self._on_plots)
        self.maps = MapControls(ui)
        self.display = DisplayControls(ui, self._in_views)
        self.exports = ExportControls(ui)
        self.scans = ScansView(ui)
        ui.segmentationSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.refresh)
        self.refresh()

    def show_latest(self, segmentations: list[Node], select: bool) -> None:
        """A result arrived; the first of a run becomes the chosen one."""
        if select:
            self.leave_views()
            self.ui.segmentationSelector.setCurrentNode(segmentations[0])
        self.refresh()

    def restore(self) -> None:
        """A scene was loaded, perhaps one saved with views of ours or the uncertainty on: show the usual views."""
        if layout_node() is not None and not any(views.active for views in self._views()):
            leave_saved_views(slicer.mrmlScene, layout_node())
        self.display.restore()
        self.refresh()

    def refresh(self, *_arguments: Any) -> None:
        """Fill everything from the chosen segmentation's node."""
        node = self.ui.segmentationSelector.currentNode()
        self.ui.show3DButton.setSegmentationNode(node)
        self._fill_volumes(node)
        listed = our_segmentations(slicer.mrmlScene, node) if attribute(node, "Subset") else []
        self.compare.refresh(listed, node)
        self.pair.refresh(listed)
        self.plots.refresh(listed[0] if listed else None)
        self.maps.refresh(listed[0] if listed else None)
        self.display.refresh(node)
        self.exports.refresh(node)
        self.scans.refresh(node)
        self.ui.resultsButton.visible = bool(our_segmentations(slicer.mrmlScene))
        self.ui.compareButton.visible = bool(listed)
        self.ui.pairSectionButton.visible = len(listed) > 1

    def leave_views(self) -> None:
        """Back to the views before the grid, the pair or the plots; nothing happens without them."""
        self._leave_others(None)

    def layout_changed(self) -> None:
        """The user chose another layout: then grid, pair and plots are over."""
        for views in self._views():
            views.layout_changed()

    def _views(self) -> list[Any]:
        """What replaces the user's views, one at a time."""
        return [self.compare, self.pair, self.plots]

    def _on_plots(self) -> None:
        self._leave_others(self.plots)

    def _leave_others(self, opening: Any) -> None:
        for views in self._views():
            if views is not opening:
                views.leave()

    def _on_views(self) -> None:
        """Grid or pair came, changed or went: maps lie over what is shown now."""
        self.display.show_uncertainty()
        self.maps.show()

    def _in_views(self) -> dict[str, Node]:
        return {**self.compare.grid.segmentations(), **self.pair.view.segmentations()}

    def _fill_volumes(self, node: Node | None) -> None:
        rows = []
        display = node.GetDisplayNode() if node is not None else None
        for measure in measures(node):
            shown = bool(display.GetSegmentVisibility(measure.segment)) if display and measure.segment else None
            name = TableCell(measure.name, measure.name, measure.color, shown)
            cells = [name, TableCell.number(measure.volume_ml, 2), TableCell.number(measure.dice, 2)]
            rows.append((measure.segment, cells))
        self.volumes.show([_("Segment or region"), _("mL"), _("Dice to fullest")], rows)

    def _on_segment(self, segment: str, checked: bool) -> None:
        self.ui.segmentationSelector.currentNode().GetDisplayNode().SetSegmentVisibility(segment, checked)


def layout_node() -> Node | None:
    """The application's layout; None when Slicer runs without its main window."""
    manager = slicer.app.layoutManager()
    return manager.layoutLogic().GetLayoutNode() if manager is not None else None
