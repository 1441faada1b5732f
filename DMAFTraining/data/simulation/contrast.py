"""MR contrast: mean brightness of tissues per sequence, relative to white matter.

The ranges follow published glioma appearance (Baid et al., arXiv:2107.02314; Menze et al., IEEE
TMI 34(10), 2015) and measured medians of healthy-looking tissue, and are wide on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.anatomy import Tissue
from DMAFTraining.data.simulation.look import TRAINING, Look, Range
from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.types import FloatArray

SEQUENCES = ("t1", "t1ce", "flair", "t2")

# Place of deep gray matter between white (0) and gray matter (1).
_DEEP: dict[str, Range] = {"t1": (0.3, 1.0), "t1ce": (0.3, 1.0), "flair": (0.1, 1.2), "t2": (-0.1, 1.0)}
# Relative to white matter (brain stem, cerebellar white) or to gray matter (cerebellar gray).
_STEM: dict[str, Range] = {"t1": (0.84, 1.05), "t1ce": (0.86, 1.08), "flair": (0.85, 1.25), "t2": (0.95, 1.35)}
_CEREBELLUM: dict[str, Range] = {"t1": (0.88, 1.1), "t1ce": (0.88, 1.12), "flair": (0.82, 1.15), "t2": (0.85, 1.15)}
_BORDER: dict[Tissue, dict[str, Range]] = {
    Tissue.CHOROID: {"t1": (0.4, 0.75), "t1ce": (0.7, 1.8), "flair": (0.7, 1.5), "t2": (1.6, 2.8)},
    Tissue.SINUS: {"t1": (0.25, 1.0), "t1ce": (1.6, 3.3), "flair": (0.2, 0.9), "t2": (0.15, 1.3)},
    Tissue.ARTERY: {"t1": (0.2, 1.4), "t1ce": (1.4, 3.2), "flair": (0.15, 0.7), "t2": (0.1, 0.6)},
    Tissue.GLAND: {"t1": (0.8, 1.1), "t1ce": (1.4, 2.4), "flair": (0.8, 1.2), "t2": (0.9, 1.5)},
    Tissue.FALX: {"t1": (0.25, 0.7), "t1ce": (0.4, 1.4), "flair": (0.3, 1.0), "t2": (0.7, 2.0)},
    Tissue.DURA: {"t1": (0.25, 0.8), "t1ce": (0.5, 1.7), "flair": (0.3, 1.1), "t2": (0.4, 1.6)},
    Tissue.BONE: {"t1": (0.03, 0.3), "t1ce": (0.03, 0.3), "flair": (0.03, 0.25), "t2": (0.03, 0.3)},
    Tissue.MARROW: {"t1": (0.5, 1.7), "t1ce": (0.5, 1.8), "flair": (0.3, 1.1), "t2": (0.4, 1.3)},
    Tissue.SCALP: {"t1": (0.5, 1.5), "t1ce": (0.6, 1.7), "flair": (0.4, 1.3), "t2": (0.4, 1.5)},
    Tissue.SKIN: {"t1": (0.7, 1.6), "t1ce": (0.7, 1.7), "flair": (0.4, 1.2), "t2": (0.4, 1.2)},
    Tissue.EYE: {"t1": (0.1, 0.4), "t1ce": (0.1, 0.4), "flair": (0.1, 0.5), "t2": (2.2, 3.6)},
}


def draw_tissue(sequence: str, rng: np.random.Generator, look: Look = TRAINING) -> dict[Tissue, float]:
    """Mean value of every tissue in one sequence, white matter = 1."""
    gray, fluid = (rng.uniform(*span) for span in look.protocols[sequence][rng.integers(2)])
    values = {
        Tissue.WHITE: 1.0,
        Tissue.GRAY: gray,
        Tissue.CSF: fluid,
        Tissue.VENTRICLE: fluid * rng.uniform(0.85, 1.1),
        Tissue.DEEP_GRAY: 1.0 + (gray - 1.0) * rng.uniform(*_DEEP[sequence]),
        Tissue.BRAINSTEM: rng.uniform(*_STEM[sequence]),
        Tissue.CEREBELLUM_WHITE: rng.uniform(*_CEREBELLUM[sequence]),
        Tissue.CEREBELLUM_GRAY: gray * rng.uniform(*_CEREBELLUM[sequence]),
    }
    values.update({tissue: rng.uniform(*ranges[sequence]) for tissue, ranges in _BORDER.items()})
    return values


@dataclass(frozen=True)
class Texture:
    """Random fields shared by the sequences of a case (X, Y, Z): the same tissue is uneven in all of them."""

    coarse: FloatArray
    middle: FloatArray
    fine: FloatArray


def draw_texture(grid: Grid, rng: np.random.Generator) -> Texture:
    """Random fields with blobs of about 25, 8 and 3 mm."""
    return Texture(grid.noise(25.0, rng), grid.noise(8.0, rng), grid.noise(3.0, rng))
