"""From slices with positions to a volume: sorted, and refused unless they are one whole, even, straight stack.

ITK sorts slices too, but takes any gap between them for the distance of the first two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_SAME = 1e-3  # differences of orientations and voxel sizes that come from rounding
_SAME_PLACE = 0.01  # mm between slices: below that, two of them are at one position
_UNEVEN = 0.1  # steps that a slice may be away from its place
_SHEARED = 0.5  # voxels that the last slice may be shifted against the first one


class StackError(ValueError):
    """Why slices are not one volume, as words that follow "it": "misses 2 of 24 slices"; ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "Export the whole series again, or convert it to NIfTI.") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Slice:
    """Place of one image in DICOM's LPS space.

    Attributes:
        position: center of the first voxel, mm.
        row, column: unit vectors along which the first and the second voxel index grow.
        spacing: voxel size along ``row`` and ``column``, mm.
        size: voxels along ``row`` and ``column``.
    """

    position: Vector
    row: Vector
    column: Vector
    spacing: tuple[float, float]
    size: tuple[int, int]


@dataclass(frozen=True)
class Stack:
    """A volume made of slices.

    Attributes:
        order: which slice comes first, second, ...: along ``row x column``.
        size: voxels along row, column and the slices.
        spacing: voxel size along the same, mm.
        origin: center of the first voxel, LPS, mm.
        direction: unit vectors of the axes as columns, LPS.
    """

    order: tuple[int, ...]
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]


def make_slice(
    position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], size: tuple[int, int]
) -> Slice:
    """A slice from the values of its DICOM tags.

    Args:
        position: Image Position (Patient).
        orientation: Image Orientation (Patient): row, then column vector.
        spacing: Pixel Spacing: between rows, then between columns.
        size: columns, rows.

    Raises:
        StackError: values that are missing or that cannot be.
    """
    if len(position) != 3 or len(orientation) != 6 or len(spacing) != 2:
        raise StackError("does not tell where its images are in space")
    axes = np.reshape(np.asarray(orientation, float), (2, 3))
    whole = np.isfinite([*position, *orientation, *spacing]).all()
    if not whole or np.abs(axes @ axes.T - np.eye(2)).max() > _SAME or min(spacing) <= 0:
        raise StackError("has positions, orientations or voxel sizes that cannot be")
    return Slice(np.asarray(position, float), axes[0], axes[1], (float(spacing[1]), float(spacing[0])), size)


def stack(slices: Sequence[Slice]) -> Stack:
    """The volume that slices in any order make up.

    Raises:
        StackError: they are not one whole, evenly spaced, straight stack.
    """
    if len(slices) < 2:
        raise StackError(
            "has a single image, not a volume of several slices", "Choose another series, or the folder of this one."
        )
    _check_alike(slices)
    first = slices[0]
    row = first.row
    normal = np.cross(row, first.column)
    normal /= np.linalg.norm(normal)
    column = np.cross(normal, row)  # at a right angle in spite of rounding
    positions = np.array([item.position for item in slices])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    step = _even_step(heights[order])
    _check_straight(positions[order], row, column, min(first.spacing))
    origin = positions[order[0]]
    return Stack(
        tuple(int(index) for index in order),
        (*first.size, len(slices)),
        (*first.spacing, step),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(np.stack([row, column, normal], axis=1).ravel().tolist()),
    )


def _check_alike(slices: Sequence[Slice]) -> None:
    first = slices[0]
    sizes = {item.size for item in slices}
    if len(sizes) > 1:
        raise StackError(f"mixes images of {len(sizes)} sizes", "Choose another series.")
    if any(np.abs(np.subtract(item.spacing, first.spacing)).max() > _SAME * min(first.spacing) for item in slices):
        raise StackError("mixes images of several voxel sizes", "Choose another series.")
    turned = [np.abs(np.subtract((item.row, item.column), (first.row, first.column))).max() for item in slices]
    if max(turned) > _SAME:
        raise StackError("mixes images of several orientations, like a localizer", "Choose another series.")


def _even_step(heights: Vector) -> float:
    """Distance of neighboring slices in mm; ``heights`` are their positions along the normal, sorted."""
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    places = 1 + int((gaps > _SAME_PLACE).sum())
    if places < len(heights):
        raise StackError(
            f"has {len(heights)} images at only {places} positions: several echoes, time points or kinds of image",
            "Export or convert one of them alone.",
        )
    steps = np.rint(gaps / usual)
    even = float((heights[-1] - heights[0]) / steps.sum())
    if np.abs(heights - heights[0] - even * np.concatenate([[0], steps.cumsum()])).max() > _UNEVEN * even:
        raise StackError(f"has uneven gaps between its slices, from {gaps.min():.3g} to {gaps.max():.3g} mm")
    missing = int(steps.sum()) - len(gaps)
    if missing:
        raise StackError(f"misses {missing} of {len(heights) + missing} slices")
    return even


def _check_straight(positions: Vector, row: Vector, column: Vector, voxel: float) -> None:
    """The slices must lie straight above each other: a volume has right angles."""
    way = positions - positions[0]
    shift = np.hypot(way @ row, way @ column)
    if shift.max() <= _SHEARED * voxel:
        return
    angle = np.degrees(np.arctan2(shift[-1], np.sqrt(max((way[-1] ** 2).sum() - shift[-1] ** 2, 0.0))))
    raise StackError(
        f"has slices shifted against each other (gantry tilt, {angle:.1f} degrees)",
        "Reformat it on the scanner's console, or convert it with a tool that corrects the tilt.",
    )
