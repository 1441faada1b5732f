"""From volumes on any grid to network input: one working grid, z-score over non-zero voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, axis_aligned_grid
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.resampling import resample
from DMAFTraining.inference.slices import central_part, slice_grid
from DMAFTraining.modalities import ModalitySet, Subset

Array = NDArray[np.float32]
Box = tuple[tuple[int, int], ...]

_MARGIN_MM = 2.0
_ROUNDING = 1e-3  # voxels
_INSIDE = 0.499  # just below one half, so that rounding does not decide ties
_SKULL_STRIPPED_ZEROS = 0.05


@dataclass(frozen=True)
class PreparedCase:
    """A patient as the network sees it.

    Attributes:
        images: ``(M, *grid.size)`` float32 on the working grid, zero where a sequence is absent.
        available: the sequences that exist.
        grid: the working grid.
        reference: name of the sequence whose own grid receives the results.
        native: that grid.
        native_box: first and last-plus-one voxel on that grid that can get a label, per axis.
        steps: what was done to each sequence, for the provenance.
        warnings: ``(code, sentence)`` for the user.
    """

    images: Array
    available: Subset
    grid: Grid
    reference: str
    native: Grid
    native_box: Box
    steps: tuple[dict[str, object], ...]
    warnings: tuple[tuple[str, str], ...]


def prepare_case(
    volumes: Mapping[str, Volume],
    modalities: ModalitySet,
    preprocessing: Preprocessing,
    reference: str | None = None,
) -> PreparedCase:
    """Bring the sequences of one patient onto one working grid.

    The grid is RAS-oriented at the model's spacing and covers the brain of all sequences; for a
    network that sees slices, it holds the slices of the reference. Each sequence is placed by its
    own position in space, so grids may differ, be flipped or oblique.

    Args:
        volumes: image of each sequence that exists, by name.
        modalities: sequences of the model.
        preprocessing: of the model.
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
    physical = {name: _physical_box(volumes[name].grid, boxes[name]) for name in boxes}
    _check_overlap(physical, modalities)
    native = volumes[reference].grid
    warnings = _grid_warnings(volumes, available, reference)
    size = preprocessing.slice_size
    if size is None:
        grid, native_box = _brain_grid(physical, preprocessing.spacing, native)
        warnings = _skull_warnings(volumes, available) + warnings
    else:
        grid = slice_grid(native, preprocessing.spacing)
    working = {name: _to_working_grid(volumes[name], boxes[name], grid) for name in boxes}
    images = _stack(working, modalities, reference)
    steps = tuple(_step(name, volumes[name], working[name]) for name in working)
    if size is not None:
        images, grid = central_part(images, grid, size)
        native_box = _box_within(native, grid)
    return PreparedCase(images, available, grid, reference, native, native_box, steps, tuple(warnings))


def _brain_grid(
    physical: Mapping[str, tuple[Matrix, Matrix]], spacing: Sequence[float], native: Grid
) -> tuple[Grid, Box]:
    """RAS-oriented grid over the brain of all sequences, and the part of the native grid that it covers."""
    low = np.min([box[0] for box in physical.values()], axis=0) - _MARGIN_MM
    high = np.max([box[1] for box in physical.values()], axis=0) + _MARGIN_MM
    return axis_aligned_grid(low, high, spacing), _box_on(native, low, high)


def _stack(working: Mapping[str, Array], modalities: ModalitySet, reference: str) -> Array:
    """Network input ``(M, *S)`` of sequences on the working grid."""
    images = np.zeros((len(modalities), *working[reference].shape), np.float32)
    for name, image in working.items():
        title = modalities[name].title
        if not image.any():
            raise _no_overlap(title, modalities[reference].title)
        try:
            images[modalities.index(name)] = zscore_brain(image)
        except ValueError as error:
            raise InputError(f"{title} cannot be used: {error}.", "Choose another image.") from error
    return images


def zscore_brain(image: Array) -> Array:
    """Zero mean and unit variance over non-zero voxels (the brain), background stays 0.

    Each sequence uses its own voxels, so its input does not depend on which others exist.

    Raises:
        ValueError: there are none, or they have one single intensity.
    """
    mean, deviation = _brain_statistics(image)
    if not deviation > 0:
        raise ValueError("it has no contrast, its non-zero voxels are all alike")
    return np.where(image != 0, (image - mean) / deviation, 0).astype(np.float32)


def _brain_statistics(image: Array) -> tuple[float, float]:
    values = image[image != 0].astype(np.float64)
    return (float(values.mean()), float(values.std())) if values.size else (0.0, 0.0)


def _brain_box(volume: Volume, title: str) -> Box:
    """First and last-plus-one non-zero voxel along each axis."""
    brain = volume.array != 0
    box = []
    for axis in range(3):
        hit = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        if not hit.size:
            raise InputError(f"{title} is empty: every voxel is zero.", "Choose another image.")
        box.append((int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def _physical_box(grid: Grid, box: Box) -> tuple[Matrix, Matrix]:
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
                raise _no_overlap(modalities[a].title, modalities[b].title)


def _no_overlap(a: str, b: str) -> GeometryError:
    hint = "Register the images of the patient to each other first."
    return GeometryError(f"{a} and {b} do not overlap in space.", hint)


def _to_working_grid(volume: Volume, box: Box, grid: Grid) -> Array:
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


def _box_on(grid: Grid, low: Matrix, high: Matrix) -> Box:
    """Voxels of ``grid`` that the physical box from ``low`` to ``high`` can touch."""
    corners = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)])
    inverse = np.linalg.inv(grid.ijk_to_ras)
    index = corners @ inverse[:3, :3].T + inverse[:3, 3]
    start = np.clip(np.floor(index.min(axis=0)), 0, np.array(grid.size) - 1).astype(int)
    stop = np.clip(np.ceil(index.max(axis=0)) + 1, start + 1, grid.size).astype(int)
    return tuple((int(a), int(b)) for a, b in zip(start, stop, strict=True))


def _box_within(native: Grid, grid: Grid) -> Box:
    """Voxels of ``native`` between the outermost ones of ``grid``, whose axes run along its own."""
    inverse = np.linalg.inv(native.ijk_to_ras)
    index = grid.corners() @ inverse[:3, :3].T + inverse[:3, 3]
    start = np.maximum(np.ceil(index.min(axis=0) - _ROUNDING), 0).astype(int)
    stop = np.minimum(np.floor(index.max(axis=0) + _ROUNDING) + 1, native.size).astype(int)
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


def _skull_warnings(volumes: Mapping[str, Volume], available: Subset) -> list[tuple[str, str]]:
    """For models of the brain: sequences with hardly any zero voxels."""
    arrays = {modality.title: volumes[modality.name].array for modality in available}
    return [
        skull_warning(title)
        for title, array in arrays.items()
        if np.count_nonzero(array == 0) < _SKULL_STRIPPED_ZEROS * array.size
    ]


def skull_warning(title: str) -> tuple[str, str]:
    """Code and sentence for a sequence that is not the brain alone."""
    return "skull", f"{title} seems to show the whole head; this model expects the brain alone."


def _grid_warnings(volumes: Mapping[str, Volume], available: Subset, reference: str) -> list[tuple[str, str]]:
    title = next(m.title for m in available if m.name == reference)
    return [
        grid_warning(m.title, title) for m in available if not volumes[m.name].grid.same_as(volumes[reference].grid)
    ]


def grid_warning(title: str, reference: str) -> tuple[str, str]:
    """Code and sentence for a sequence on another grid than the reference, both by their titles."""
    return "grid", f"{title} lies on another grid than {reference}; it was placed by its position in space."
