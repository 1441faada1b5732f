"""The inside of a core: where it enhances, where it is solid tumor, where it is necrosis or fluid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, special

from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tumor_plan import Plan, Wall
from DMAFTraining.data.simulation.types import BoolArray, FloatArray


def draw_inside(plan: Plan, core: BoolArray, grid: Grid, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Two shares, 0 to 1 (X, Y, Z): of each voxel what enhances, and of the rest what is solid tumor.

    What is neither is necrosis or cyst fluid.
    """
    depth = ndimage.distance_transform_edt(core) * grid.spacing - grid.spacing / 2.0
    if plan.kind == "ring":
        return _ring(plan.wall, depth, grid, rng)
    pockets = grid.noise(9.0, rng) + np.float32(0.5) * grid.noise(4.0, rng)
    if plan.kind == "solid":
        enhancing = _step(np.float32(rng.uniform(0.8, 2.2)) - pockets, 0.3)
        return np.where(depth > 2.0, enhancing, 1.0).astype(np.float32), _share_field(rng, grid)
    spots = _step(pockets - np.float32(rng.uniform(1.5, 2.4)), 0.3) if rng.random() < 0.25 else np.zeros_like(pockets)
    cysts = _step(grid.noise(14.0, rng) - rng.uniform(0.3, 1.8), 0.25) if rng.random() < 0.35 else 0.0
    return spots, (1.0 - cysts * (depth > 2.0)).astype(np.float32)


def _ring(wall: Wall, depth: FloatArray, grid: Grid, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A wall around necrosis: uneven, with gaps, knots and septa, partly under tumor that does not enhance."""
    knots, fine, patches = grid.noise(9.0, rng), grid.noise(4.0, rng), grid.noise(16.0, rng)
    outer = wall.ragged * np.clip(grid.noise(18.0, rng) + 0.3 * fine, 0.0, 1.6)
    thickness = np.maximum(wall.rim + wall.uneven * (knots + 0.4 * fine), 0.35 * wall.rim)
    inner = outer + np.where(wall.gaps > 0, thickness * _step(patches - _quantile(wall.gaps), 0.4), thickness)
    width = max(wall.haze, grid.spacing)
    share = np.clip((inner - depth) / width + 0.5, 0.0, 1.0) * np.clip((depth - outer) / grid.spacing + 1.0, 0.0, 1.0)
    if wall.septa > 0:
        sheets = _sheets(wall.septa, grid, rng)
        share = np.maximum(share, np.clip(sheets, 0.0, 1.0) * (depth > outer))
    remnant = _share_field(rng, grid)
    solid = np.where(depth < outer, 1.0, np.where(depth < inner + width, np.maximum(remnant, 0.5), remnant))
    return share.astype(np.float32), solid.astype(np.float32)


def _sheets(half_width: float, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Curved sheets, 1 inside and falling off over a voxel: where a smooth field is near 0."""
    scale = float(rng.uniform(12.0, 20.0))
    # A field of blobs of this size has a slope of about 1.2 / scale where it crosses 0.
    distance = np.abs(grid.noise(scale, rng)) * scale / 1.2
    return ((half_width - distance) / grid.spacing + 0.5).astype(np.float32)


def _share_field(rng: np.random.Generator, grid: Grid) -> FloatArray:
    """Share of solid tumor among what does not enhance inside: often little, in patches."""
    return _step(grid.noise(10.0, rng) - rng.uniform(0.0, 2.5), 0.5)


def _step(field: FloatArray, width: float) -> FloatArray:
    """0 where a field is negative, 1 where it is positive, linear over ``width`` around 0."""
    return np.clip(field / width + 0.5, 0.0, 1.0).astype(np.float32)


def _quantile(share: float) -> float:
    """Value that a standard normal field stays under in this share of the voxels."""
    return float(special.ndtri(share))
