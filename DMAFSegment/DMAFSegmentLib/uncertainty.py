"""Maps, such as where a model is undecided: volumes in the scene, laid over the images when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import AGREEMENT, CONTRIBUTION, ENTROPY, attribute
from DMAFSegmentLib.geometry import Node

HOW_TO_READ = _(
    "Dark: the model is sure. Bright: several classes are about equally likely. A sure model can still be wrong."
)
_COLORS = "vtkMRMLColorTableNodeIron"  # part of every Slicer: nothing of ours to clean up
_LOWEST_SHOWN = 0.05
_OPACITY = 0.6


def add_uncertainty(scene: Any, name: str, entropy: np.ndarray, reference: Node) -> Node:
    """Scalar volume of ``entropy`` (K, J, I) float32, see :func:`add_map`."""
    return add_map(scene, name, entropy, reference, _("Uncertainty"))


def add_map(scene: Any, name: str, values: np.ndarray, reference: Node, title: str) -> Node:
    """Scalar volume on the reference's grid and transform, with colors from 0 to 1 and a hidden legend.

    ``values`` (K, J, I); those near 0 are transparent. ``title`` is that of the legend.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    slicer.util.updateVolumeFromArray(node, values)
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_COLORS)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetThreshold(_LOWEST_SHOWN, 1.0)
    display.ApplyThresholdOn()
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(title)
    legend.SetVisibility(False)
    return node


@dataclass(frozen=True)
class _Laid:
    """A map over a view, and what was over it before."""

    volume: str
    before: str | None
    opacity: float


class UncertaintyOverlay:
    """Lays volumes over slice views and takes them off again, leaving the views as they were."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._laid: dict[str, _Laid] = {}

    def show(self, volumes: Mapping[Node, Node]) -> None:
        """Lay a volume over each of the given slice composite nodes, in place of what was laid before."""
        self.hide()
        for view, volume in volumes.items():
            self._laid[view.GetID()] = _Laid(volume.GetID(), view.GetForegroundVolumeID(), view.GetForegroundOpacity())
            _lay(view, volume.GetID(), _OPACITY)
            _show_legend(volume, True)

    def hide(self) -> None:
        """Take the maps off; a view whose overlay the user changed meanwhile is left alone."""
        for identifier, laid in self._laid.items():
            view = self._scene.GetNodeByID(identifier)
            _show_legend(self._scene.GetNodeByID(laid.volume), False)
            if view is not None and view.GetForegroundVolumeID() in (laid.volume, None):
                _lay(view, laid.before if self._scene.GetNodeByID(laid.before or "") else None, laid.opacity)
        self._laid = {}

    def take_off_saved(self) -> None:
        """After loading a scene that was saved with maps over its views: what was there before is not known."""
        for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", self._scene):
            volume = self._scene.GetNodeByID(view.GetForegroundVolumeID() or "")
            if attribute(volume, "Kind") in (ENTROPY, AGREEMENT, CONTRIBUTION) and view.GetID() not in self._laid:
                _lay(view, None, 0.0)
                _show_legend(volume, False)


def _lay(composite: Node, volume: str | None, opacity: float) -> None:
    linked = composite.GetLinkedControl()
    composite.SetLinkedControl(False)  # else the choice for one view would reach all views of its group
    composite.SetForegroundVolumeID(volume)
    composite.SetForegroundOpacity(opacity)
    composite.SetLinkedControl(linked)


def _show_legend(volume: Node | None, visible: bool) -> None:
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume) if volume is not None else None
    if legend is not None:
        legend.SetVisibility(visible)
