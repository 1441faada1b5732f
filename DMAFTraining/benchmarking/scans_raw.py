"""A raw-like patient from a clean case: each sequence moved, in its own grid and slices, with a head and noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from DMAFTraining.benchmarking.scans_case import CleanCase
from DMAFTraining.benchmarking.scans_contrast import paint_head
from DMAFTraining.benchmarking.scans_head import Head
from DMAFTraining.benchmarking.scans_protocols import PLANES, Protocol
from DMAFTraining.inference.geometry import Grid, Matrix, Volume
from DMAFTraining.inference.resampling import resample

BRIGHTNESS = 400.0
"""Median of the brain in a raw scan, in whole numbers as a scanner writes them."""
_MARGIN_MM = 8.0  # air around the head


@dataclass(frozen=True)
class RawSettings:
    """What is done to a case.

    Attributes:
        protocols: of each sequence.
        still: sequences that are not moved.
        shift: longest shift of the head in mm; each sequence draws a length up to it, in any direction.
        angle: largest turn of the head in degrees, likewise, about any axis through the middle of the brain.
        tilt: largest angle in degrees by which the slices of a sequence are turned against the scanner.
        noise: deviation of the noise relative to the median of the brain.
    """

    protocols: Mapping[str, Protocol]
    still: tuple[str, ...] = ()
    shift: float = 15.0
    angle: float = 20.0
    tilt: float = 10.0
    noise: float = 0.02


@dataclass(frozen=True)
class RawScan:
    """One scan.

    Attributes:
        volume: the head as scanned, whole numbers.
        brain: ``(I, J, K)`` voxels at least half of which are brain.
        motion: 4x4 RAS matrix from where something is in the clean case to where it is in this scan.
        protocol: how it was scanned.
    """

    volume: Volume
    brain: NDArray[np.bool_]
    motion: Matrix
    protocol: Protocol

    @property
    def stripped(self) -> Volume:
        """The scan with exactly 0 outside the true brain."""
        array = np.where(self.brain, np.maximum(self.volume.array, 1), 0).astype(np.float32)
        return Volume(array, self.volume.grid)

    @property
    def grid_in_case(self) -> Grid:
        """Where the voxels of the scan lie in the clean case."""
        return Grid(self.volume.grid.size, np.linalg.inv(self.motion) @ self.volume.grid.ijk_to_ras)


def make_raw(case: CleanCase, head: Head, settings: RawSettings, rng: np.random.Generator) -> dict[str, RawScan]:
    """Scan every sequence of a case, each after another motion of the head."""
    middle = case.brain_positions().mean(axis=0)
    scans = {}
    for name, image in case.images.items():
        for_motion, for_tilt, for_noise = rng.spawn(3)
        still = name in settings.still
        motion = np.eye(4) if still else draw_motion(settings.shift, settings.angle, middle, for_motion)
        protocol = settings.protocols[name]
        grid = scan_grid(head, motion, protocol, settings.tilt, for_tilt)
        whole, median = _whole_head(image, head, name)
        signal, share = scan(np.stack([whole, head.brain.astype(np.float32)]), head.grid, motion, grid)
        noisy = add_noise(signal / median, settings.noise, for_noise)
        volume = Volume(np.rint(noisy * BRIGHTNESS).astype(np.float32), grid)
        scans[name] = RawScan(volume, share > 0.5, motion, protocol)
    return scans


def draw_motion(shift: float, angle: float, middle: Matrix, rng: np.random.Generator) -> Matrix:
    """A rigid motion, 4x4 RAS: a turn by at most ``angle`` degrees about ``middle``, then a shift by ``shift`` mm."""
    turn = Rotation.from_rotvec(np.deg2rad(rng.uniform(0, angle)) * _direction(rng)).as_matrix()
    motion = np.eye(4)
    motion[:3, :3] = turn
    motion[:3, 3] = middle - turn @ middle + rng.uniform(0, shift) * _direction(rng)
    return motion


def _direction(rng: np.random.Generator) -> Matrix:
    """A unit vector, every direction equally likely."""
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)


def scan_grid(head: Head, motion: Matrix, protocol: Protocol, tilt: float, rng: np.random.Generator) -> Grid:
    """Grid of a scan that covers the moved head."""
    turn = draw_motion(0.0, tilt, np.zeros(3), rng)[:3, :3]
    axes = turn @ np.array(PLANES[protocol.plane], float).T
    seen = np.argwhere(((head.tissue > 0) | head.brain)[::4, ::4, ::4]) * 4
    matrix = motion @ head.grid.ijk_to_ras
    along = (seen @ matrix[:3, :3].T + matrix[:3, 3]) @ axes
    low, high = along.min(axis=0) - _MARGIN_MM, along.max(axis=0) + _MARGIN_MM
    count = np.ceil((high - low) / protocol.spacing).astype(int) + 1
    placed = np.eye(4)
    placed[:3, :3] = axes * np.array(protocol.spacing)
    placed[:3, 3] = axes @ low
    return Grid((int(count[0]), int(count[1]), int(count[2])), placed)


def scan(images: NDArray[np.float32], source: Grid, motion: Matrix, grid: Grid) -> NDArray[np.float32]:
    """Images ``(C, *source.size)`` of a moved head on the grid of a scan: each voxel is the mean over its extent.

    The mean is taken of linear interpolations about as dense as the source.
    """
    counts = [max(1, round(step / min(source.spacing))) for step in grid.spacing]
    matrix = grid.ijk_to_ras @ np.diag([*(1 / n for n in counts), 1.0])
    matrix[:3, 3] = grid.ijk_to_ras[:3, :3] @ [0.5 / n - 0.5 for n in counts] + grid.ijk_to_ras[:3, 3]
    size = [n * many for n, many in zip(grid.size, counts, strict=True)]
    fine = Grid((size[0], size[1], size[2]), matrix)
    sampled = resample(torch.from_numpy(images), Grid(source.size, motion @ source.ijk_to_ras), fine).numpy()
    split = [part for pair in zip(grid.size, counts, strict=True) for part in pair]
    return sampled.reshape(len(images), *split).mean(axis=(2, 4, 6))


def add_noise(signal: NDArray[np.float32], sigma: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Magnitude of a signal with noise of deviation ``sigma`` in its real and imaginary part (Rician)."""
    real, imaginary = rng.standard_normal((2, *signal.shape), np.float32) * np.float32(sigma)
    return np.hypot(signal + real, imaginary)


def _whole_head(image: Volume, head: Head, name: str) -> tuple[NDArray[np.float32], float]:
    """Brain of the case and painted head on the head's grid, and the median of the brain."""
    brain = resample(torch.from_numpy(image.array)[None], image.grid, head.grid)[0].numpy()
    median = float(np.median(image.array[image.array > 0]))
    return np.where(head.brain, np.maximum(brain, 0), paint_head(head, name) * median), median
