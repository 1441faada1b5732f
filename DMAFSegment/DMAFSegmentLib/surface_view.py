"""A 3-D view with one result, made when it is asked for: surfaces of all results would take long."""

from __future__ import annotations

from typing import Any

import slicer

from DMAFSegmentLib.geometry import Node

SURFACE_TAG = "DMAFSpace"
_VIEW_CLASS = "vtkMRMLViewNode"


class SurfaceView:
    """Shows a segmentation in the 3-D view of that name, and takes the surface away again if it made it.

    The view itself belongs to the layout: show after the layout has it.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._node: Node | None = None
        self._made = False

    def show(self, node: Node, title: str) -> None:
        """Show a segmentation in place of the one before."""
        self.hide()
        self._node, self._made = node, not _has_surface(node)
        if self._made:
            node.CreateClosedSurfaceRepresentation()
        view = self._scene.GetSingletonNode(SURFACE_TAG, _VIEW_CLASS)
        view.SetLayoutLabel(title)
        node.GetDisplayNode().AddViewNodeID(view.GetID())
        node.GetDisplayNode().SetVisibility3D(True)

    def hide(self) -> None:
        """Take it out of the view; whoever remembers the display settings restores whether 3-D was on."""
        node, self._node = self._node, None
        if node is None or not self._scene.IsNodePresent(node):
            return
        node.GetDisplayNode().RemoveViewNodeID(f"{_VIEW_CLASS}{SURFACE_TAG}")
        if self._made:
            node.RemoveClosedSurfaceRepresentation()


def _has_surface(node: Node) -> bool:
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return bool(node.GetSegmentation().ContainsRepresentation(name))
