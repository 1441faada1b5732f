"""Lesions that are not a tumor: old demyelinated or ischemic spots and small cavities of white matter."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import FloatArray


def draw_lesions(tissues: TissueMap, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Two shares, 0 to 1 (X, Y, Z): lesion, and cavity inside it; no mass effect, nothing enhances.

    Either many oval spots, mostly beside the ventricles, or one or two larger scars at the cortex.
    """
    grid = tissues.pose.grid
    ventricles = tissues.is_any(Tissue.VENTRICLE)
    white = tissues.fraction(Tissue.WHITE)
    if rng.random() < 0.7:
        near = np.exp(-tissues.distance_to(ventricles) / rng.uniform(6.0, 20.0))
        field = grid.noise(rng.uniform(6.0, 14.0), rng) + 1.5 * near
        lesion = white * np.clip((field - rng.uniform(2.0, 2.8)) * 3.0, 0.0, 1.0)
        cavity = np.zeros_like(lesion)
    else:
        field = grid.noise(rng.uniform(14.0, 24.0), rng)
        room = tissues.fraction(Tissue.WHITE, Tissue.GRAY)
        threshold = float(np.quantile(field[white > 0.5], rng.uniform(0.96, 0.995))) if white.any() else 9.0
        lesion = room * np.clip((field - threshold) * 4.0, 0.0, 1.0)
        cavity = room * np.clip((field - threshold - rng.uniform(0.2, 0.6)) * 6.0, 0.0, 1.0)
    sigma = 0.6 / grid.spacing
    return ndimage.gaussian_filter(lesion, sigma), ndimage.gaussian_filter(cavity, sigma)
