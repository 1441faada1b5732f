"""Brain or whole head? And what to do with a mask of the brain: read it, check it, keep what is inside."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume, read_volume
from DMAFTraining.inference.resampling import resample
from DMAFTraining.inference.scans.verdict import Verdict
from DMAFTraining.modalities import ModalitySet

_LOOK_MM = 3.0  # a coarse look is enough to tell a brain from a head, and takes 40 ms
_FAINT = 0.01  # of the brightest: interpolation ripple and what masking left count as background
_HEAD_ML = 2300.0  # more than the inside of any skull
_OPEN_BORDER = 0.5
_DEEP_MM = 20.0
_DARK = 0.4  # of the median deep inside: bone in every sequence
_UNDER_SKIN_MM, _BONE_MM = (3.5, 7.0), ((7.0, 10.5), (10.5, 14.0))
_DARKER = 0.07  # measured: below 0.02 under the surface of brains, 0.1 to 0.4 in heads

_BRAIN_ML = (700.0, 2200.0)
_PIECE_ML = 5.0
_CUT_CM2 = 5.0
_NEARLY_ALL = 0.9
_DARKEST = 1e-6  # of the brightest voxel


def looks_stripped(volume: Volume) -> Verdict:
    """Whether an image shows the brain alone; ``fine`` means that it does.

    Told by what lies on the border of the image, by the volume of all that is not background, and by a
    dark layer below the surface, which is the bone of a head. The background may have any constant value.
    """
    steps = [max(1, round(_LOOK_MM / spacing)) for spacing in volume.grid.spacing]
    image = volume.array[:: steps[0], :: steps[1], :: steps[2]]
    spacing = np.array(volume.grid.spacing) * steps
    image = image - _background(image)
    brightness = np.abs(image)
    if not brightness.any():
        return Verdict(True, "The image is empty.")
    tissue = brightness > _FAINT * np.percentile(brightness[brightness > 0], 99)
    border = np.concatenate(_faces(tissue)).mean()
    if border > _OPEN_BORDER:
        return Verdict(False, f"There is no empty background: {border:.0%} of the border of the image is not empty.")
    tissue = ndimage.binary_fill_holes(tissue)
    volume_ml = tissue.sum() * spacing.prod() / 1000
    if volume_ml > _HEAD_ML:
        return Verdict(False, f"The image shows a whole head: {volume_ml:.0f} mL are more than any brain.")
    darker = _dark_layer(image, tissue, spacing)
    if darker > _DARKER:
        return Verdict(False, f"A dark layer below the surface looks like bone ({darker:.0%} more dark voxels).")
    return Verdict(True, f"The image shows {volume_ml:.0f} mL on an empty background, without a layer of bone.")


def zero_background(volume: Volume) -> Volume:
    """A brain-extracted image with its constant background set to 0, which is what the next steps take for empty."""
    background = _background(volume.array)
    if background == 0:
        return volume
    return Volume(np.where(volume.array == background, 0, volume.array).astype(np.float32), volume.grid, volume.source)


def preferred_sequence(names: Iterable[str], modalities: ModalitySet) -> tuple[str, str]:
    """The sequence to find the brain on, and a warning for the user or "".

    T1 first: brain extraction is at its best there. T1 after contrast is next; then the order of the model.

    Args:
        names: the sequences that exist.
        modalities: of the model.
    """
    available = modalities.subset(names)
    for wanted in ("t1", "t1ce"):
        name = modalities.resolve(wanted)
        if name is not None and name in available:
            return name, ""
    chosen = available.modalities[0]
    return chosen.name, f"The brain was extracted on {chosen.title}, for lack of a T1: look closely at its border."


def read_mask(path: Path) -> Volume:
    """A user's brain mask, 1 inside and 0 outside; every value but 0 counts as brain.

    Raises:
        InputError: unreadable, empty, holds fractions (a probability map), or marks nearly everything.
    """
    volume = read_volume(path)
    if (volume.array != np.rint(volume.array)).any():
        raise InputError(f"{path} is no brain mask: it holds fractions.", "Give 1 inside the brain and 0 outside.")
    inside = volume.array != 0
    if inside.mean() > _NEARLY_ALL:
        raise InputError(
            f"{path} is no brain mask: {inside.mean():.0%} of its voxels are not 0.",
            "Give 1 inside the brain and 0 outside.",
        )
    return Volume(inside.astype(np.float32), volume.grid, str(path))


def mask_problems(mask: NDArray[np.bool_], grid: Grid) -> tuple[str, ...]:
    """Sentences on what is odd about a brain mask ``(I, J, K)``; none if it is plausible."""
    found = []
    volume_ml = mask.sum() * grid.voxel_ml
    if not _BRAIN_ML[0] <= volume_ml <= _BRAIN_ML[1]:
        low, high = _BRAIN_ML
        found.append(f"The brain mask has {volume_ml:.0f} mL; brains have {low:.0f} to {high:.0f} mL.")
    # A brain that is cut off shows a large flat area on the border, a tightly cropped one a few voxels.
    voxel_cm2 = np.repeat(10 * grid.voxel_ml / np.array(grid.spacing), 2)
    if (np.array([face.sum() for face in _faces(mask)]) * voxel_cm2).max() > _CUT_CM2:
        found.append("The brain mask reaches the border of the image: part of the brain may be outside.")
    pieces, _ = ndimage.label(mask)
    large = np.bincount(pieces.ravel())[1:] * grid.voxel_ml > _PIECE_ML
    if large.sum() > 1:
        found.append(f"The brain mask consists of {large.sum()} separate pieces.")
    return tuple(found)


def keep_brain(volume: Volume, mask: NDArray[np.bool_], mask_grid: Grid) -> Volume:
    """The image with exact zeros outside the brain.

    Args:
        volume: image on any grid.
        mask: brain ``(I, J, K)`` on ``mask_grid``; interpolated linearly, inside is 1/2 and more.
        mask_grid: its place in space.

    Raises:
        InputError: the mask and the image do not overlap.
    """
    inside = mask
    if not mask_grid.same_as(volume.grid):
        share = torch.from_numpy(mask.astype(np.float32))[None]
        inside = resample(share, mask_grid, volume.grid)[0].numpy() >= 0.5
    if not inside.any():
        raise InputError("The brain mask does not overlap the image.", "Choose the mask of this patient.")
    # Zero means "outside" from here on, so a voxel of the brain that is 0 by chance gets a value next to it.
    darkest = np.float32(_DARKEST * np.abs(volume.array).max())
    brain = np.where(volume.array == 0, darkest, volume.array)
    return Volume(np.where(inside, brain, np.float32(0)), volume.grid, volume.source)


def _background(image: NDArray[np.float32]) -> float:
    """The most frequent value on the faces of an image."""
    values, counts = np.unique(np.concatenate(_faces(image)), return_counts=True)
    return float(values[counts.argmax()])


def _faces(image: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """The voxels of each of the six faces of a volume, flat."""
    return [image.take(end, axis).ravel() for axis in range(3) for end in (0, -1)]


def _dark_layer(image: NDArray[np.float32], tissue: NDArray[np.bool_], spacing: NDArray[np.float64]) -> float:
    """How much larger the share of dark voxels is where bone lies in a head than just under the surface."""
    depth = ndimage.distance_transform_edt(tissue, sampling=spacing)
    deep = depth > _DEEP_MM
    layers = [(depth > low) & (depth <= high) for low, high in (_UNDER_SKIN_MM, *_BONE_MM)]
    if not all(part.any() for part in (deep, *layers)):  # tiny, or voxels too large to show bone
        return 0.0
    dark = image < _DARK * np.median(image[deep])
    under_skin, *bone = (dark[layer].mean() for layer in layers)
    return float(max(bone) - under_skin)
