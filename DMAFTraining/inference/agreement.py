"""Where combinations of sequences agree: how many of them call a voxel tumor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def agreement_map(masks: Iterable[Mask]) -> NDArray[np.uint8]:
    """How many of the masks ``(*S)`` hold at each voxel.

    Raises:
        ValueError: no mask, or more than 255.
    """
    listed = list(masks)
    if not 1 <= len(listed) <= 255:
        raise ValueError(f"An agreement map needs 1 to 255 segmentations, not {len(listed)}.")
    counts = np.zeros(listed[0].shape, np.uint8)
    for mask in listed:
        counts += mask
    return counts


def disagreement_map(maps: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint16]:
    """How many pairs of label maps ``(*S)`` say something different at each voxel."""
    equal = np.zeros(maps[0].shape, np.uint32)
    for value in np.unique(np.concatenate([np.unique(array) for array in maps])):
        counts = np.zeros(maps[0].shape, np.uint32)
        for array in maps:
            counts += array == value
        equal += counts**2
    return ((len(maps) ** 2 - equal) // 2).astype(np.uint16)


def agreement_volumes(counts: NDArray[np.uint8], segmentations: int, voxel_ml: float) -> tuple[float, ...]:
    """Volume in mL that exactly 1, 2, ... of the segmentations hold; the last is where all agree."""
    voxels = np.bincount(counts.ravel(), minlength=segmentations + 1)[1 : segmentations + 1]
    return tuple((voxels * voxel_ml).tolist())
