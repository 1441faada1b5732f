"""Edema: fluid that runs along white matter, spares cortex and stops at the CSF."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.front import arrival_times, first_reached
from DMAFTraining.data.simulation.shape import Grid, Pose
from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.tumor_plan import Plan
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

_FARTHEST_MM = 75.0
_SMALLEST_ISLAND_ML = 0.1
_SPEED = {
    Tissue.WHITE: 1.0,
    Tissue.DEEP_GRAY: 0.12,
    Tissue.BRAINSTEM: 0.3,
    Tissue.GRAY: 0.07,
    Tissue.CEREBELLUM_WHITE: 0.05,
    Tissue.CSF: 0.02,
}
_AFFINITY = {
    Tissue.WHITE: 1.0,
    Tissue.BRAINSTEM: 0.8,
    Tissue.CEREBELLUM_WHITE: 0.8,
    Tissue.DEEP_GRAY: 0.55,
    Tissue.GRAY: 0.3,
}
"""How much fluid each tissue takes up beside white matter."""


def grow_edema(plan: Plan, core: BoolArray, labels: LabelArray, pose: Pose, rng: np.random.Generator) -> FloatArray:
    """Distance in mm to the outer border of the edema along the tissue, before anything swells; negative inside.

    Args:
        plan: what to grow.
        core: the core (X, Y, Z).
        labels: values of :class:`Tissue` (X, Y, Z).
        pose: where the voxels come from.
        rng: source of randomness.
    """
    grid = pose.grid
    table = np.full(max(Tissue) + 1, 0.0, np.float32)
    for tissue, value in _SPEED.items():
        table[tissue] = value
    roughness = rng.uniform(0.4, 0.9)
    speed = table[labels] * np.exp(roughness * (0.8 * grid.noise(18.0, rng) + 0.5 * grid.noise(7.0, rng)))
    home = float(pose.side()[core].mean()) if core.any() else 0.0
    across = pose.side() * np.sign(home) < -1.0
    speed[across] *= 0.7 if plan.crosses else 0.2
    speed[core] = 50.0
    border = np.argwhere(core & ~ndimage.binary_erosion(core))
    arrival = arrival_times(speed.astype(np.float32), border, grid.spacing, _FARTHEST_MM)
    wet = (labels == Tissue.WHITE) & ~core
    count = round((plan.edema_ml - plan.swollen_ml) * 1000.0 / grid.spacing**3)
    extent = first_reached(arrival, wet, count) if count > 0 else -plan.fade
    return np.minimum(arrival, extent + 20.0) - np.float32(extent)


def edema_strength(
    plan: Plan, beyond: FloatArray, core: BoolArray, tissues: TissueMap, rng: np.random.Generator
) -> FloatArray:
    """Strength of the edema, 0 to 1 (X, Y, Z), in the swollen brain; a rater's border lies at 0.5.

    Args:
        plan: what was grown.
        beyond: distance to the outer border of the edema in mm, negative inside (X, Y, Z).
        core: the core (X, Y, Z); counts as full, so that no dark gap is left around it.
        tissues: the swollen brain.
        rng: source of randomness.
    """
    grid = tissues.pose.grid
    if plan.edema_ml <= 0:
        return np.zeros(grid.shape, np.float32)
    profile = np.clip(0.5 - beyond / max(plan.fade, grid.spacing), 0.0, 1.0)
    # Weaker patches and a decline to the outside, but never below what a rater would still call edema.
    patches = rng.uniform(0.0, 0.15) * (grid.noise(20.0, rng) + 0.7 * grid.noise(7.0, rng))
    decline = rng.uniform(0.0, 0.3) * np.exp(np.minimum(beyond, 0.0) / 10.0)
    strength = profile * np.clip(1.0 - decline - np.abs(patches), 0.6, 1.0) * tissues.paint(_AFFINITY)
    strength = np.where(core, 1.0, strength).astype(np.float32)
    return ndimage.gaussian_filter(strength, 0.9 / grid.spacing)


def edema_mask(strength: FloatArray, core: BoolArray, room: BoolArray, grid: Grid) -> BoolArray:
    """What a rater would outline as edema: at least half as strong as edema gets, without crumbs."""
    pieces, count = ndimage.label(((strength > 0.5) & room) | core)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1) * grid.spacing**3 / 1000.0
    keep = sizes >= _SMALLEST_ISLAND_ML
    keep[0] = False
    return keep[pieces] & ~core
