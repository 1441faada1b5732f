"""Flow of blood and fluid as scanners see it: bright or dark CSF, and ghosts of vessels in the phase direction."""

from __future__ import annotations

import numpy as np

from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.types import FloatArray

_PULSING = {"flair": 0.35, "t2": 0.25}
_GHOSTS = 4


def add_fluid_flow(
    image: FloatArray, fluid: FloatArray, sequence: str, grid: Grid, rng: np.random.Generator
) -> FloatArray:
    """Fluid that moves: patches of it bright on FLAIR and dark on T2, in some scans.

    Args:
        image: brightness, white matter 1 (X, Y, Z).
        fluid: share of CSF in each voxel.
        sequence: name of the sequence; others than FLAIR and T2 stay as they are.
        grid: the voxel grid.
        rng: source of randomness.
    """
    if rng.random() >= _PULSING.get(sequence, 0.0):
        return image
    low = np.linspace(1.0, 0.3, grid.shape[2], dtype=np.float32)  # flow is fastest in the cisterns at the base
    moving = fluid * low * np.clip(grid.noise(rng.uniform(12.0, 25.0), rng) - rng.uniform(-0.3, 0.8), 0.0, 1.0)
    if sequence == "flair":
        return image + moving * rng.uniform(0.3, 1.2)
    return image * (1.0 - moving * rng.uniform(0.3, 0.8))


def add_ghosts(image: FloatArray, blood: FloatArray, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Copies of pulsing blood beside it in the phase direction (left-right or front-back), in some scans.

    Args:
        image: brightness (X, Y, Z).
        blood: share of blood in each voxel, as bright as it is in the image.
        grid: the voxel grid.
        rng: source of randomness.
    """
    if rng.random() >= 0.25:
        return image
    axis = int(rng.choice(2, p=[0.7, 0.3]))
    step = rng.uniform(14.0, 45.0) / grid.spacing
    ghosts = np.zeros_like(image)
    for order in range(-_GHOSTS, _GHOSTS + 1):
        if order:
            ghosts += rng.choice([-1.0, 1.0]) / abs(order) * np.roll(blood, round(order * step), axis)
    return np.clip(image + rng.uniform(0.03, 0.15) * ghosts, 0.02, None)
