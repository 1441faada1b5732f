"""The outline of a tumor core: lumps that grow along the tissue."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.front import arrival_times, first_reached
from DMAFTraining.data.simulation.shape import Grid, Pose
from DMAFTraining.data.simulation.tissue_map import largest_piece, skull_depth
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.tumor_plan import Plan
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

_SPEED = {
    Tissue.WHITE: 1.0,
    Tissue.GRAY: 0.6,
    Tissue.DEEP_GRAY: 0.6,
    Tissue.BRAINSTEM: 0.25,
    Tissue.CSF: 0.15,
    Tissue.VENTRICLE: 0.03,
}
_OUTSIDE_MM = 1.5
_MIDDLE_MM = 3.0


def grow_cores(plan: Plan, labels: LabelArray, pose: Pose, rng: np.random.Generator) -> FloatArray:
    """Share of core in each voxel before it pushes tissue aside, 0 to 1 (X, Y, Z).

    Args:
        plan: what to grow; the volume that pushes is left out.
        labels: values of :class:`Tissue` (X, Y, Z).
        pose: where the voxels come from.
        rng: source of randomness.

    Raises:
        ValueError: the map holds no white matter.
    """
    places = _places(labels, rng)
    first = places[rng.integers(len(places))]
    spacing = pose.grid.spacing
    shares = np.concatenate([[1.0], rng.uniform(0.08, 0.6, plan.foci - 1), rng.uniform(0.002, 0.03, plan.satellites)])
    ranges = [(12.0, 50.0)] * (plan.foci - 1) + [(8.0, 32.0)] * plan.satellites
    volume = plan.core_ml - plan.pushed_ml
    radius = _radius(volume)
    centers = [first, *(_near(first, places, radius + low, radius + high, spacing, rng) for low, high in ranges)]
    ease, side = _ease(labels, spacing), pose.side()
    total = np.zeros(labels.shape, np.float32)
    for center, share in zip(centers, shares / shares.sum(), strict=True):
        radius = _radius(float(share) * volume)
        box = _box(center, 3.0 * radius + 5.0 * spacing, spacing, labels.shape)
        speed = np.where(_allowed(plan.crosses, side, labels, center)[box], ease[box], 0.0)
        start = center - [part.start for part in box]
        grown = _grow_one(plan, start, radius, speed, spacing, rng)
        total[box] = np.maximum(total[box], grown)
    return total


def _radius(volume_ml: float) -> float:
    """Radius in mm of a ball of this volume."""
    return float((3000.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0))


def _places(labels: LabelArray, rng: np.random.Generator) -> np.ndarray:
    """Voxels where a tumor may start: white matter, in 6 % of the cases deep gray matter."""
    places = np.argwhere(labels == Tissue.WHITE)
    deep = np.argwhere(labels == Tissue.DEEP_GRAY)
    if len(deep) and rng.random() < 0.06:
        places = deep
    if not len(places):
        raise ValueError("The anatomy holds no white matter to place a tumor in.")
    return places


def _near(
    center: np.ndarray, places: np.ndarray, low: float, high: float, spacing: float, rng: np.random.Generator
) -> np.ndarray:
    """One of the places between ``low`` and ``high`` mm from a center; the center itself if there is none."""
    distance = np.sqrt(((places - center) ** 2).sum(axis=1)) * spacing
    found = places[(distance >= low) & (distance <= high)]
    return found[rng.integers(len(found))] if len(found) else center


def _box(center: np.ndarray, reach: float, spacing: float, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of a grid that is within ``reach`` mm of a voxel along each axis."""
    voxels = int(np.ceil(reach / spacing))
    return tuple(
        slice(max(0, int(c) - voxels), min(n, int(c) + voxels + 1)) for c, n in zip(center, shape, strict=True)
    )


def _ease(labels: LabelArray, spacing: float) -> FloatArray:
    """How fast a core grows in each tissue; nothing in the falx and next to the skull."""
    table = np.zeros(max(Tissue) + 1, np.float32)
    for tissue, value in _SPEED.items():
        table[tissue] = value
    return np.where(skull_depth(labels, spacing) < _OUTSIDE_MM, np.float32(0.0), table[labels])


def _allowed(crosses: bool, side: FloatArray, labels: LabelArray, center: np.ndarray) -> BoolArray:
    """Where a core from this center may grow: its hemisphere, or white matter on both sides."""
    home = float(side[tuple(center)])
    if abs(home) < _MIDDLE_MM:
        return np.ones(side.shape, bool)
    same = side * np.sign(home) > 0
    return same | (labels == Tissue.WHITE) if crosses else same


def _grow_one(
    plan: Plan, center: np.ndarray, radius: float, speed: FloatArray, spacing: float, rng: np.random.Generator
) -> FloatArray:
    """One core of this radius: fronts from a few nearby lumps, with a speed that is uneven in space."""
    grid = Grid(speed.shape, spacing)
    coarse, fine = grid.noise(max(5.0, 0.8 * radius), rng), grid.noise(max(3.0, 0.3 * radius), rng)
    uneven = (speed * np.exp(plan.rough * (0.5 * coarse + 0.35 * fine))).astype(np.float32)
    places = np.argwhere(speed > 0.2)
    lumps = [center, *(_near(center, places, 0.0, 0.9 * radius, spacing, rng) for _ in range(plan.lobes - 1))]
    delays = [0.0, *rng.uniform(0.0, 0.6 * radius, plan.lobes - 1)]
    arrival = arrival_times(uneven, np.array(lumps), spacing, 3.0 * radius + 4.0 * spacing, delays)
    ground = speed > 0.0
    limit = first_reached(arrival, ground, round(4.0 / 3.0 * np.pi * radius**3 / spacing**3))
    mask = (ground & (arrival <= limit)).astype(np.float32)
    smooth = ndimage.gaussian_filter(mask, min(1.0, 0.3 * radius) / spacing)
    return np.where(largest_piece(smooth > 0.5), smooth, np.minimum(smooth, 0.5)).astype(np.float32)
