"""How the chosen result is shown: visible or not, filled or as outline, its lesion, and the uncertainty over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import ENTROPY, attribute, companion, inputs_of, nodes_of_run
from DMAFSegmentLib.comparison import set_style
from DMAFSegmentLib.framing import largest_lesion_point
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.label_map import merged_labels
from DMAFSegmentLib.uncertainty import HOW_TO_READ, UncertaintyOverlay


class DisplayControls:
    """Buttons and sliders below the table of volumes; they act on the chosen segmentation.

    Opacity and outline act on every segmentation of its run, so that a comparison stays fair. ``in_views`` tells
    which view shows which result, by the ID of its slice composite node; all others show the chosen one.
    """

    def __init__(self, ui: Any, in_views: Callable[[], dict[str, Node]]) -> None:
        self.ui, self._in_views = ui, in_views
        self._node: Node | None = None
        self._quiet = False
        self._overlay = UncertaintyOverlay(slicer.mrmlScene)
        ui.uncertaintyLabel.text = HOW_TO_READ
        ui.visibleCheckBox.connect("toggled(bool)", self._on_visible)
        ui.opacitySlider.connect("valueChanged(int)", self._on_style)
        ui.outlineCheckBox.connect("toggled(bool)", self._on_style)
        ui.lesionButton.connect("clicked(bool)", self._on_lesion)
        ui.uncertaintyButton.connect("toggled(bool)", self.show_uncertainty)

    def restore(self) -> None:
        """A scene was loaded: its views show no map before the button is pressed."""
        self._overlay.take_off_saved()

    def refresh(self, node: Node | None) -> None:
        """Show the state of a segmentation, or that there is none."""
        self._node = node if attribute(node, "Subset") else None
        ui, display = self.ui, self._node.GetDisplayNode() if self._node is not None else None
        for widget in (ui.visibleCheckBox, ui.opacitySlider, ui.outlineCheckBox):
            widget.enabled = display is not None
        if display is not None:
            self._quiet = True
            ui.visibleCheckBox.checked = bool(display.GetVisibility())
            ui.opacitySlider.value = round(100 * display.GetOpacity2DFill())
            ui.outlineCheckBox.checked = not display.GetVisibility2DFill()
            self._quiet = False
        ui.lesionButton.enabled = self._node is not None and bool(inputs_of(self._node))
        self._refresh_uncertainty()

    def show_uncertainty(self, *_arguments: Any) -> None:
        """Lay the map over every view, or take it off; in the grid each view gets the map of its own subset."""
        self._overlay.hide()
        self.ui.uncertaintyLabel.visible = self.ui.uncertaintyButton.checked
        if self.ui.uncertaintyButton.checked:
            self._overlay.show(self._maps())

    def _refresh_uncertainty(self) -> None:
        button = self.ui.uncertaintyButton
        button.enabled = companion(slicer.mrmlScene, self._node, ENTROPY) is not None
        button.toolTip = (
            _("Show where the model is undecided, over the images.")
            if button.enabled
            else _('This result has no uncertainty map. Tick "Map the uncertainty" before Apply.')
        )
        if not button.enabled:
            button.checked = False
        self.show_uncertainty()

    def _maps(self) -> dict[Node, Node]:
        """Which map lies over which view."""
        scene = slicer.mrmlScene
        cells = self._in_views()
        views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene)
        maps = {view: companion(scene, cells.get(view.GetID(), self._node), ENTROPY) for view in views}
        return {view: volume for view, volume in maps.items() if volume is not None}

    def _on_visible(self, checked: bool) -> None:
        if not self._quiet and self._node is not None:
            self._node.GetDisplayNode().SetVisibility(checked)

    def _on_style(self, *_arguments: Any) -> None:
        if self._quiet or self._node is None:
            return
        for node in nodes_of_run(slicer.mrmlScene, attribute(self._node, "Run")):
            if node.IsA("vtkMRMLSegmentationNode"):
                set_style(node, self.ui.opacitySlider.value / 100, self.ui.outlineCheckBox.checked)

    def _on_lesion(self, *_arguments: Any) -> None:
        if self._node is None:
            return
        labels = merged_labels(self._node)
        point = largest_lesion_point(labels.mask(), labels.ijk_to_ras)
        if point is None:
            slicer.util.infoDisplay(_("This result has no labeled voxel to go to."))
            return
        mode = slicer.vtkMRMLSliceNode.CenteredJumpSlice
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *(float(value) for value in point), mode)
