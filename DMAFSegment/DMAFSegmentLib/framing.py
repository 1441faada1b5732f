"""Where to look: zoom to what a volume shows, the slice with most of a result, its largest lesion."""

from __future__ import annotations

import numpy as np
import slicer

from DMAFSegmentLib.geometry import Grid, Node, volume_array, volume_grid

_MARGIN = 1.06


def content_corners(volume: Node) -> np.ndarray:
    """Corners (8, 3) in RAS mm of the box around the non-zero voxels; of the whole volume if there are none."""
    grid = volume_grid(volume)
    corners = box_corners(volume_array(volume) != 0, grid.ijk_to_ras)
    return grid.corners() if corners is None else corners


def box_corners(mask: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray | None:
    """Corners (8, 3) in RAS mm of the box around the voxels of a mask ``[k, j, i]``; None when it is empty."""
    filled = mask.transpose(2, 1, 0)
    hits = [np.flatnonzero(filled.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not all(len(hit) for hit in hits):
        return None
    start = np.array([hit[0] for hit in hits])
    i, j, k = (int(hit[-1] - hit[0]) + 1 for hit in hits)
    matrix = ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ start
    return Grid((i, j, k), matrix).corners()


def frame(slice_node: Node, points: np.ndarray, room: float = 1.0) -> None:
    """Pan and zoom a slice view so that ``points`` (n, 3), RAS in mm, just fit ``room`` times; its slice stays."""
    matrix = slice_node.GetSliceToRAS()
    slice_to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    axes = slice_to_ras[:3, :3]
    local = points @ axes
    low, high = local.min(axis=0), local.max(axis=0)
    width, height, _depth = slice_node.GetDimensions()
    across, up = _MARGIN * room * (high - low)[:2]
    tall = max(up, across * height / max(width, 1))
    slice_node.SetFieldOfView(tall * width / max(height, 1), tall, slice_node.GetFieldOfView()[2])
    center = (low + high) / 2
    center[2] = slice_to_ras[:3, 3] @ axes[:, 2]
    for row, value in enumerate(axes @ center):
        matrix.SetElement(row, 3, value)
    slice_node.UpdateMatrices()


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


def largest_lesion_point(labels: np.ndarray, ijk_to_ras: np.ndarray) -> np.ndarray | None:
    """Point (RAS, mm) in the largest connected part of the labeled voxels; None when there are none.

    It is the center of that voxel of the part which lies nearest to the mean of the part: the mean itself may lie
    outside, as of a ring. ``labels`` is indexed [k, j, i]; voxels that share a corner are connected.
    """
    import SimpleITK as sitk  # takes a second to load: not while Slicer starts

    parts = sitk.ConnectedComponent(sitk.GetImageFromArray((labels > 0).astype(np.uint8)), True)
    numbers = sitk.GetArrayFromImage(sitk.RelabelComponent(parts))  # the largest gets number 1
    voxels = np.argwhere(numbers == 1)[:, ::-1]
    if len(voxels) == 0:
        return None
    points = voxels @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]
    return points[np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()]
