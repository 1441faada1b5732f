"""A picture of two scans on each other, for the eye to judge a registration."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from DMAFTraining.inference.geometry import Grid, Matrix, Volume, axis_aligned_grid
from DMAFTraining.inference.resampling import resample
from DMAFTraining.inference.scans.coarse import content, positions, shrunk
from DMAFTraining.inference.scans.registration import moved

Picture = NDArray[np.uint8]

_CONTENT_MM = 8.0
_PIXEL_MM = 1.0
_MARGIN_MM = 8.0
_TILE_MM = 24.0
_PERCENT = (1.0, 99.0)


def side_by_side(moving: Volume, fixed: Volume, moved_by: Matrix) -> Picture:
    """Gray picture ``(H, W)`` at 1 mm: a row for each plane (axial, coronal, sagittal) through the middle.

    In each row the fixed scan, the moved one, and both as a checkerboard: where they lie on each other, outlines go
    on from tile to tile. Radiological view: the patient's right on the left, seen from the feet and from the front.
    """
    grid = _grid(fixed)
    cells = []
    for axis in (2, 1, 0):
        plane = _middle_plane(grid, axis)
        a, b = (_gray(_section(volume, plane, axis)) for volume in (fixed, moved(moving, moved_by)))
        cells.append((a, b, np.where(_checkerboard(a.shape), a, b)))
    width = max(row[0].shape[1] for row in cells)
    return np.vstack([np.hstack([_widened(cell, width) for cell in row]) for row in cells])


def write_picture(path: Path, picture: Picture) -> None:
    """Write a gray picture ``(H, W)`` as PNG, all or nothing."""
    partial = path.with_name(f".{path.stem}.part.png")
    sitk.WriteImage(sitk.GetImageFromArray(np.ascontiguousarray(picture)), str(partial))
    os.replace(partial, path)


def _grid(fixed: Volume) -> Grid:
    """Grid along R, A, S around the patient in the fixed scan."""
    coarse = shrunk(fixed, _CONTENT_MM)
    found = positions(content(coarse), coarse.grid)
    return axis_aligned_grid(found.min(axis=0) - _MARGIN_MM, found.max(axis=0) + _MARGIN_MM, (_PIXEL_MM,) * 3)


def _middle_plane(grid: Grid, axis: int) -> Grid:
    """The part of a grid that is one voxel thick along an axis."""
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, axis] * (grid.size[axis] // 2)
    size = [1 if each == axis else count for each, count in enumerate(grid.size)]
    return Grid((size[0], size[1], size[2]), matrix)


def _section(volume: Volume, plane: Grid, axis: int) -> NDArray[np.float32]:
    """A volume in a plane, as a picture: rows run down or back, columns to the patient's left or back."""
    section = resample(torch.from_numpy(volume.array)[None], volume.grid, plane)[0].numpy().squeeze(axis)
    return section.T[::-1, ::-1]


def _gray(section: NDArray[np.float32]) -> Picture:
    shown = section[section > 0]
    low, high = np.percentile(shown, _PERCENT) if shown.size else (0.0, 1.0)
    return np.rint(np.clip((section - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


def _checkerboard(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    tile = round(_TILE_MM / _PIXEL_MM)
    row, column = np.indices(shape) // tile
    return (row + column) % 2 == 0


def _widened(picture: Picture, width: int) -> Picture:
    return np.pad(picture, ((0, 0), (0, width - picture.shape[1])))
