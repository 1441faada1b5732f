"""What the scanner and the registration of the sequences add to ideal images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.heart.stack import Stack
from DMAFTraining.data.simulation.types import FloatArray

Range = tuple[float, float]


@dataclass(frozen=True)
class Protocol:
    """How one sequence is measured; ranges are drawn from uniformly.

    Attributes:
        resolution: side of a measured pixel in mm; images are interpolated to the pixels of the stack.
        misplaced: largest residual displacement in mm; of any two sequences these add up to at most 2 mm.
        coil: how much brightness falls over 100 mm away from the surface coil (exponent).
        noise: standard deviation of the noise, of an image whose brightest part of the heart is about 1.
        bands: share of the cases with dark bands of off-resonance.
        ghosts: brightness of the ghosts of moving tissue.
        motion: blur by the beating heart in mm.
        swing: standard deviation of the brightness from slice to slice (log).
    """

    resolution: Range
    misplaced: float
    coil: Range
    noise: Range
    bands: float = 0.0
    ghosts: Range = (0.0, 0.0)
    motion: Range = (0.0, 0.0)
    swing: float = 0.03


PROTOCOLS: Mapping[str, Protocol] = {
    "bssfp": Protocol((1.2, 1.9), 0.5, (0.0, 0.5), (0.015, 0.045), bands=0.5, ghosts=(0.0, 0.015)),
    "lge": Protocol((1.3, 2.0), 1.5, (0.1, 0.8), (0.03, 0.075), ghosts=(0.0, 0.05), motion=(0.0, 0.5)),
    "t2": Protocol((1.5, 2.4), 1.5, (0.3, 1.1), (0.04, 0.09), ghosts=(0.0, 0.1), motion=(0.3, 1.1), swing=0.1),
}


def acquire(image: FloatArray, protocol: Protocol, stack: Stack, rng: np.random.Generator) -> FloatArray:
    """One scan of an ideal image (X, Y, Z): whole numbers from 0, as in the files of a scanner."""
    image = _misplace(image, protocol.misplaced, stack, rng)
    width = np.hypot(0.42 * rng.uniform(*protocol.resolution), rng.uniform(*protocol.motion)) / stack.pixel
    width = max(width, 0.55)  # less would show the staircase of the chest's label map
    image = ndimage.gaussian_filter(image, (width, width, 0.0), truncate=3.0)
    image = image * _sensitivity(rng.uniform(*protocol.coil), stack, rng)
    if rng.random() < protocol.bands:
        image = image * _bands(stack, rng)
    image = _ghost(image, rng.uniform(*protocol.ghosts), rng)
    image *= np.exp(protocol.swing * rng.standard_normal(image.shape[2])).astype(np.float32)
    image = _noisy(image, rng.uniform(*protocol.noise), width, rng)
    return np.rint(image * np.float32(np.exp(rng.uniform(np.log(150.0), np.log(900.0))))).astype(np.float32)


def draw_displacement(limit: float, stack: Stack, rng: np.random.Generator) -> FloatArray:
    """Displacement in mm (2, X, Y, Z): breath holds move whole slices, a rest is smooth; never above ``limit``."""
    shift = rng.uniform(-0.6 * limit, 0.6 * limit, (2, 1, 1, len(stack.heights))).astype(np.float32)
    bend = np.stack([stack.noise(60.0, rng) for _ in range(2)])
    field = shift + np.float32(0.2 * limit) * bend
    length = np.sqrt((field**2).sum(axis=0))
    return field * np.minimum(1.0, np.float32(limit) / np.maximum(length, 1e-6))


def _misplace(image: FloatArray, limit: float, stack: Stack, rng: np.random.Generator) -> FloatArray:
    field = draw_displacement(limit, stack, rng) / np.float32(stack.pixel)
    x, y = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in image.shape[:2]), indexing="ij")
    moved = np.empty_like(image)
    for level in range(image.shape[2]):
        place = np.stack([x + field[0, :, :, level], y + field[1, :, :, level]])
        moved[:, :, level] = ndimage.map_coordinates(image[:, :, level], place, order=1, mode="nearest")
    return moved


def _sensitivity(fall: float, stack: Stack, rng: np.random.Generator) -> FloatArray:
    """Brightness of a surface coil in front of the chest, about 1 at the heart; the same in all slices."""
    x, y = stack.axes()
    turn = rng.normal(-np.pi / 2.0, 0.4)
    toward = (np.cos(turn) * x + np.sin(turn) * y) / 100.0
    uneven = 0.5 * fall * np.float32(0.3) * stack.noise(90.0, rng)[:, :, :1]
    return np.exp(np.clip(fall * toward, -1.5, 0.9) + uneven).astype(np.float32)


def _bands(stack: Stack, rng: np.random.Generator) -> FloatArray:
    """Dark curved lines where the off-resonance of bSSFP reaches half a cycle; most lie beside the heart."""
    x, y = stack.axes()
    turn, curve = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(-0.3, 0.3)
    along, across = (np.cos(turn) * x + np.sin(turn) * y) / 100.0, (np.cos(turn) * y - np.sin(turn) * x) / 100.0
    cycles = rng.uniform(0.35, 0.8) * along + curve * across**2 + rng.uniform(-0.2, 0.2)
    cycles = cycles + np.float32(0.05) * stack.noise(45.0, rng)
    away = np.abs(cycles - np.floor(cycles) - 0.5)
    return (1.0 - rng.uniform(0.5, 0.9) * np.exp(-((away / rng.uniform(0.03, 0.06)) ** 2))).astype(np.float32)


def _ghost(image: FloatArray, strength: float, rng: np.random.Generator) -> FloatArray:
    """Add a faint copy of the image, shifted by a part of the field of view along the phase direction."""
    axis = int(rng.integers(2))
    step = int(image.shape[axis] * rng.uniform(0.25, 0.5))
    copies = np.roll(image, step, axis) + np.roll(image, -step, axis)
    return image + np.float32(0.5 * strength) * copies


def _noisy(image: FloatArray, sigma: float, width: float, rng: np.random.Generator) -> FloatArray:
    """Rician noise, as coarse as the measured pixels; ``width`` is the blur of the image in pixels."""
    grain = 0.6 * width
    parts = rng.standard_normal((2, *image.shape), dtype=np.float32)
    parts = ndimage.gaussian_filter(parts, (0.0, grain, grain, 0.0), truncate=3.0)
    parts *= np.float32(sigma) / parts.std()
    return np.hypot(image + parts[0], parts[1])
