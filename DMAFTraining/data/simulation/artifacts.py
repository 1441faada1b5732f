"""What scanners and preprocessing add: blur, thick slices, drift, noise, misalignment, skull residue."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tissue_map import largest_piece
from DMAFTraining.data.simulation.types import BoolArray, FloatArray


def degrade(image: FloatArray, grid: Grid, rng: np.random.Generator, severity: float = 1.0) -> FloatArray:
    """One scan of an ideal image (X, Y, Z): every effect drawn at random; stays positive.

    Args:
        image: ideal brightness, white matter about 1.
        grid: its voxel grid.
        rng: source of randomness.
        severity: 1 for a simulated ideal image; less for a real one, which has its own noise and blur.
    """
    image = _misalign(image, grid.spacing, rng)
    image = ndimage.gaussian_filter(image, severity * rng.uniform(0.35, 0.9) / grid.spacing)
    if rng.random() < 0.3 * severity:
        image = _thick_slices(image, grid.spacing, rng)
    if rng.random() < 0.1:
        image = _ring(image, rng)
    image = image * np.exp(rng.uniform(0.02, 0.16) * grid.noise(rng.uniform(60.0, 110.0), rng))
    if rng.random() < 0.25:
        image = _slab_drift(image, rng)
    sigma = severity * np.exp(rng.uniform(np.log(0.008), np.log(0.06)))
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(sigma)
    return np.sqrt((image + real) ** 2 + imaginary**2).astype(np.float32)


def _misalign(image: FloatArray, spacing: float, rng: np.random.Generator) -> FloatArray:
    """Shift by up to 1 mm: what registration of the sequences leaves."""
    if rng.random() < 0.5:
        return image
    shift = np.clip(rng.normal(0.0, 0.4, 3), -1.0, 1.0) / spacing
    return ndimage.shift(image, shift, order=1, mode="nearest")


def _thick_slices(image: FloatArray, spacing: float, rng: np.random.Generator) -> FloatArray:
    """Average along one axis over 3 to 5.5 mm, then resample, as from a scan with thick slices."""
    axis = int(rng.choice(3, p=[0.12, 0.12, 0.76]))
    thickness = rng.uniform(3.0, 5.5) / spacing
    blurred = ndimage.gaussian_filter1d(image, thickness / 2.355, axis=axis)
    size = image.shape[axis]
    centers = np.arange(rng.uniform(0.0, thickness), size, thickness)
    if len(centers) < 2:
        return blurred
    slices = np.take(blurred, np.clip(np.rint(centers).astype(int), 0, size - 1), axis=axis)
    where = np.interp(np.arange(size), centers, np.arange(len(centers)))
    low = np.clip(np.floor(where).astype(int), 0, len(centers) - 2)
    share = (where - low).reshape([-1 if a == axis else 1 for a in range(3)])
    below, above = np.take(slices, low, axis=axis), np.take(slices, low + 1, axis=axis)
    return (below * (1.0 - share) + above * share).astype(np.float32)


def _ring(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Gibbs ringing: drop the highest frequencies along one axis."""
    axis = int(rng.integers(3))
    spectrum = np.fft.rfft(image, axis=axis)
    keep = int(spectrum.shape[axis] * rng.uniform(0.6, 0.85))
    np.moveaxis(spectrum, axis, 0)[keep:] = 0.0
    ringing = np.fft.irfft(spectrum, n=image.shape[axis], axis=axis)
    return np.clip(ringing, 0.0, None).astype(np.float32)


def _slab_drift(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Slices brighter and darker along one axis: slow drift, and odd slices apart from even ones."""
    axis = int(rng.integers(3))
    size = image.shape[axis]
    slow = ndimage.gaussian_filter1d(rng.standard_normal(size), rng.uniform(3.0, 12.0))
    slow *= rng.uniform(0.02, 0.08) / (slow.std() + 1e-6)
    odd = rng.uniform(0.0, 0.025) * (np.arange(size) % 2)
    return image * np.exp(slow + odd).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)


def strip_mask(hull: FloatArray, grid: Grid, rng: np.random.Generator) -> BoolArray:
    """Brain mask of an imperfect skull strip.

    Args:
        hull: signed distance to the brain's hull in mm, negative inside (X, Y, Z).
        grid: its voxel grid.
        rng: source of randomness.

    Returns:
        The mask: mostly the hull, in some cases with pieces of dura and skull, or with a piece of brain cut off.
    """
    border = rng.uniform(-0.6, 2.8) + rng.uniform(0.2, 0.8) * grid.noise(12.0, rng)
    patches = grid.noise(rng.uniform(25.0, 40.0), rng)
    if rng.random() < 0.35:
        border = border + np.clip(patches - rng.uniform(0.6, 1.6), 0.0, None) * rng.uniform(2.0, 5.0)
    if rng.random() < 0.15:
        border = border - np.clip(-patches - rng.uniform(1.2, 2.0), 0.0, None) * rng.uniform(3.0, 10.0)
    return ndimage.binary_fill_holes(largest_piece(hull <= border))
