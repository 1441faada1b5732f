"""Linear interpolation of a volume from one grid to another."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from DMAFTraining.inference.geometry import Grid, Matrix

_SLAB_VOXELS = 2**21
_PARALLEL = 1e-3  # voxels that a grid axis may stray from an axis of the other grid over its whole length


def resample(volume: Tensor, source: Grid, target: Grid) -> Tensor:
    """Linear interpolation of ``volume (C, *source.size)`` at the voxels of ``target``; 0 outside.

    Grids with parallel axes (any flip, permutation or spacing) are done axis by axis, which is
    several times faster; oblique ones point by point.
    """
    matrix = np.linalg.inv(source.ijk_to_ras) @ target.ijk_to_ras
    axes = parallel_axes(matrix, target.size)
    if axes is None:
        return resample_points(volume, matrix, target.size)
    return resample_axes(volume, matrix, axes, target.size)


def parallel_axes(matrix: Matrix, size: tuple[int, int, int]) -> tuple[int, ...] | None:
    """Source axis that each target axis runs along; None if the grids are oblique to each other."""
    reach = np.abs(matrix[:3, :3]) * np.array(size)
    axes = tuple(int(axis) for axis in reach.argmax(axis=0))
    reach[list(axes), range(3)] = 0
    return axes if len(set(axes)) == 3 and reach.max() < _PARALLEL else None


def resample_axes(volume: Tensor, matrix: Matrix, axes: tuple[int, ...], size: tuple[int, int, int]) -> Tensor:
    """Interpolate along one axis after the other: three small matrix products.

    Args:
        volume: ``(C, *source)``.
        matrix: from target to source voxel indices, 4x4.
        axes: source axis of each target axis.
        size: of the target.
    """
    out = volume.permute(0, *(axis + 1 for axis in axes))
    for place, axis in enumerate(axes, start=1):
        where = matrix[axis, place - 1] * np.arange(size[place - 1]) + matrix[axis, 3]
        out = _along(out, place, _weights(where, out.shape[place]).to(out))
    return out.contiguous()


def _along(volume: Tensor, axis: int, weights: Tensor) -> Tensor:
    """Product of ``weights (T, N)`` with ``volume (C, *S)`` along an axis of N voxels, without a transposed copy."""
    size = [*volume.shape[:axis], len(weights), *volume.shape[axis + 1 :]]
    if axis == volume.dim() - 1:
        return (volume.flatten(0, -2) @ weights.T).view(size)
    return (weights @ volume.flatten(axis + 1).flatten(0, axis - 1)).view(size)


def _weights(where: Matrix, count: int) -> Tensor:
    """Interpolation matrix ``(len(where), count)``: two neighbors per row, fewer at and beyond the ends."""
    distance = np.abs(where[:, None] - np.arange(count))
    return torch.from_numpy(np.clip(1 - distance, 0, None))


def resample_points(volume: Tensor, matrix: Matrix, size: tuple[int, int, int]) -> Tensor:
    """Interpolate at every target voxel, slab by slab: a large target's coordinates never exist all at once."""
    # An axis of one voxel has no length to scale by; a second, empty voxel gives it one.
    volume = F.pad(volume, [pad for n in reversed(volume.shape[1:]) for pad in (0, int(n == 1))])
    half = torch.tensor([(n - 1) / 2 for n in volume.shape[1:]], dtype=torch.float64)
    linear = torch.from_numpy(matrix[:3, :3]) / half[:, None]
    offset = torch.from_numpy(matrix[:3, 3]) / half - 1
    i, j, k = (torch.arange(n, dtype=torch.float64) for n in size)
    out = volume.new_empty(volume.shape[0], *size)
    rows = max(1, _SLAB_VOXELS // (size[1] * size[2]))
    for start in range(0, size[0], rows):
        slab = (
            i[start : start + rows, None, None, None] * linear[:, 0]
            + j[:, None, None] * linear[:, 1]
            + k[:, None] * linear[:, 2]
            + offset
        )
        where = slab.flip(-1)[None].to(volume)  # grid_sample wants the last axis first
        out[:, start : start + rows] = F.grid_sample(volume[None], where, align_corners=True)[0]
    return out
