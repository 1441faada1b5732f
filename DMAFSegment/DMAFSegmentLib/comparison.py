"""Results of several subsets side by side: one linked slice view for each, each showing only its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from DMAFSegmentLib.attributes import attribute, our_segmentations
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.label_map import merged_labels
from DMAFSegmentLib.layouts import column, row, slice_view, space_view
from DMAFSegmentLib.surface_view import SURFACE_TAG, SurfaceView
from DMAFSegmentLib.view_stage import Focus, View, ViewStage

FIRST_LAYOUT_ID = 7400  # plus the number of cells; far from Slicer's own and from user layouts (500 and up)
LAST_LAYOUT_ID = 7499
MAX_CELLS = 15
VIEW_GROUP = 74  # linking acts inside one group only: the usual views stay where they are
TAG = "DMAF"  # layout names of all our views begin with it
_ENLARGED = 20  # added to the number of an enlarged cell, counted from 1
_WITH_SURFACE = 50  # added when there is a 3-D view too
_GRID_SHARE, _SURFACE_SHARE = 2, 1
_WIDE = 16 / 9
_EMPTY_CELL_COST = 0.15


@dataclass(frozen=True)
class Cell:
    """One view of the grid: its title, the segmentation shown only there, and the volume behind it."""

    title: str
    segmentation: Node
    background: Node


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
    return f"{TAG}{index + 1}"


def layout_xml(titles: Sequence[str]) -> str:
    """Layout description with one slice view per title, filled row by row."""
    _rows, columns = grid_shape(len(titles))
    views = [slice_view(tag(index), title, VIEW_GROUP) for index, title in enumerate(titles)]
    return column([row(views[i : i + columns]) for i in range(0, len(views), columns)])


class ComparisonGrid:
    """Shows cells in a layout of their own, one of them enlarged or in 3-D on demand; see :class:`ViewStage`."""

    def __init__(self, scene: Any, application_logic: Any, layout_node: Node) -> None:
        self.stage = ViewStage(scene, application_logic, layout_node, VIEW_GROUP)
        self._cells: list[Cell] = []
        self._enlarged: int | None = None
        self._in_space: int | None = None
        self._surface = SurfaceView(scene)

    @property
    def active(self) -> bool:
        """True between :meth:`show` and :meth:`hide`."""
        return self.stage.active

    @property
    def on_screen(self) -> bool:
        """Is the layout still the grid's? False after the user chose another one."""
        return self.stage.on_screen

    @property
    def complete(self) -> bool:
        """Are all segmentations and volumes it shows still in the scene?"""
        return self.stage.complete

    @property
    def shown(self) -> list[Node]:
        """Segmentations of the cells, in their order."""
        return [cell.segmentation for cell in self._cells]

    def segmentations(self) -> dict[str, Node]:
        """What each view of the grid shows, by the ID of its slice composite node; empty when it is not active."""
        return {
            self.stage.logic(tag(index)).GetSliceCompositeNode().GetID(): cell.segmentation
            for index, cell in enumerate(self._cells)
        }

    def show(self, cells: Sequence[Cell]) -> None:
        """Switch to the grid; the first cell decides the slice (its largest) and the plane.

        A grid that is there already takes up the new cells at the slice it shows.

        Raises:
            ValueError: no cell, or more than 15.
        """
        grid_shape(len(cells))
        was_there = bool(self._cells)
        self._surface.hide()
        self._cells, self._enlarged, self._in_space = list(cells), None, None
        views = [View(tag(i), cell.title, cell.background, (cell.segmentation,)) for i, cell in enumerate(cells)]
        labels = merged_labels(cells[0].segmentation)
        self.stage.open(*self._layout(), views, Focus(labels.mask(), labels.ijk_to_ras))
        self.fit(keep_slice=was_there)

    def fit(self, keep_slice: bool = False) -> None:
        """Zoom every view; call again once views have their size."""
        self.stage.fit(keep_slice)

    def enlarge(self, index: int | None) -> None:
        """Show one cell alone, counted from 0; None brings the others back."""
        self._enlarged = index
        self._arrange()

    def show_surface(self, index: int | None) -> None:
        """Add a 3-D view with the result of one cell, counted from 0; None takes the view away."""
        self._surface.hide()
        self._in_space = index
        self._arrange()

    def hide(self) -> None:
        """Back to the layout before, every segmentation displayed as it was."""
        self._surface.hide()
        self._cells, self._enlarged, self._in_space = [], None, None
        self.stage.close()

    def set_style(self, opacity: float, outline_only: bool) -> None:
        """Opacity (0 to 1) of the filled area, or only outlines, in every cell."""
        for cell in self._cells:
            set_style(cell.segmentation, opacity, outline_only)

    def _arrange(self) -> None:
        self.stage.arrange(*self._layout())
        if self._in_space is not None:
            self._surface.show(self._cells[self._in_space].segmentation, self._cells[self._in_space].title)
        self.fit(keep_slice=True)

    def _layout(self) -> tuple[int, str]:
        """Number and description of the present arrangement."""
        identifier, xml = FIRST_LAYOUT_ID + len(self._cells), layout_xml([cell.title for cell in self._cells])
        if self._enlarged is not None:
            identifier = FIRST_LAYOUT_ID + _ENLARGED + self._enlarged + 1
            xml = row([slice_view(tag(self._enlarged), self._cells[self._enlarged].title, VIEW_GROUP)])
        if self._in_space is not None:
            identifier += _WITH_SURFACE
            space = space_view(SURFACE_TAG, self._cells[self._in_space].title, VIEW_GROUP)
            xml = row([xml, space], (_GRID_SHARE, _SURFACE_SHARE))
        return identifier, xml


def set_style(segmentation: Node, opacity: float, outline_only: bool) -> None:
    """Opacity (0 to 1) of the filled area in slice views, or only outlines."""
    display = segmentation.GetDisplayNode()
    display.SetOpacity2DFill(opacity)
    display.SetVisibility2DFill(not outline_only)
    display.SetVisibility2DOutline(True)


def leave_saved_views(scene: Any, layout_node: Node) -> None:
    """After loading a scene that was saved with views of ours on: its results would be shown in no other view.

    They become free for every view, only the first of each run visible; an unknown layout becomes the usual one.
    """
    runs: set[str] = set()
    for node in our_segmentations(scene):
        display, run = node.GetDisplayNode(), attribute(node, "Run")
        if display is not None and any(_is_ours(view) for view in display.GetViewNodeIDs() or ()):
            display.RemoveAllViewNodeIDs()
            display.SetVisibility(run not in runs)
            runs.add(run)
    if FIRST_LAYOUT_ID < layout_node.GetViewArrangement() <= LAST_LAYOUT_ID:
        layout_node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)


def _is_ours(view: str) -> bool:
    return view.removeprefix("vtkMRMLSliceNode").removeprefix("vtkMRMLViewNode").startswith(TAG)
