"""How bright tissues are in bSSFP, LGE and T2, and the ideal image that follows from it.

Values are relative to blood in bSSFP, to scar in LGE and to edema in T2. The ranges follow what the sequences are
made for: cine bSSFP weighs T2/T1; LGE nulls healthy myocardium after gadolinium (Kim et al., Circulation 100:1992,
1999); T2 imaging darkens blood and shows edema (Abdel-Aty et al., Circulation 109:2411, 2004). They are wide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.heart.heart_map import HeartMap
from DMAFTraining.data.simulation.heart.stack import Stack
from DMAFTraining.data.simulation.heart.tissue import Tissue
from DMAFTraining.data.simulation.types import FloatArray, LabelArray
from DMAFTraining.modalities import MYOPS

SEQUENCES = MYOPS.names

Range = tuple[float, float]

_RANGES: dict[Tissue, tuple[Range, Range, Range]] = {  # bSSFP, LGE, T2
    Tissue.AIR: ((0.0, 0.01), (0.0, 0.01), (0.0, 0.01)),
    Tissue.LUNG: ((0.04, 0.12), (0.04, 0.12), (0.03, 0.12)),
    Tissue.FAT: ((0.75, 1.15), (0.5, 1.0), (0.12, 0.8)),
    Tissue.MUSCLE: ((0.24, 0.36), (0.14, 0.3), (0.2, 0.38)),
    Tissue.MARROW: ((0.3, 0.55), (0.2, 0.45), (0.25, 0.55)),
    Tissue.SHELL: ((0.05, 0.2), (0.05, 0.2), (0.05, 0.2)),
    Tissue.LIVER: ((0.34, 0.55), (0.22, 0.5), (0.22, 0.45)),
    Tissue.SPLEEN: ((0.4, 0.65), (0.25, 0.55), (0.6, 1.0)),
    Tissue.STOMACH: ((0.3, 0.9), (0.1, 0.4), (0.3, 1.0)),
    Tissue.VESSEL: ((0.8, 1.05), (0.5, 0.8), (0.08, 0.4)),
    Tissue.FLUID: ((0.9, 1.2), (0.1, 0.3), (1.0, 1.5)),
    Tissue.LEFT_BLOOD: ((0.95, 1.05), (0.52, 0.82), (0.1, 0.4)),
    Tissue.MYOCARDIUM: ((0.3, 0.46), (0.08, 0.22), (0.42, 0.58)),
    Tissue.SCAR: ((0.34, 0.55), (0.92, 1.15), (0.75, 1.0)),
    Tissue.OBSTRUCTION: ((0.28, 0.45), (0.08, 0.28), (0.45, 0.8)),
}
_SWELLING: dict[str, Range] = {"bssfp": (1.02, 1.16), "lge": (1.0, 1.5), "t2": (1.55, 2.1)}  # edema over healthy
_RIGHT: dict[str, Range] = {"bssfp": (0.86, 1.04), "lge": (0.86, 1.08), "t2": (0.85, 1.5)}  # right over left blood
_SLOW: dict[str, Range] = {"bssfp": (-0.08, 0.0), "lge": (-0.04, 0.04), "t2": (0.05, 0.5)}  # added where blood is slow
_UNEVEN: dict[str, Range] = {"bssfp": (0.03, 0.07), "lge": (0.05, 0.12), "t2": (0.06, 0.14)}


def draw_contrast(sequence: str, rng: np.random.Generator) -> dict[Tissue, float]:
    """Brightness of every tissue in one scan."""
    column = SEQUENCES.index(sequence)
    values = {tissue: rng.uniform(*ranges[column]) for tissue, ranges in _RANGES.items()}
    values[Tissue.EDEMA] = values[Tissue.MYOCARDIUM] * rng.uniform(*_SWELLING[sequence])
    values[Tissue.RIGHT_BLOOD] = values[Tissue.LEFT_BLOOD] * rng.uniform(*_RIGHT[sequence])
    if sequence == "lge":
        values[Tissue.EDEMA] = min(values[Tissue.EDEMA], 0.9 * values[Tissue.LEFT_BLOOD])
    return values


def paint(sequence: str, chest: LabelArray, heart: HeartMap, stack: Stack, rng: np.random.Generator) -> FloatArray:
    """Ideal image of one sequence (X, Y, Z): chest by its labels, the heart by its shares.

    Args:
        sequence: one of :data:`SEQUENCES`.
        chest: values of :class:`Tissue` (X, Y, Z).
        heart: inside the window of the stack.
        stack: the grid.
        rng: source of randomness.
    """
    values = draw_contrast(sequence, rng)
    table = np.array([values[tissue] for tissue in Tissue], np.float32)
    image = table[chest]
    x, y = stack.window
    image[x, y] = _blend(image[x, y], heart, values, rng.uniform(*_SLOW[sequence]))
    coarse, fine = stack.noise(22.0, rng), stack.noise(5.0, rng)
    image *= 1.0 + np.float32(rng.uniform(*_UNEVEN[sequence]) / 1.2) * (coarse + np.float32(0.7) * fine)
    if sequence == "bssfp":
        image *= _fat_borders(chest, heart, stack, rng)
    return np.maximum(image, 0.0)


def _blend(around: FloatArray, heart: HeartMap, values: Mapping[Tissue, float], slow: float) -> FloatArray:
    image = around * (1.0 - np.sum(list(heart.shares.values()), axis=0))
    for tissue, share in heart.shares.items():
        image += np.float32(values[tissue]) * share
    blood = heart.shares[Tissue.LEFT_BLOOD] + heart.shares[Tissue.RIGHT_BLOOD]
    return image + np.float32(slow) * blood * heart.slow


def _fat_borders(chest: LabelArray, heart: HeartMap, stack: Stack, rng: np.random.Generator) -> FloatArray:
    """Dark lines between fat and water, whose signals cancel in bSSFP; a factor (X, Y, Z)."""
    fat = (chest == Tissue.FAT).astype(np.float32)
    x, y = stack.window
    rest = 1.0 - np.sum([s for t, s in heart.shares.items() if t != Tissue.FAT], axis=0) - heart.shares[Tissue.FAT]
    fat[x, y] = heart.shares[Tissue.FAT] + fat[x, y] * rest
    width = 0.7 / stack.pixel
    fat = ndimage.gaussian_filter(fat, (width, width, 0.0), truncate=2.5)
    return 1.0 - np.float32(rng.uniform(0.4, 0.85)) * (4.0 * fat * (1.0 - fat)) ** 2
