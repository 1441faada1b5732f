"""How far a preparation of raw-like scans is from the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from DMAFTraining.inference.geometry import Grid, Matrix, Volume
from DMAFTraining.inference.resampling import resample

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def apply(matrix: NDArray[np.floating[Any]], positions: Matrix) -> Matrix:
    """Positions ``(N, 3)`` moved by a 4x4 matrix."""
    return np.asarray(positions @ matrix[:3, :3].T + matrix[:3, 3])


def registration_error(found: Matrix, true: Matrix, positions: Matrix) -> tuple[float, float]:
    """Mean and largest distance in mm between where two transforms take positions ``(N, 3)``."""
    distance = np.linalg.norm(apply(found, positions) - apply(true, positions), axis=1)
    return float(distance.mean()), float(distance.max())


def turn_degrees(motion: Matrix) -> float:
    """Angle of a rigid motion."""
    return float(np.rad2deg(Rotation.from_matrix(motion[:3, :3]).magnitude()))


def shift_mm(motion: Matrix, middle: Matrix) -> float:
    """How far a motion takes a position ``(3,)``."""
    return float(np.linalg.norm(apply(motion, middle[None])[0] - middle))


def carry_labels(labels: Labels, source: Grid, target: Grid) -> Labels:
    """Label map on another grid: at each voxel the label with the largest interpolated share; 0 beyond the source.

    One label at a time, so that no array of all classes exists.
    """
    carried = np.zeros(target.size, np.uint8)
    best = 1 - _interpolated(labels > 0, source, target)
    for value in np.unique(labels[labels > 0]):
        share = _interpolated(labels == value, source, target)
        wins = share > best
        carried[wins] = value
        best[wins] = share[wins]
    return carried


def center(mask: Mask, grid: Grid) -> Matrix | None:
    """RAS position in mm of the middle of a mask ``(I, J, K)``; None if it is empty."""
    if not mask.any():
        return None
    return apply(grid.ijk_to_ras, np.argwhere(mask).mean(axis=0)[None])[0]


def correlation(image: Volume, like: Volume, where: Mask) -> float:
    """Pearson correlation of an image, interpolated to the grid of another one, with that one over a mask."""
    there = _interpolated(image.array, image.grid, like.grid)
    return float(np.corrcoef(there[where], like.array[where])[0, 1])


def _interpolated(image: Mask | NDArray[np.float32], source: Grid, target: Grid) -> NDArray[np.float32]:
    tensor = torch.from_numpy(image.astype(np.float32))
    interpolated: NDArray[np.float32] = resample(tensor[None], source, target)[0].numpy()
    return interpolated
