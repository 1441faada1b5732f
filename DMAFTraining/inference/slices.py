"""Networks of 2 dimensions on images of 3: the plane of the acquisition, one slice after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.geometry import Grid, axis_aligned_grid

_ALIKE = 1.1  # voxel sizes up to this factor apart count as equal


def slice_axis(spacing: Sequence[float]) -> int:
    """The axis that leads from slice to slice: the third, unless the steps along another one are longer."""
    widest = int(np.argmax(spacing))
    return widest if spacing[widest] > _ALIKE * spacing[2] else 2


def slice_grid(native: Grid, spacing: Sequence[float]) -> Grid:
    """The working grid ``(X, Y, slices)`` of an image: its own slices, whole, resampled in the plane.

    X and Y keep the order and the directions of the image. Where a voxel side is within a tenth of
    the model's it stays as it is: the networks are trained on slices that were not resampled, so
    they know such differences, and interpolation would only blur.

    Args:
        native: grid of the image.
        spacing: voxel size in the plane in mm, two numbers.
    """
    along = slice_axis(native.spacing)
    axes = [*(axis for axis in range(3) if axis != along), along]
    own = np.array(native.spacing)[axes]
    step = own.copy()
    for axis, wanted in enumerate(spacing):
        if max(own[axis] / wanted, wanted / own[axis]) > _ALIKE:
            step[axis] = wanted
    frame = native.ijk_to_ras[:, [*axes, 3]] / [*own, 1.0]  # from mm along the axes to RAS
    grid = axis_aligned_grid(np.zeros(3), own * (np.array(native.size)[axes] - 1), step.tolist())
    return Grid(grid.size, frame @ grid.ijk_to_ras)


def central_part(images: NDArray[np.float32], grid: Grid, size: int) -> tuple[NDArray[np.float32], Grid]:
    """The central square of every slice, ``size`` voxels wide, or the whole slice where it is smaller.

    Args:
        images: ``(M, X, Y, slices)``.
        grid: of one image.
        size: side of the square in voxels.
    """
    x, y = (max(0, (whole - size) // 2) for whole in grid.size[:2])
    part = images[:, x : x + size, y : y + size]
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :2] @ [x, y]
    return part, Grid((part.shape[1], part.shape[2], part.shape[3]), matrix)


def segment_slices(
    engine: Engine,
    images: Tensor,
    subsets: Sequence[Sequence[bool]],
    window: Sequence[int],
    overlap: float,
    temperature: float | Sequence[float] = 1.0,
    on_tile: Callable[[float], None] | None = None,
) -> Tensor:
    """Class probabilities of one case for every subset, from a network of 2 dimensions.

    A slice is segmented from the sequences of the subset that show it: where the stack of one ends
    earlier, it is absent in the other slices. Slices that none of them shows are background.

    Args:
        engine: runs the model.
        images: ``(M, X, Y, slices)`` on the working grid, zero where absent.
        subsets: presence flags, one row of M per subset.
        window: size in the plane in voxels, two numbers.
        overlap: share of the window that neighbors have in common.
        temperature: divides the logits, one number or one for each subset.
        on_tile: told the finished fraction after each piece of work; may raise to stop.

    Returns:
        Probabilities ``(n, K, X, Y, slices)``.
    """
    shown = images.flatten(1, 2).any(dim=1).cpu() & torch.tensor(subsets).any(dim=0)[:, None]  # (M, slices)
    numbers = [n for n, any_ in enumerate(shown.any(dim=0).tolist()) if any_]
    result = images.new_zeros(len(subsets), engine.network.config.classes, *images.shape[1:])
    result[:, 0] = 1
    temperatures = torch.as_tensor(temperature, dtype=torch.float32).expand(len(subsets))
    for done, n in enumerate(numbers):
        seen = torch.tensor(subsets) & shown[:, n]
        rows = [row for row, flags in enumerate(seen.tolist()) if any(flags)]
        told = _part(on_tile, done, len(numbers)) if on_tile else None
        plane, flags = images[..., n], seen[rows].tolist()
        found = engine.probabilities(plane, flags, window, overlap, temperatures[rows].tolist(), told)
        for row, classes in zip(rows, found, strict=True):
            result[row, ..., n] = classes
    return result


def _part(told: Callable[[float], None], done: int, count: int) -> Callable[[float], None]:
    """Maps the finished fraction of one slice into that of all."""
    return lambda fraction: told((done + fraction) / count)
