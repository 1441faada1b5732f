"""What healthy and aging white matter shows: bright caps and spots around ventricles, and perivascular spaces."""

from __future__ import annotations

import numpy as np

from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import FloatArray

_DEEP_MM = 14.0


def draw_spots(tissues: TissueMap, rng: np.random.Generator) -> FloatArray:
    """Strength of white-matter hyperintensities, 0 to 1: a rim and caps at the ventricles, and spots of any load."""
    grid = tissues.pose.grid
    white = tissues.fraction(Tissue.WHITE)
    distance = tissues.distance_to(tissues.is_any(Tissue.VENTRICLE))
    rim = np.clip(1.0 - distance / rng.uniform(1.5, 3.5), 0.0, 1.0) * rng.uniform(0.1, 0.7)
    reach = 7.0 * rng.random() ** 3 * np.clip(0.4 + 0.8 * grid.noise(18.0, rng), 0.0, None)
    caps = np.clip((reach - distance) / 2.5 + 0.5, 0.0, 1.0) * np.clip(reach, 0.0, 1.0) * rng.uniform(0.3, 1.0)
    spots = np.maximum(rim, caps)
    if rng.random() < 0.6:
        blobs = grid.noise(rng.uniform(4.0, 8.0), rng) + 0.5 * grid.noise(40.0, rng)
        # Spots are commonest around the ventricles and rare below the cortex.
        blobs -= 0.5 * np.clip(distance / _DEEP_MM - 0.5, 0.0, 1.5)
        spots = np.maximum(spots, np.clip((blobs - rng.uniform(1.8, 3.2)) * 2.0, 0.0, 1.0) * rng.uniform(0.4, 1.0))
    return (white * spots).astype(np.float32)


def draw_perivascular(tissues: TissueMap, rng: np.random.Generator) -> FloatArray:
    """Share of fluid around small vessels of white and deep gray matter: thin threads, in some people many."""
    grid = tissues.pose.grid
    if rng.random() < 0.5:
        return np.zeros(grid.shape, np.float32)
    scale = rng.uniform(6.0, 10.0)
    away = grid.noise(scale, rng) ** 2 + grid.noise(scale, rng) ** 2
    threads = np.exp(-away / (2.0 * rng.uniform(0.12, 0.22) ** 2))
    patches = np.clip(grid.noise(25.0, rng) - rng.uniform(-0.5, 1.0), 0.0, 1.0)
    return (0.5 * threads * patches * tissues.fraction(Tissue.WHITE, Tissue.DEEP_GRAY)).astype(np.float32)
