"""Results of several subsets side by side: one linked slice view for each, each showing only its own.

Only MRML nodes and slice logics are touched, so the grid works wherever a layout is realized. The
layout before the grid, and how every segmentation was shown, come back when the grid is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import slicer
import vtk

from DMAFSegmentLib.framing import content_corners, frame
from DMAFSegmentLib.geometry import Node, volume_grid

FIRST_LAYOUT_ID = 7400  # plus the number of cells; far from Slicer's own and from user layouts (500 and up)
MAX_CELLS = 15
VIEW_GROUP = 74  # linking acts inside one group only: the usual views stay where they are
_TAG = "DMAF"
_WIDE = 16 / 9
_EMPTY_CELL_COST = 0.15
_CELL_COLOR = "#4a6fa5"


@dataclass(frozen=True)
class Cell:
    """One view of the grid: its title, the segmentation shown only there, and the volume behind it."""

    title: str
    segmentation: Node
    background: Node


@dataclass(frozen=True)
class _Shown:
    """How a segmentation was displayed before the grid."""

    visible: bool
    views: tuple[str, ...]


def grid_shape(count: int) -> tuple[int, int]:
    """Rows and columns for ``count`` square views, close to a wide screen and with few empty cells."""
    if not 1 <= count <= MAX_CELLS:
        raise ValueError(f"The comparison grid shows 1 to {MAX_CELLS} results, not {count}.")

    def cost(rows: int) -> float:
        columns = math.ceil(count / rows)
        return abs(math.log(columns / rows / _WIDE)) + _EMPTY_CELL_COST * (rows * columns - count)

    rows = min(range(1, count + 1), key=cost)
    return rows, math.ceil(count / rows)


def tag(index: int) -> str:
    """Layout name of a cell, counted from 0; without spaces, as view names must be."""
    return f"{_TAG}{index + 1}"


def layout_xml(titles: Sequence[str]) -> str:
    """Layout description with one slice view per title, filled row by row."""
    _rows, columns = grid_shape(len(titles))
    views = [_view_xml(index, title) for index, title in enumerate(titles)]
    lines = ["".join(views[i : i + columns]) for i in range(0, len(views), columns)]
    rows = "".join(f'<item><layout type="horizontal" split="true">{line}</layout></item>' for line in lines)
    return f'<layout type="vertical" split="true">{rows}</layout>'


def _view_xml(index: int, title: str) -> str:
    properties = {"orientation": "Axial", "viewlabel": title, "viewcolor": _CELL_COLOR, "viewgroup": str(VIEW_GROUP)}
    inner = "".join(
        f'<property name="{name}" action="default">{_escape(value)}</property>' for name, value in properties.items()
    )
    return f'<item><view class="vtkMRMLSliceNode" singletontag="{tag(index)}">{inner}</view></item>'


def _escape(text: str) -> str:
    return quoteattr(text)[1:-1]


def largest_slice_point(labels: np.ndarray, ijk_to_ras: np.ndarray, normal: np.ndarray) -> np.ndarray | None:
    """Center (RAS, mm) of the slice across ``normal`` that holds most labeled voxels; None when there are none.

    ``labels`` is indexed [k, j, i]. The slice is one of the array's own, across the axis closest to
    ``normal``; of several equally large ones the middle one.
    """
    voxels = np.argwhere(labels)[:, ::-1]
    if len(voxels) == 0:
        return None
    steps = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    axis = int(np.abs(normal @ steps).argmax())
    counts = np.bincount(voxels[:, axis])
    largest = np.flatnonzero(counts == counts.max())
    center = voxels[voxels[:, axis] == largest[len(largest) // 2]].mean(axis=0)
    return ijk_to_ras[:3, :3] @ center + ijk_to_ras[:3, 3]


def label_array(segmentation: Node, reference: Node) -> np.ndarray:
    """Boolean array [k, j, i] on the reference's grid: where any segment is."""
    identifiers = vtk.vtkStringArray()
    segmentation.GetSegmentation().GetSegmentIDs(identifiers)
    merged = slicer.vtkOrientedImageData()
    segmentation.GenerateMergedLabelmapForAllSegments(
        merged, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, None, identifiers
    )
    size = merged.GetDimensions()
    scalars = merged.GetPointData().GetScalars()
    shape = tuple(reversed(reference.GetImageData().GetDimensions()))
    if scalars is None or tuple(reversed(size)) != shape:
        return np.zeros(shape, bool)
    return vtk.util.numpy_support.vtk_to_numpy(scalars).reshape(shape) > 0


class ComparisonGrid:
    """Shows cells in a layout of their own and restores everything on leaving.

    ``application_logic`` finds the slice logics, ``layout_node`` holds the layout; both come from
    the application (``slicer.app``), so that this class needs no window.
    """

    def __init__(self, scene: Any, application_logic: Any, layout_node: Node) -> None:
        self._scene, self._application, self._layout = scene, application_logic, layout_node
        self._cells: list[Cell] = []
        self._previous_layout = 0
        self._before: dict[str, _Shown] = {}

    @property
    def active(self) -> bool:
        """True between :meth:`show` and :meth:`hide`."""
        return bool(self._cells)

    @property
    def on_screen(self) -> bool:
        """Is the layout still the grid's? False after the user chose another one."""
        return self._layout.GetViewArrangement() == FIRST_LAYOUT_ID + len(self._cells)

    def show(self, cells: Sequence[Cell]) -> None:
        """Switch to the grid; the first cell decides the slice (its largest) and the plane.

        Raises:
            ValueError: no cell, or more than 15.
        """
        xml = layout_xml([cell.title for cell in cells])
        self.hide()
        self._remember()
        self._previous_layout = self._layout.GetViewArrangement()
        identifier = FIRST_LAYOUT_ID + len(cells)
        if self._layout.IsLayoutDescription(identifier):
            self._layout.SetLayoutDescription(identifier, xml)
        else:
            self._layout.AddLayoutDescription(identifier, xml)
        self._layout.SetViewArrangement(identifier)
        self._cells = list(cells)
        for index, cell in enumerate(cells):
            self._fill(index, cell)
        self.fit()

    def fit(self) -> None:
        """Zoom every view to the brain at the slice with most tumor; call again once views have their size."""
        if not self._cells:
            return
        first = self._cells[0]
        content = content_corners(first.background)
        for index in range(len(self._cells)):
            logic = self._logic(index)
            node = logic.GetSliceNode()
            node.SetOrientation("Axial")
            node.RotateToVolumePlane(first.background)
            logic.FitSliceToBackground()
            frame(node, content)
        node = self._logic(0).GetSliceNode()
        normal = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 2]
        grid = volume_grid(first.background)
        point = largest_slice_point(label_array(first.segmentation, first.background), grid.ijk_to_ras, normal)
        if point is not None:
            for index in range(len(self._cells)):
                self._logic(index).SetSliceOffset(float(normal @ point))

    def hide(self) -> None:
        """Back to the layout before, every segmentation displayed as it was."""
        if not self._cells:
            return
        on_screen = self.on_screen
        self._cells = []
        for display in _displays(self._scene):
            shown = self._before.get(display.GetID())
            display.RemoveAllViewNodeIDs()
            for view in shown.views if shown else ():
                display.AddViewNodeID(view)
            display.SetVisibility(shown.visible if shown else False)
        self._before = {}
        if on_screen:
            self._layout.SetViewArrangement(self._previous_layout)

    def set_style(self, opacity: float, outline_only: bool) -> None:
        """Opacity (0 to 1) of the filled area, or only outlines, in every cell."""
        for cell in self._cells:
            display = cell.segmentation.GetDisplayNode()
            display.SetOpacity2DFill(opacity)
            display.SetVisibility2DFill(not outline_only)
            display.SetVisibility2DOutline(True)

    def _remember(self) -> None:
        self._before = {
            display.GetID(): _Shown(bool(display.GetVisibility()), tuple(display.GetViewNodeIDs() or ()))
            for display in _displays(self._scene)
        }
        for display in _displays(self._scene):
            display.SetVisibility(False)  # a display without view IDs would be drawn in every cell

    def _fill(self, index: int, cell: Cell) -> None:
        logic = self._logic(index)
        logic.GetSliceNode().SetLayoutLabel(cell.title)  # the layout's own label counts only for new views
        logic.GetSliceNode().SetViewGroup(VIEW_GROUP)
        composite = logic.GetSliceCompositeNode()
        composite.SetBackgroundVolumeID(cell.background.GetID())
        composite.SetForegroundVolumeID(None)
        composite.SetLabelVolumeID(None)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
        display = cell.segmentation.GetDisplayNode()
        display.RemoveAllViewNodeIDs()
        display.AddViewNodeID(logic.GetSliceNode().GetID())
        display.SetVisibility(True)

    def _logic(self, index: int) -> Any:
        return self._application.GetSliceLogicByLayoutName(tag(index))


def _displays(scene: Any) -> list[Node]:
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode", scene)
    return [node for node in nodes if node.GetID()]
