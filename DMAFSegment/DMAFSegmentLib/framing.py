"""Zoom a slice view to what a volume shows: a brain often fills a small part of its empty volume."""

from __future__ import annotations

import numpy as np
import slicer

from DMAFSegmentLib.geometry import Grid, Node, volume_array, volume_grid

_MARGIN = 1.06


def content_corners(volume: Node) -> np.ndarray:
    """Corners (8, 3) in RAS mm of the box around the non-zero voxels; of the whole volume if there are none."""
    grid = volume_grid(volume)
    filled = volume_array(volume).transpose(2, 1, 0) != 0
    hits = [np.flatnonzero(filled.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not all(len(hit) for hit in hits):
        return grid.corners()
    start = np.array([hit[0] for hit in hits])
    i, j, k = (int(hit[-1] - hit[0]) + 1 for hit in hits)
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += grid.axes @ start
    return Grid((i, j, k), matrix).corners()


def frame(slice_node: Node, points: np.ndarray) -> None:
    """Pan and zoom a slice view so that ``points`` (n, 3), RAS in mm, just fit; its slice stays the same."""
    matrix = slice_node.GetSliceToRAS()
    slice_to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    axes = slice_to_ras[:3, :3]
    local = points @ axes
    low, high = local.min(axis=0), local.max(axis=0)
    width, height, _depth = slice_node.GetDimensions()
    across, up = _MARGIN * (high - low)[:2]
    tall = max(up, across * height / max(width, 1))
    slice_node.SetFieldOfView(tall * width / max(height, 1), tall, slice_node.GetFieldOfView()[2])
    center = (low + high) / 2
    center[2] = slice_to_ras[:3, 3] @ axes[:, 2]
    for row, value in enumerate(axes @ center):
        matrix.SetElement(row, 3, value)
    slice_node.UpdateMatrices()
