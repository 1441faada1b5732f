"""Distances between the surfaces of two masks, in mm, in 2 or 3 dimensions.

The published experiments report ``hd95_pooled``; elsewhere in the literature HD95 is ``hd95``. Both stand
here under their own names, since they differ by several mm on the same masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

_PERCENTILE = 95

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces are apart, in mm; None where a mask is empty, so that there is no distance.

    Attributes:
        hd95_pooled: 95th percentile of the distances of both directions together.
        hd95: the larger of the 95th percentiles of the two directions.
        hd: the largest distance of all, the Hausdorff distance.
    """

    hd95_pooled: float | None = None
    hd95: float | None = None
    hd: float | None = None


class Surface:
    """The surface of a mask, ready to be compared with many others.

    The surface is every voxel of the mask that has a neighbor (6 in 3-D, 4 in 2-D) outside; what lies
    beyond the array is outside. Distances are between centers of voxels.

    Args:
        mask: ``(*S)``.
        spacing: voxel size in mm, one number per axis.
    """

    def __init__(self, mask: Mask, spacing: Sequence[float]) -> None:
        self._points = _surface_points(mask) * np.asarray(spacing, float)
        # A tree of points costs what the surfaces cost, a distance map what the box around them costs.
        self._tree = cKDTree(self._points) if len(self._points) else None

    def distances_to(self, other: Surface) -> SurfaceDistances:
        """How far this surface and another are apart."""
        if self._tree is None or other._tree is None:
            return SurfaceDistances()
        there, back = other._tree.query(self._points)[0], self._tree.query(other._points)[0]
        return SurfaceDistances(
            float(np.percentile(np.concatenate([there, back]), _PERCENTILE)),
            float(max(np.percentile(there, _PERCENTILE), np.percentile(back, _PERCENTILE))),
            float(max(there.max(), back.max())),
        )


def _surface_points(mask: Mask) -> NDArray[np.intp]:
    """Indices ``(n, dims)`` of the surface voxels."""
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return np.empty((0, mask.ndim), np.intp)
    part = mask[boxes[0]]
    surface = part & ~ndimage.binary_erosion(part)
    return np.argwhere(surface) + [side.start for side in boxes[0]]
