"""What scanners and preprocessing add: blur, thick slices, drift, noise, motion, misalignment, skull residue."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.look import TRAINING, Look, Range
from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tissue_map import largest_piece
from DMAFTraining.data.simulation.types import BoolArray, FloatArray

_TOP = 4.0
_MISALIGNED_MM = 1.5


def degrade(
    image: FloatArray, grid: Grid, rng: np.random.Generator, severity: float = 1.0, look: Look = TRAINING
) -> FloatArray:
    """One scan of an ideal image (X, Y, Z): every effect drawn at random; stays positive.

    Args:
        image: ideal brightness, white matter about 1.
        grid: its voxel grid.
        rng: source of randomness.
        severity: 1 for a simulated ideal image; less for a real one, which has its own noise and blur.
        look: resolutions to draw from.
    """
    image = bend(image, rng)
    if rng.random() < 0.5:
        image = _misalign(image, grid, rng)
    if rng.random() < look.thick_share * severity:
        image = _thick_slices(image, grid.spacing, look.thick, rng)
    else:
        image = ndimage.gaussian_filter(image, severity * rng.uniform(*look.blur) / grid.spacing)
    if rng.random() < 0.12:
        image = _ring(image, rng)
    if rng.random() < 0.08:
        image = _move(image, grid.spacing, rng)
    image = image * np.exp(rng.uniform(0.01, 0.14) * grid.noise(rng.uniform(60.0, 110.0), rng))
    if rng.random() < 0.25:
        image = _slab_drift(image, rng)
    sigma = severity * np.exp(rng.uniform(np.log(0.006), np.log(0.06)))
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(sigma)
    if rng.random() < 0.3:
        # Registration resamples the noise too: it becomes grainy and weaker.
        real, imaginary = (ndimage.uniform_filter(part, 2, mode="nearest") for part in (real, imaginary))
    return np.sqrt((image + real) ** 2 + imaginary**2).astype(np.float32)


def bend(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Send brightness through a random rising curve that keeps 0 and white matter (1)."""
    knots = np.array([0.0, 0.35, 0.7, 1.0, 1.5, 2.2, _TOP])
    rises = np.diff(knots) * np.exp(rng.normal(0.0, 0.14, len(knots) - 1))
    values = np.concatenate([[0.0], np.cumsum(rises)])
    values /= values[3]
    above = np.maximum(image - _TOP, 0.0)
    return (np.interp(image, knots, values) + above).astype(np.float32)


def _misalign(image: FloatArray, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Shift by up to 1.5 mm and turn by about half a degree: what registration of the sequences leaves."""
    shift = np.clip(rng.normal(0.0, 0.5, 3), -_MISALIGNED_MM, _MISALIGNED_MM) / grid.spacing
    x, y, z = rng.normal(0.0, np.deg2rad(0.5), 3)
    turn = np.array([[1.0, -z, y], [z, 1.0, -x], [-y, x, 1.0]])
    center = (np.array(image.shape) - 1.0) / 2.0
    return ndimage.affine_transform(image, turn, center - turn @ center + shift, order=1, mode="nearest")


def _thick_slices(image: FloatArray, spacing: float, thick: Range, rng: np.random.Generator) -> FloatArray:
    """Average along one axis over ``thick`` mm, then resample, as from a scan with thick slices."""
    axis = int(rng.choice(3, p=[0.12, 0.12, 0.76]))
    thickness = rng.uniform(*thick) / spacing
    blurred = ndimage.gaussian_filter1d(image, thickness / 2.9, axis=axis)
    size = image.shape[axis]
    centers = np.arange(rng.uniform(0.0, thickness), size, thickness)
    if len(centers) < 2:
        return blurred
    slices = np.take(blurred, np.clip(np.rint(centers).astype(int), 0, size - 1), axis=axis)
    where = np.interp(np.arange(size), centers, np.arange(len(centers)))
    low = np.clip(np.floor(where).astype(int), 0, len(centers) - 2)
    share = (where - low).reshape(_along(axis))
    below, above = np.take(slices, low, axis=axis), np.take(slices, low + 1, axis=axis)
    return (below * (1.0 - share) + above * share).astype(np.float32)


def _along(axis: int) -> list[int]:
    """Shape of a vector that runs along one axis of a volume."""
    return [-1 if a == axis else 1 for a in range(3)]


def _ring(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Gibbs ringing: drop the highest frequencies along one axis."""
    axis = int(rng.integers(3))
    spectrum = np.fft.rfft(image, axis=axis)
    keep = int(spectrum.shape[axis] * rng.uniform(0.6, 0.85))
    np.moveaxis(spectrum, axis, 0)[keep:] = 0.0
    ringing = np.fft.irfft(spectrum, n=image.shape[axis], axis=axis)
    return np.clip(ringing, 0.0, None).astype(np.float32)


def _move(image: FloatArray, spacing: float, rng: np.random.Generator) -> FloatArray:
    """Motion during the scan: some lines of k-space see the head shifted, which leaves ghosts along one axis."""
    axis = int(rng.integers(2))
    spectrum = np.fft.rfft(image, axis=axis)
    lines = np.arange(spectrum.shape[axis])
    shift = rng.uniform(1.0, 3.0) / spacing
    moved = (rng.random(len(lines)) < rng.uniform(0.03, 0.12)) & (lines > 6)
    phase = np.where(moved, np.exp(2j * np.pi * lines * shift / image.shape[axis]), 1.0)
    ghosted = np.fft.irfft(spectrum * phase.reshape(_along(axis)), n=image.shape[axis], axis=axis)
    return np.clip(ghosted, 0.0, None).astype(np.float32)


def _slab_drift(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Slices brighter and darker along one axis: slow drift, and odd slices apart from even ones."""
    axis = int(rng.integers(3))
    size = image.shape[axis]
    slow = ndimage.gaussian_filter1d(rng.standard_normal(size), rng.uniform(3.0, 12.0))
    slow *= rng.uniform(0.02, 0.08) / (slow.std() + 1e-6)
    odd = rng.uniform(0.0, 0.025) * (np.arange(size) % 2)
    return image * np.exp(slow + odd).reshape(_along(axis)).astype(np.float32)


def strip_mask(hull: FloatArray, grid: Grid, rng: np.random.Generator) -> BoolArray:
    """Brain mask of an imperfect skull strip.

    Args:
        hull: signed distance to the brain's hull in mm, negative inside (X, Y, Z).
        grid: its voxel grid.
        rng: source of randomness.

    Returns:
        The mask: mostly the hull; in some cases with pieces of dura, skull or (in front and below) the orbits,
        or with a piece of brain cut off.
    """
    border = rng.uniform(-0.8, 2.0) + rng.uniform(0.2, 0.8) * grid.noise(12.0, rng)
    patches = grid.noise(rng.uniform(25.0, 40.0), rng)
    if rng.random() < 0.35:
        border = border + np.clip(patches - rng.uniform(0.6, 1.6), 0.0, None) * rng.uniform(2.0, 5.0)
    if rng.random() < 0.15:
        border = border - np.clip(-patches - rng.uniform(1.2, 2.0), 0.0, None) * rng.uniform(3.0, 10.0)
    if rng.random() < 0.08:
        border = border + _orbits(grid, rng)
    # Strips are smooth: they leave out threads and fill notches of a few millimeters.
    smooth = ndimage.gaussian_filter(hull, rng.uniform(0.8, 2.5) / grid.spacing)
    return ndimage.binary_fill_holes(largest_piece(smooth <= border))


def _orbits(grid: Grid, rng: np.random.Generator) -> FloatArray:
    """How far in mm the mask runs out behind the eyes, where strips fail most often."""
    x, y, z = (axis / (np.abs(axis).max() + 1e-6) for axis in grid.positions())
    side = rng.choice([-1.0, 1.0])
    away = ((x - 0.45 * side) / 0.3) ** 2 + ((y - 0.75) / 0.35) ** 2 + ((z + 0.55) / 0.3) ** 2
    return (rng.uniform(5.0, 18.0) * np.exp(-away)).astype(np.float32)
