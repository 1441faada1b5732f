"""Boxes of voxels: first and last-plus-one voxel along each axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[tuple[int, int], ...]


def bounding_box(arrays: Iterable[NDArray[Any]]) -> Box:
    """Smallest box that holds every non-zero voxel of arrays of one shape, the last plane included."""
    stack = list(arrays)
    box = []
    for axis in range(stack[0].ndim):
        others = tuple(a for a in range(stack[0].ndim) if a != axis)
        hit = np.flatnonzero(np.any([(array != 0).any(axis=others) for array in stack], axis=0))
        box.append((int(hit[0]), int(hit[-1]) + 1) if hit.size else (0, stack[0].shape[axis]))
    return tuple(box)


def center_box(shape: Sequence[int], size: int) -> Box:
    """A square or cube about the center; it leaves the array where that is smaller."""
    return tuple(((whole - size) // 2, (whole - size) // 2 + size) for whole in shape)


def copy_box(volume: NDArray[Any], start: Sequence[int], out: NDArray[Any], fill: float) -> None:
    """Fill ``out`` with the box of ``volume`` that begins at ``start``; ``fill`` where it leaves the volume."""
    source = tuple(slice(max(0, low), max(0, low + size)) for low, size in zip(start, out.shape, strict=True))
    part = volume[source]
    if part.shape != out.shape:
        out[...] = fill
    target = tuple(slice(max(0, -low), max(0, -low) + n) for low, n in zip(start, part.shape, strict=True))
    out[target] = part


def cut(volume: NDArray[Any], box: Box, fill: float) -> NDArray[Any]:
    """The part of an array in a box, of the same type; ``fill`` where the box leaves it."""
    out = np.empty([stop - start for start, stop in box], volume.dtype)
    copy_box(volume, [start for start, _ in box], out, fill)
    return out
