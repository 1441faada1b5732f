"""Where two segmentations differ most: the connected parts of their difference, the largest first.

NumPy and SciPy only, so that the Slicer module can ask for any two of its segmentations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Kind = Literal["only_a", "only_b"]

_ROUNDING = 1e-6


@dataclass(frozen=True)
class Difference:
    """A connected part that one of two segmentations has and the other has not.

    Attributes:
        kind: which of the two has it.
        volume_ml: its size.
        center_ras_mm: of its voxels farthest from its rim, the one nearest to their mean; other than a mean of
            positions, it lies inside a shell too.
    """

    kind: Kind
    volume_ml: float
    center_ras_mm: tuple[float, float, float]


def largest_differences(a: Mask, b: Mask, ijk_to_ras: NDArray[np.float64], most: int = 10) -> tuple[Difference, ...]:
    """The largest parts that only one of two segmentations has; voxels that share a face hang together.

    Args:
        a: ``(I, J, K)``.
        b: the same.
        ijk_to_ras: 4x4, from voxel index to position in mm.
        most: how many to give.

    Raises:
        ValueError: the masks differ in shape.
    """
    if a.shape != b.shape:
        raise ValueError(f"Two masks of {a.shape} and {b.shape} voxels cannot be compared; bring them on one grid.")
    found = [*_parts(a & ~b, "only_a", ijk_to_ras, most), *_parts(b & ~a, "only_b", ijk_to_ras, most)]
    return tuple(sorted(found, key=lambda part: part.volume_ml, reverse=True)[:most])


def _parts(mask: Mask, kind: Kind, ijk_to_ras: NDArray[np.float64], most: int) -> list[Difference]:
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return []
    start = [side.start for side in boxes[0]]
    part = np.pad(mask[boxes[0]], 1)  # beyond the array counts as outside
    labels, _ = ndimage.label(part)
    voxels = np.bincount(labels.ravel())
    largest = np.argsort(-voxels[1:], kind="stable")[:most] + 1
    depth = ndimage.distance_transform_edt(part, sampling=np.linalg.norm(ijk_to_ras[:3, :3], axis=0))
    middles = np.array([_middle(labels == number, depth) for number in largest]) - 1 + start
    positions = middles @ ijk_to_ras[:3, :3].T + ijk_to_ras[:3, 3]
    voxel_ml = abs(float(np.linalg.det(ijk_to_ras[:3, :3]))) / 1000
    return [
        Difference(kind, float(voxels[number] * voxel_ml), (float(x), float(y), float(z)))
        for number, (x, y, z) in zip(largest, positions, strict=True)
    ]


def _middle(part: Mask, depth: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of the deepest voxels of a part the one nearest to their mean."""
    inside = np.argwhere(part)
    depths = depth[part]
    deepest = inside[depths > depths.max() * (1 - _ROUNDING)]
    nearest: NDArray[np.intp] = deepest[((deepest - deepest.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return nearest
