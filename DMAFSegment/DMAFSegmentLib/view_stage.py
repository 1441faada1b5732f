"""Slice views of our own in place of the user's: what they show, where they look, and the way back.

Only MRML nodes and slice logics are touched, so it works wherever a layout is realized. The layout before, and how
every segmentation was displayed, come back when the stage is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from DMAFSegmentLib.framing import box_corners, content_corners, frame, largest_slice_point
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.label_map import merged_labels

ORIENTATIONS = ("Axial", "Sagittal", "Coronal")
_LESION_MARGIN = 1.5


@dataclass(frozen=True)
class View:
    """One slice view: its layout name, its label, the volume in it, and the segmentations shown in it."""

    tag: str
    title: str
    background: Node
    segmentations: tuple[Node, ...]


@dataclass(frozen=True)
class Look:
    """How all views look: the plane (one of :data:`ORIENTATIONS`), and at the lesion or at everything."""

    orientation: str = ORIENTATIONS[0]
    lesion: bool = False


@dataclass(frozen=True)
class Focus:
    """Labeled voxels ``[k, j, i]`` and their 4x4 matrix to RAS: views open at the slice with most of them."""

    mask: np.ndarray
    ijk_to_ras: np.ndarray


@dataclass(frozen=True)
class _Shown:
    """How a segmentation was displayed before."""

    visible: bool
    visible_3d: bool
    views: tuple[str, ...]


class ViewStage:
    """Shows views in a layout of their own, linked among themselves, and restores everything on leaving.

    ``application_logic`` finds the slice logics, ``layout_node`` holds the layout; both come from the application
    (``slicer.app``), so that this class needs no window. Views of other groups than ``group`` stay where they are.
    """

    def __init__(self, scene: Any, application_logic: Any, layout_node: Node, group: int) -> None:
        self._scene, self._application, self._layout, self._group = scene, application_logic, layout_node, group
        self._views: list[View] = []
        self._layout_id = 0
        self._previous_layout = 0
        self._before: dict[str, _Shown] = {}
        self._focus: Focus | None = None
        self.look = Look()

    @property
    def active(self) -> bool:
        """True between :meth:`open` and :meth:`close`."""
        return bool(self._views)

    @property
    def on_screen(self) -> bool:
        """Is the layout still ours? False after the user chose another one."""
        return bool(self._layout.GetViewArrangement() == self._layout_id)

    @property
    def complete(self) -> bool:
        """Is everything the views show still in the scene?"""
        nodes = [node for view in self._views for node in (*view.segmentations, view.background)]
        return all(self._scene.IsNodePresent(node) for node in nodes)

    def open(self, layout_id: int, xml: str, views: Sequence[View], focus: Focus | None = None) -> None:
        """Show these views; what was open before is replaced. Call :meth:`fit` once they have their size."""
        if not self.active:
            self._previous_layout = self._layout.GetViewArrangement()
        self._remember()
        self.arrange(layout_id, xml)
        self._views, self._focus = list(views), focus
        for view in views:
            self._fill(view)
        self._show_segmentations()

    def arrange(self, layout_id: int, xml: str) -> None:
        """Another layout of the same views; ``layout_id`` stands for one arrangement of views, whatever their labels.

        Slicer takes a description up when the layout changes, so the same number again changes nothing.
        """
        if self._layout.IsLayoutDescription(layout_id):
            self._layout.SetLayoutDescription(layout_id, xml)
        else:
            self._layout.AddLayoutDescription(layout_id, xml)
        self._layout_id = layout_id
        self._layout.SetViewArrangement(layout_id)

    def replace(self, view: View) -> None:
        """Show something else in the view of that name."""
        self._views = [view if view.tag == old.tag else old for old in self._views]
        self._fill(view)
        self._show_segmentations()

    def close(self) -> None:
        """Back to the layout before, every segmentation displayed as it was."""
        if not self.active:
            return
        on_screen = self.on_screen
        for view in self._views:  # one that the user maximized would stay over the layout before
            self._layout.RemoveMaximizedViewNode(self.logic(view.tag).GetSliceNode())
        self._views, self._focus = [], None
        for display in segmentation_displays(self._scene):
            shown = self._before.get(display.GetID())
            if shown is not None:
                _set_views(display, shown.views)
                display.SetVisibility(shown.visible)
                display.SetVisibility3D(shown.visible_3d)
        self._before = {}
        if on_screen:
            self._layout.SetViewArrangement(self._previous_layout)

    def fit(self, keep_slice: bool = False) -> None:
        """Turn and zoom every view as :attr:`look` says, at the slice with most of the focus or where they are."""
        if not self.active:
            return
        background = self._views[0].background
        logics = [self.logic(view.tag) for view in self._views]
        offset = logics[0].GetSliceOffset()
        corners, margin = self._target()
        for logic in logics:
            node = logic.GetSliceNode()
            node.SetOrientation(self.look.orientation)
            node.RotateToVolumePlane(background)
            logic.FitSliceToBackground()
            frame(node, corners, margin)
        if not keep_slice:
            offset = self._best_offset(logics[0])
        for logic in logics:
            logic.SetSliceOffset(offset)

    def jump(self, point: Iterable[float]) -> None:
        """Center all views on a point (RAS, mm)."""
        mode = slicer.vtkMRMLSliceNode.CenteredJumpSlice
        slicer.vtkMRMLSliceNode.JumpAllSlices(self._scene, *(float(value) for value in point), mode, self._group)

    def logic(self, tag: str) -> Any:
        """Slice logic of a view of the current layout."""
        return self._application.GetSliceLogicByLayoutName(tag)

    def _target(self) -> tuple[np.ndarray, float]:
        """Corners to frame, and how much room around them."""
        found = self._lesion_corners() if self.look.lesion else []
        if found:
            return np.concatenate(found), _LESION_MARGIN
        return content_corners(self._views[0].background), 1.0

    def _lesion_corners(self) -> list[np.ndarray]:
        """Corners of the box around each segmentation that is shown and not empty."""
        nodes = {node.GetID(): node for view in self._views for node in view.segmentations}
        maps = [merged_labels(node) for node in nodes.values()]
        boxes = [box_corners(labels.mask(), labels.ijk_to_ras) for labels in maps]
        return [box for box in boxes if box is not None]

    def _best_offset(self, logic: Any) -> float:
        normal = slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetSliceToRAS())[:3, 2]
        focus = self._focus
        point = largest_slice_point(focus.mask, focus.ijk_to_ras, normal) if focus is not None else None
        return float(normal @ point) if point is not None else float(logic.GetSliceOffset())

    def _remember(self) -> None:
        """Note how segmentations are displayed that were not there the last time."""
        for display in segmentation_displays(self._scene):
            if display.GetID() not in self._before:
                views = tuple(display.GetViewNodeIDs() or ())
                shown = _Shown(bool(display.GetVisibility()), bool(display.GetVisibility3D()), views)
                self._before[display.GetID()] = shown

    def _fill(self, view: View) -> None:
        logic = self.logic(view.tag)
        logic.GetSliceNode().SetLayoutLabel(view.title)  # the layout's own label counts only for new views
        logic.GetSliceNode().SetViewGroup(self._group)
        composite = logic.GetSliceCompositeNode()
        composite.SetLinkedControl(False)  # else what is set for one view would reach all views of its group
        composite.SetBackgroundVolumeID(view.background.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)

    def _show_segmentations(self) -> None:
        """Each segmentation in its own views only; without view IDs it would be drawn in every view."""
        own: dict[str, list[str]] = {}
        for view in self._views:
            for node in view.segmentations:
                own.setdefault(node.GetDisplayNode().GetID(), []).append(self.logic(view.tag).GetSliceNode().GetID())
        for display in segmentation_displays(self._scene):
            views = own.get(display.GetID(), [])
            _set_views(display, views or self._before[display.GetID()].views)
            display.SetVisibility(bool(views))


def segmentation_displays(scene: Any) -> list[Node]:
    """Display nodes of all segmentations of the scene."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene)
    return [node for node in nodes if node.GetID()]


def _set_views(display: Node, views: Iterable[str]) -> None:
    display.RemoveAllViewNodeIDs()
    for identifier in views:
        display.AddViewNodeID(identifier)
