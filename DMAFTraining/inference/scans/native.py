"""Results back on the grid of each scan: one interpolation of the probabilities, at the place the scan was moved to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from DMAFTraining.inference.geometry import Grid
from DMAFTraining.inference.maps import normalized_entropy
from DMAFTraining.inference.resampling import resample

_ROUNDING = 1e-6  # voxels

Part = tuple[slice, slice, slice]


@dataclass(frozen=True)
class GridMaps:
    """A result on one grid: ``labels (I, J, K)`` uint8 and, if asked for, ``entropy (I, J, K)`` float32."""

    labels: NDArray[np.uint8]
    entropy: NDArray[np.float32] | None = None


def maps_on_grid(probabilities: torch.Tensor, working: Grid, target: Grid, with_entropy: bool = False) -> GridMaps:
    """The most probable label at each voxel of a grid, and how undecided the model is there.

    Args:
        probabilities: ``(K, *working.size)``; where all are 0, and outside the working grid, the label is background.
        working: their grid.
        target: the grid of a scan as it lies on the reference, so moved by its registration. Voxels keep their
            indices, so the arrays belong to the file of the scan as it is.
        with_entropy: also map the entropy, see :func:`~DMAFTraining.inference.maps.normalized_entropy`.
    """
    labels = np.zeros(target.size, np.uint8)
    entropy = np.zeros(target.size, np.float32) if with_entropy else None
    part = _part_within(target, working)
    if labels[part].size:
        classes = resample(probabilities, working, _cut(target, part))
        labels[part] = classes.max(dim=0).indices.to(torch.uint8).cpu().numpy()
        if entropy is not None:
            entropy[part] = normalized_entropy(classes)
    return GridMaps(labels, entropy)


def _part_within(target: Grid, working: Grid) -> Part:
    """Voxels of a grid that can lie within the outermost voxels of another one; empty if none can."""
    inverse = np.linalg.inv(target.ijk_to_ras)
    index = working.corners() @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.ceil(index.min(axis=0) - _ROUNDING).astype(int)
    high = np.floor(index.max(axis=0) + _ROUNDING).astype(int) + 1
    start = np.clip(low, 0, target.size)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, np.clip(high, start, target.size), strict=True))
    return i, j, k


def _cut(grid: Grid, part: Part) -> Grid:
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ [side.start for side in part]
    i, j, k = (side.stop - side.start for side in part)
    return Grid((i, j, k), matrix)
