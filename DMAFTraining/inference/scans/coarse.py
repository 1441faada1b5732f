"""Scans at a coarse resolution, and where in them the patient is."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.geometry import Grid, Matrix, Volume, grid_of, to_image

Mask = NDArray[np.bool_]

_ZERO_SHARE = 0.05
_BRIGHTEST = 99.5  # percent; a few bright vessels must not decide what is dark
_CLOSING = 2  # voxels
_RIM_MM = 8.0


def shrunk(volume: Volume, mm: float) -> Volume:
    """Means of blocks of voxels of about ``mm``; an axis that is already that coarse stays as it is."""
    factors = [
        min(max(1, round(mm / step)), count) for step, count in zip(volume.grid.spacing, volume.grid.size, strict=True)
    ]
    if max(factors) == 1:
        return volume
    image = sitk.BinShrink(to_image(volume.array, volume.grid), factors)
    return Volume(sitk.GetArrayFromImage(image).transpose(2, 1, 0), grid_of(image), volume.source)


def has_zero_background(volume: Volume) -> bool:
    """A good part of the voxels is exactly 0, as around a stripped brain: what is not is the patient."""
    return bool(np.count_nonzero(volume.array == 0) > _ZERO_SHARE * volume.array.size)


def content(volume: Volume) -> Mask:
    """The head in a coarse scan without the air around it; of a stripped scan, the brain.

    Air is told from the head by Li's minimum cross-entropy threshold (Li & Tam, Pattern Recognition Letters 19,
    1998), which minds small bright parts less than Otsu's.
    """
    if has_zero_background(volume):
        return volume.array != 0
    image = sitk.GetImageFromArray(np.clip(volume.array, None, np.percentile(volume.array, _BRIGHTEST)))
    bright = sitk.GetArrayFromImage(sitk.LiThreshold(image, 0, 1)).astype(bool)
    closed = ndimage.binary_closing(np.pad(bright, _CLOSING), iterations=_CLOSING)
    return ndimage.binary_fill_holes(closed)[(slice(_CLOSING, -_CLOSING),) * 3]


def content_ml(volume: Volume) -> float:
    """Volume of the content in mL."""
    return float(np.count_nonzero(content(volume))) * volume.grid.voxel_ml


def comparable(fixed: Volume, moving: Volume) -> Mask:
    """Voxels of ``fixed``, coarse, at which its comparison with ``moving`` tells something.

    Two heads, or two brains, are compared with a rim around them: their outlines tell much. Where only one of them
    is stripped, its outline is none of the other one and is left out.
    """
    where = content(fixed)
    if has_zero_background(fixed) != has_zero_background(moving):
        return ndimage.binary_erosion(where)
    return ndimage.binary_dilation(where, iterations=max(1, round(_RIM_MM / min(fixed.grid.spacing))))


def positions(where: Mask, grid: Grid) -> Matrix:
    """RAS positions ``(N, 3)`` of the voxels that are set."""
    return place(grid.ijk_to_ras, np.argwhere(where).astype(np.float64))


def place(matrix: Matrix, points: Matrix) -> Matrix:
    """Points ``(N, 3)`` mapped by a 4x4 matrix.

    Written without a matrix product, the last bits of which depend on the number of threads of a BLAS library.
    """
    return np.einsum("ij,nj->ni", matrix[:3, :3], points) + matrix[:3, 3]
