"""Numbers that compare label maps of one patient: volumes per region and Dice between subsets.

NumPy only, so that the report, the worker and the Slicer panel show the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.inference.metadata import Region

Labels = NDArray[np.uint8]


def region_mask(labels: Labels, region: Region) -> NDArray[np.bool_]:
    """Voxels whose label belongs to the region."""
    mask = np.zeros(labels.shape, bool)
    for value in region.labels:  # several times faster than np.isin
        mask |= labels == value
    return mask


def region_volumes(labels: Labels, regions: Sequence[Region], voxel_ml: float) -> dict[str, float]:
    """Volume of each region in mL."""
    return {region.name: float(region_mask(labels, region).sum() * voxel_ml) for region in regions}


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice overlap ``2 |A and B| / (|A| + |B|)``; 1 if both are empty, 0 if only one is."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def region_dice(labels: Labels, reference: Labels, regions: Sequence[Region]) -> dict[str, float]:
    """Dice of each region between two label maps on one grid."""
    return {r.name: dice(region_mask(labels, r), region_mask(reference, r)) for r in regions}


def mean_dice(table: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each region over several rows of :func:`region_dice`."""
    return {name: float(np.mean([row[name] for row in table])) for name in table[0]}
