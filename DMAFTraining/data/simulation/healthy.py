"""The head without tumor: tissue contrast, texture, vessels, and bright spots that are not tumor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.anatomy import PARENCHYMA, Tissue
from DMAFTraining.data.simulation.contrast import SEQUENCES, Texture, draw_tissue
from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.types import FloatArray

_VESSEL = {"t1": (0.3, 1.1), "t1ce": (1.3, 2.6), "flair": (0.3, 1.3), "t2": (0.2, 1.2)}


@dataclass(frozen=True)
class Extras:
    """Things beside plain tissue, each a share 0 to 1 (X, Y, Z).

    Attributes:
        vessels: tubes in the CSF spaces and on the cortex.
        spots: white-matter hyperintensities and periventricular caps.
        clump: where choroid plexus, sinuses and dura are thick or bright.
    """

    vessels: FloatArray
    spots: FloatArray
    clump: FloatArray


def draw_extras(tissues: TissueMap, rng: np.random.Generator) -> Extras:
    """Draw vessels and bright spots for a tissue map."""
    grid = tissues.pose.grid
    tube = grid.noise(rng.uniform(14.0, 24.0), rng) ** 2 + grid.noise(rng.uniform(14.0, 24.0), rng) ** 2
    width = rng.uniform(0.07, 0.2)
    # Tubes end in brain tissue: only thin veins run through it.
    room = tissues.fraction(Tissue.CSF) + 0.25 * tissues.fraction(Tissue.GRAY)
    # Little in white matter: closed loops of a tube would pass for an unlabeled enhancing ring.
    room += rng.uniform(0.0, 0.06) * tissues.fraction(Tissue.WHITE)
    vessels = np.exp(-tube / width**2 / 2.0) * np.clip(1.6 * room, 0.0, 1.0)
    white = tissues.fraction(Tissue.WHITE)
    spots = np.zeros(grid.shape, np.float32)
    if rng.random() < 0.5:
        near = tissues.distance_to(tissues.is_any(Tissue.VENTRICLE))
        reach = rng.uniform(1.5, 5.0) * np.exp(0.4 * grid.noise(15.0, rng))
        spots += white * np.clip((reach - near) / 2.0 + 0.5, 0.0, 1.0) * rng.uniform(0.3, 1.0)
    if rng.random() < 0.4:
        blobs = grid.noise(rng.uniform(5.0, 9.0), rng) + 0.5 * grid.noise(40.0, rng)
        spots += white * np.clip((blobs - rng.uniform(2.2, 3.0)) * 3.0, 0.0, 1.0)
    clump = np.clip(0.75 + 0.45 * grid.noise(10.0, rng), 0.15, 1.4)
    return Extras(vessels.astype(np.float32), np.clip(spots, 0.0, 1.0).astype(np.float32), clump.astype(np.float32))


def paint_healthy(
    tissues: TissueMap, extras: Extras, texture: Texture, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Images of the head without tumor for every sequence, white matter about 1 (X, Y, Z)."""
    lively = tissues.fraction(*PARENCHYMA)
    border = tissues.fraction(Tissue.CHOROID, Tissue.SINUS, Tissue.FALX, Tissue.DURA)
    images = {}
    for name in SEQUENCES:
        values = draw_tissue(name, rng)
        image = tissues.paint(values)
        signs = rng.choice([-1.0, 1.0], 3)
        strength = rng.uniform(0.005, 0.035, 3)
        image *= 1.0 + lively * (
            strength[0] * signs[0] * texture.coarse
            + strength[1] * signs[1] * texture.middle
            + strength[2] * signs[2] * texture.fine
        )
        image *= 1.0 + border * (extras.clump - 1.0)
        vessel = rng.uniform(*_VESSEL[name])
        image += extras.vessels * (vessel - image)
        image += extras.spots * _spot_gain(name, rng)
        images[name] = np.clip(image, 0.02, None).astype(np.float32)
    return images


def _spot_gain(name: str, rng: np.random.Generator) -> float:
    ranges = {"t1": (-0.2, 0.0), "t1ce": (-0.2, 0.0), "flair": (0.2, 0.9), "t2": (0.15, 0.8)}
    return float(rng.uniform(*ranges[name]))
