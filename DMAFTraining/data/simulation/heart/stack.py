"""The pixels of a short-axis stack: where its slices cross the left ventricle and how they lie in the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.noise import smooth_noise
from DMAFTraining.data.simulation.types import FloatArray, Matrix

SUBLEVELS = 3
"""Planes a slice is averaged over (partial volume); the labels are those of the middle one."""

_WINDOW = ((-96.0, 62.0), (-74.0, 74.0))  # mm around the left ventricle; the right one lies to the left


@dataclass(frozen=True)
class Stack:
    """Grid of a case. The plane is seen as clinicians show it: x to the lateral wall, y to the inferior wall.

    Attributes:
        size: pixels along x and along y.
        pixel: side of a pixel in mm.
        thickness: of a slice in mm.
        step: from slice to slice in mm, gap included.
        heights: of the slices' middle planes over the apex of the left ventricle in mm (Z,).
        center: of the left ventricle in mm from the middle of the image.
    """

    size: int
    pixel: float
    thickness: float
    step: float
    heights: Matrix
    center: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pixels (X, Y, Z)."""
        return self.size, self.size, len(self.heights)

    @property
    def sublevels(self) -> Matrix:
        """Heights of all planes that slices are averaged over, slice by slice (Z * SUBLEVELS,)."""
        offsets = (np.arange(SUBLEVELS) - SUBLEVELS // 2) / SUBLEVELS * self.thickness
        return (self.heights[:, None] + offsets).ravel()

    @property
    def window(self) -> tuple[slice, slice]:
        """Part of the plane that holds the heart."""
        first = [(self.size - 1) / 2.0 + (self.center[axis] + _WINDOW[axis][0]) / self.pixel for axis in range(2)]
        last = [(self.size - 1) / 2.0 + (self.center[axis] + _WINDOW[axis][1]) / self.pixel for axis in range(2)]
        x, y = (slice(max(0, int(low)), min(self.size, int(high) + 1)) for low, high in zip(first, last, strict=True))
        return x, y

    def axes(self, part: tuple[slice, slice] = (slice(None), slice(None))) -> tuple[FloatArray, FloatArray]:
        """Positions relative to the left ventricle in mm, x as (X, 1, 1) and y as (1, Y, 1)."""
        middle = (np.arange(self.size) - (self.size - 1) / 2.0) * self.pixel
        x, y = ((middle - self.center[axis])[part[axis]].astype(np.float32) for axis in range(2))
        return x[:, None, None], y[None, :, None]

    def noise(self, scale: float, rng: np.random.Generator) -> FloatArray:
        """Smooth noise with blobs of ``scale`` mm, another field in each slice; (X, Y, Z), standard deviation 1."""
        fields = [smooth_noise(self.shape[:2], self.pixel, scale, rng) for _ in self.heights]
        return np.stack(fields, axis=-1)


def draw_stack(axis_length: float, rng: np.random.Generator, pixel: float | None = None) -> Stack:
    """Draw a stack through a left ventricle of this length in mm: between its apical cap and its valve.

    Args:
        axis_length: of the left ventricle in mm.
        rng: the same state gives the same stack.
        pixel: side of a pixel in mm; default as scanners choose it, and then at least 256 pixels along a side.
    """
    drawn, field = rng.uniform(0.75, 1.4), rng.uniform(300.0, 370.0)
    size = 16 * round(field / (pixel or drawn) / 16.0)
    if pixel is None:
        size = max(256, size)
    thickness = rng.uniform(8.0, 12.0)
    step = thickness + rng.choice([0.0, rng.uniform(0.5, 2.5)])
    low, high = 0.24 * axis_length + thickness / 2.0, 0.97 * axis_length - thickness / 2.0
    most = int((high - low) / step) + 1
    count = int(rng.integers(2, min(6, most) + 1))
    first = rng.uniform(low, high - (count - 1) * step)
    center = (rng.uniform(-4.0, 22.0), rng.uniform(-14.0, 12.0))
    return Stack(size, pixel or drawn, thickness, step, first + step * np.arange(count), center)


def place_in_body(stack: Stack, rng: np.random.Generator) -> Matrix:
    """Matrix from voxel index to RAS position in mm of a usual short-axis plane; slices run from apex to base."""
    to_apex = _unit(np.array([-0.62, 0.62, -0.48]) + rng.normal(0.0, 0.06, 3))
    foot = np.array([0.0, 0.0, -1.0])
    down = _unit(foot - (foot @ to_apex) * to_apex)
    right = np.cross(to_apex, down)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right * stack.pixel, down * stack.pixel, -to_apex * stack.step], axis=1)
    middle = matrix[:3, :3] @ ((np.array(stack.shape) - 1) / 2.0)
    matrix[:3, 3] = np.array([-35.0, 10.0, 0.0]) + rng.normal(0.0, 10.0, 3) - middle
    return matrix


def _unit(vector: Matrix) -> Matrix:
    return vector / np.linalg.norm(vector)
