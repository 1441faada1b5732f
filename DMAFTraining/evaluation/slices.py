"""From a volume and its labels to one picture: a slice, gray, with the labels drawn over it.

Pictures follow the radiological convention: in axial and coronal ones the patient's left is on the right
of the picture, in sagittal ones the front is on the left; front or head are up. Voxels that are not square
are drawn in their true proportion.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.geometry import Grid, Matrix
from DMAFTraining.inference.metadata import Label
from DMAFTraining.inference.slices import slice_axis

T = TypeVar("T", bound=np.generic)

Picture = NDArray[np.uint8]
"""``(rows, columns, 3)`` RGB, first row at the top."""

LONG_SIDE = 440
"""Length of the longer side of a picture in pixels."""

Orientation = Literal["axial", "coronal", "sagittal"]
ORIENTATIONS: tuple[Orientation, ...] = ("axial", "coronal", "sagittal")
_ACROSS: dict[Orientation, int] = {"axial": 2, "coronal": 1, "sagittal": 0}

_PERCENTILES = (1.0, 99.0)
_FILL = 0.45
_OUTLINE_PIXELS = 2
_MARGIN_MM = 4.0


@dataclass(frozen=True)
class SliceView:
    """How the slices of one orientation lie in the array of a grid; oblique grids are shown along their nearest axes.

    Attributes:
        orientation: of the slices.
        axes: array axes that run nearest to left-right, back-front and foot-head.
        flipped: whether each of them runs against right, front and head.
        spacing: voxel size along them in mm.
        slice_positions: position of the middle of each slice across the slices in mm (RAS), lowest first.
    """

    orientation: Orientation
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]
    slice_positions: tuple[float, ...]

    @classmethod
    def of(cls, grid: Grid, orientation: Orientation = "axial") -> SliceView:
        """The view of a grid."""
        direction = grid.ijk_to_ras[:3, :3] / np.array(grid.spacing)
        a, b, c = max(
            itertools.permutations(range(3)),
            key=lambda order: sum(abs(direction[world, axis]) for world, axis in enumerate(order)),
        )
        flips = tuple(bool(direction[world, axis] < 0) for world, axis in enumerate((a, b, c)))
        step = grid.spacing
        world = _ACROSS[orientation]
        axis = (a, b, c)[world]
        positions = sorted(_slice_position(grid, world, axis, index) for index in range(grid.size[axis]))
        spacing = (step[a], step[b], step[c])
        return cls(orientation, (a, b, c), (flips[0], flips[1], flips[2]), spacing, tuple(positions))

    @classmethod
    def as_acquired(cls, grid: Grid) -> SliceView:
        """The view whose slices are as far apart as any, as the slices of a heart are; axial where all are alike."""
        across = slice_axis(cls.of(grid).spacing)
        return cls.of(grid, next(orientation for orientation in ORIENTATIONS if _ACROSS[orientation] == across))

    @property
    def across(self) -> int:
        """The world axis that leads from slice to slice: 0 left-right, 1 back-front, 2 foot-head."""
        return _ACROSS[self.orientation]

    @property
    def pixel(self) -> tuple[float, float]:
        """Size of a voxel along the rows' and the columns' direction of the picture: its height and width in mm."""
        width, height = (step for world, step in enumerate(self.spacing) if world != self.across)
        return height, width

    @property
    def sides(self) -> tuple[str, str]:
        """What lies on the left and on the right of the picture."""
        return ("A", "P") if self.orientation == "sagittal" else ("R", "L")

    def canonical(self, array: NDArray[T]) -> NDArray[T]:
        """The array with axes to the right, to the front and to the head."""
        turned = array.transpose(self.axes)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def slice(self, array: NDArray[T], level: int) -> NDArray[T]:
        """Slice ``level`` (0 is the lowest); rows from front or head down, columns from right or front on."""
        part = np.moveaxis(self.canonical(array), self.across, 0)[level]
        return part[::-1, ::-1].T

    def profile(self, array: NDArray[np.generic]) -> NDArray[np.float64]:
        """Sum over each slice, the lowest first."""
        others = tuple(world for world in range(3) if world != self.across)
        sums: NDArray[np.float64] = self.canonical(array).sum(axis=others, dtype=np.float64)
        return sums

    def level_at(self, position: float) -> int:
        """The slice nearest to a position across the slices in mm (RAS)."""
        return int(np.abs(np.array(self.slice_positions) - position).argmin())


def _slice_position(grid: Grid, world: int, axis: int, index: int) -> float:
    middle: Matrix = (np.array(grid.size) - 1) / 2
    middle[axis] = index
    return float(grid.ijk_to_ras[world, :3] @ middle + grid.ijk_to_ras[world, 3])


def largest_slice(view: SliceView, candidates: Sequence[NDArray[np.generic]]) -> int:
    """Slice where the first candidate that is not empty covers the largest area."""
    for array in candidates:
        area = view.profile(array != 0)
        if area.any():
            return int(area.argmax())
    return len(view.slice_positions) // 2


@dataclass(frozen=True)
class Frame:
    """The part of one slice that every picture shows, and the factor to square pixels.

    Attributes:
        view: how slices lie in the array.
        level: which slice.
        rows: first and last-plus-one row that is shown.
        columns: the same for columns.
        zoom: pixels per row and per column.
    """

    view: SliceView
    level: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    zoom: tuple[float, float]

    @classmethod
    def around(cls, view: SliceView, level: int, content: NDArray[np.bool_], long_side: int = LONG_SIDE) -> Frame:
        """The frame that shows everything of ``content (I, J, K)`` in the slice, with a small margin."""
        shown = view.slice(content, level)
        step = view.pixel
        rows, columns = (
            _extent(shown.any(axis=1 - axis), round(_MARGIN_MM / step[axis]), shown.shape[axis]) for axis in range(2)
        )
        height, width = (rows[1] - rows[0]) * step[0], (columns[1] - columns[0]) * step[1]
        per_mm = long_side / max(height, width)
        return cls(view, level, rows, columns, (step[0] * per_mm, step[1] * per_mm))

    def cut(self, array: NDArray[T]) -> NDArray[T]:
        """The shown part of the slice, one value per voxel."""
        return self.view.slice(array, self.level)[slice(*self.rows), slice(*self.columns)]

    def enlarge(self, values: NDArray[np.generic], order: int) -> NDArray[np.float64]:
        """Values of the shown part on square pixels; ``order`` of the interpolation: 1 linear, 3 cubic."""
        return ndimage.zoom(values.astype(np.float64), self.zoom, order=order, mode="nearest", grid_mode=True)


def _extent(hit: NDArray[np.bool_] | np.bool_, margin: int, size: int) -> tuple[int, int]:
    found = np.flatnonzero(hit)
    if not found.size:
        return 0, size
    return max(0, int(found[0]) - margin), min(size, int(found[-1]) + 1 + margin)


def gray_picture(image: NDArray[np.float32], frame: Frame) -> Picture:
    """The slice in gray: black to white over the 1st to 99th percentile of the voxels that are not 0."""
    inside = image[image != 0]
    low, high = np.percentile(inside, _PERCENTILES) if inside.size else (0.0, 1.0)
    part = frame.cut(image)
    # A cut background is darker than any tissue, wherever the intensities happen to start.
    values = np.where(part != 0, (part - low) / max(high - low, 1e-12), 0.0)
    gray = np.clip(frame.enlarge(np.clip(values, 0.0, 1.0), order=3), 0.0, 1.0)
    return np.repeat(np.rint(255 * gray).astype(np.uint8)[..., None], 3, axis=2)


def draw_labels(picture: Picture, labels: NDArray[np.uint8], frame: Frame, shown: Sequence[Label]) -> Picture:
    """The picture with each label as a translucent area in its color and a line around it."""
    enlarged = enlarge_labels(frame, labels, [label.value for label in shown])
    drawn = picture.astype(np.float64)
    for label in shown:
        area = enlarged == label.value
        color = np.array(label.color, float)
        drawn[area] = (1 - _FILL) * drawn[area] + _FILL * color
        # Beyond the picture counts as inside: a label cut by the frame gets no line there.
        drawn[area & ~ndimage.binary_erosion(area, iterations=_OUTLINE_PIXELS, border_value=1)] = color
    return np.rint(drawn).astype(np.uint8)


def enlarge_labels(frame: Frame, labels: NDArray[np.uint8], values: Sequence[int]) -> NDArray[np.uint8]:
    """Labels of the shown part on square pixels: the share of each label is interpolated, the largest wins."""
    part = frame.cut(labels)
    every = np.array([0, *values], np.uint8)
    shares = [frame.enlarge(part == value, order=1) for value in every]
    return every[np.argmax(shares, axis=0)]
