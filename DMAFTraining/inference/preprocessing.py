"""From volumes on any grid to network input: one working grid, z-score over brain voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, axis_aligned_grid
from DMAFTraining.inference.resampling import resample
from DMAFTraining.modalities import ModalitySet, Subset

Array = NDArray[np.float32]

_MARGIN_MM = 2.0
_INSIDE = 0.499  # just below one half, so that rounding does not decide ties
_SKULL_STRIPPED_ZEROS = 0.05


@dataclass(frozen=True)
class PreparedCase:
    """A patient as the network sees it.

    Attributes:
        images: ``(M, I, J, K)`` float32 on the working grid, zero where a sequence is absent.
        available: the sequences that exist.
        grid: the working grid.
        reference: name of the sequence whose own grid receives the results.
        native: that grid.
        native_box: first and last-plus-one voxel of the brain on that grid, per axis.
        steps: what was done to each sequence, for the provenance.
        warnings: ``(code, sentence)`` for the user.
    """

    images: Array
    available: Subset
    grid: Grid
    reference: str
    native: Grid
    native_box: tuple[tuple[int, int], ...]
    steps: tuple[dict[str, object], ...]
    warnings: tuple[tuple[str, str], ...]


def prepare_case(
    volumes: Mapping[str, Volume], modalities: ModalitySet, spacing: Sequence[float], reference: str | None = None
) -> PreparedCase:
    """Bring the sequences of one patient onto one working grid.

    The grid is RAS-oriented at the model's spacing and covers the brain of all sequences. Each
    sequence is placed by its own position in space, so grids may differ, be flipped or oblique.

    Args:
        volumes: image of each sequence that exists, by name.
        modalities: sequences of the model.
        spacing: working voxel size in mm.
        reference: sequence whose grid receives the results; default the first one that exists.

    Raises:
        InputError: no sequence, an unknown one, or one without contrast.
        GeometryError: two sequences do not overlap in space.
    """
    if not volumes:
        raise InputError("No sequence was given.", f"Give at least one of {', '.join(modalities.names)}.")
    available = modalities.subset(volumes)
    reference = reference or available.names[0]
    if reference not in available:
        raise InputError(f"The reference {reference!r} is not among the given sequences.", "Choose one that is given.")
    boxes = {name: _brain_box(volumes[name], modalities[name].title) for name in available.names}
    _check_overlap({name: _physical_box(volumes[name].grid, boxes[name]) for name in boxes}, modalities)
    physical = [_physical_box(volumes[name].grid, boxes[name]) for name in boxes]
    low = np.min([box[0] for box in physical], axis=0) - _MARGIN_MM
    high = np.max([box[1] for box in physical], axis=0) + _MARGIN_MM
    grid = axis_aligned_grid(low, high, spacing)
    images = np.zeros((len(modalities), *grid.size), np.float32)
    steps = []
    for name in available.names:
        working = _to_working_grid(volumes[name], boxes[name], grid)
        try:
            images[modalities.index(name)] = zscore_brain(working)
        except ValueError as error:
            title = modalities[name].title
            raise InputError(f"{title} cannot be used: {error}.", "Choose another image.") from error
        steps.append(_step(name, volumes[name], working))
    return PreparedCase(
        images,
        available,
        grid,
        reference,
        volumes[reference].grid,
        _box_on(volumes[reference].grid, low, high),
        tuple(steps),
        tuple(_warnings(volumes, available, reference)),
    )


def zscore_brain(image: Array) -> Array:
    """Zero mean and unit variance over brain voxels (the non-zero ones), background stays 0.

    Each sequence uses its own brain voxels, so its input does not depend on which others exist.

    Raises:
        ValueError: the brain is empty or has one single intensity.
    """
    mean, deviation = _brain_statistics(image)
    if not deviation > 0:
        raise ValueError("it has no contrast inside the brain")
    return np.where(image != 0, (image - mean) / deviation, 0).astype(np.float32)


def _brain_statistics(image: Array) -> tuple[float, float]:
    values = image[image != 0].astype(np.float64)
    return (float(values.mean()), float(values.std())) if values.size else (0.0, 0.0)


def _brain_box(volume: Volume, title: str) -> tuple[tuple[int, int], ...]:
    """First and last-plus-one non-zero voxel along each axis."""
    brain = volume.array != 0
    box = []
    for axis in range(3):
        hit = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        if not hit.size:
            raise InputError(f"{title} is empty: every voxel is zero.", "Choose another image.")
        box.append((int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def _physical_box(grid: Grid, box: tuple[tuple[int, int], ...]) -> tuple[Matrix, Matrix]:
    """Smallest and largest RAS coordinates (mm) of a voxel box."""
    corners = grid.corners([start for start, _ in box], [stop for _, stop in box])
    return corners.min(axis=0), corners.max(axis=0)


def _check_overlap(boxes: Mapping[str, tuple[Matrix, Matrix]], modalities: ModalitySet) -> None:
    names = list(boxes)
    for n, a in enumerate(names):
        for b in names[n + 1 :]:
            low = np.maximum(boxes[a][0], boxes[b][0])
            high = np.minimum(boxes[a][1], boxes[b][1])
            if not (high > low).all():
                raise GeometryError(
                    f"{modalities[a].title} and {modalities[b].title} do not overlap in space.",
                    "Register the images of the patient to each other first.",
                )


def _to_working_grid(volume: Volume, box: tuple[tuple[int, int], ...], grid: Grid) -> Array:
    """Brain of a volume on the working grid: smoothed where it gets coarser, exact zeros outside."""
    part = volume.array[tuple(slice(start, stop) for start, stop in box)]
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[:3, 3] = matrix[:3, :3] @ [start for start, _ in box] + matrix[:3, 3]
    source = Grid((part.shape[0], part.shape[1], part.shape[2]), matrix)
    sigma = [max(0.0, (min(grid.spacing) / step - 1) / 2) for step in source.spacing]
    brain = (part != 0).astype(np.float32)
    both = [ndimage.gaussian_filter(x, sigma, mode="constant", truncate=3) if any(sigma) else x for x in (part, brain)]
    image, share = resample(torch.from_numpy(np.stack(both)), source, grid).numpy()
    inside = share > _INSIDE
    # Dividing by the share of brain keeps the rim as bright as the tissue instead of half dark.
    return np.divide(image, share, out=np.zeros_like(image), where=inside)


def _box_on(grid: Grid, low: Matrix, high: Matrix) -> tuple[tuple[int, int], ...]:
    """Voxels of ``grid`` that the physical box from ``low`` to ``high`` can touch."""
    corners = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)])
    inverse = np.linalg.inv(grid.ijk_to_ras)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    start = np.clip(np.floor(index.min(axis=0)), 0, np.array(grid.size) - 1).astype(int)
    stop = np.clip(np.ceil(index.max(axis=0)) + 1, start + 1, grid.size).astype(int)
    return tuple((int(a), int(b)) for a, b in zip(start, stop, strict=True))


def _step(name: str, volume: Volume, working: Array) -> dict[str, object]:
    mean, deviation = _brain_statistics(working)
    return {
        "sequence": name,
        "source_size": list(volume.grid.size),
        "source_ijk_to_ras": volume.grid.ijk_to_ras.tolist(),
        "interpolation": "linear",
        "zscore_mean": mean,
        "zscore_deviation": deviation,
    }


def _warnings(volumes: Mapping[str, Volume], available: Subset, reference: str) -> list[tuple[str, str]]:
    found = []
    for modality in available:
        volume = volumes[modality.name]
        if np.count_nonzero(volume.array == 0) < _SKULL_STRIPPED_ZEROS * volume.array.size:
            found.append(
                ("skull", f"{modality.title} seems to show the whole head; this model expects the brain alone.")
            )
        if not volume.grid.same_as(volumes[reference].grid):
            title = next(m.title for m in available if m.name == reference)
            found.append(
                ("grid", f"{modality.title} lies on another grid than {title}; it was placed by its position in space.")
            )
    return found
