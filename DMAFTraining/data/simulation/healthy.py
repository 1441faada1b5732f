"""The head without tumor: tissue contrast, texture, vessels, and bright things that are not tumor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.contrast import SEQUENCES, Texture, draw_tissue
from DMAFTraining.data.simulation.flow import add_fluid_flow, add_ghosts
from DMAFTraining.data.simulation.look import TRAINING, Look, Range
from DMAFTraining.data.simulation.tissue_map import TissueMap, brain_hull
from DMAFTraining.data.simulation.tissues import FLUID, PARENCHYMA, Tissue
from DMAFTraining.data.simulation.types import FloatArray
from DMAFTraining.data.simulation.vessels import Vessels, draw_vessels
from DMAFTraining.data.simulation.white_matter import draw_perivascular, draw_spots

_ARTERY: dict[str, Range] = {"t1": (0.2, 0.9), "t1ce": (1.5, 3.2), "flair": (0.1, 0.7), "t2": (0.1, 0.7)}
_VEIN: dict[str, Range] = {"t1": (0.3, 0.9), "t1ce": (1.6, 3.3), "flair": (0.3, 1.1), "t2": (0.3, 1.5)}
_SPOT: dict[str, Range] = {"t1": (-0.25, 0.0), "t1ce": (-0.2, 0.0), "flair": (0.2, 0.9), "t2": (0.15, 0.8)}
_MESIAL_FLAIR: Range = (0.0, 0.14)
_BORDER = (Tissue.CHOROID, Tissue.SINUS, Tissue.ARTERY, Tissue.FALX, Tissue.DURA)


@dataclass(frozen=True)
class Extras:
    """Things beside plain tissue, each a share of the voxel (X, Y, Z).

    Attributes:
        vessels: arteries and veins.
        spots: strength of white-matter hyperintensities, 0 to 1.
        perivascular: fluid around small vessels.
        atrophy: cortex replaced by CSF; negative where sulci are narrower than in the tissue map.
        thickness: white matter replaced by cortex; negative for thinner cortex.
        folia: fluid between the leaves of the cerebellum.
        mesial: cortex far from the skull (insula, cingulate, hippocampus).
        clump: factor on choroid plexus, sinuses and membranes, which are thick here and thin there.
    """

    vessels: Vessels
    spots: FloatArray
    perivascular: FloatArray
    atrophy: FloatArray
    thickness: FloatArray
    folia: FloatArray
    mesial: FloatArray
    clump: FloatArray


def draw_extras(tissues: TissueMap, rng: np.random.Generator) -> Extras:
    """Draw what makes one head differ from another with the same tissue map."""
    grid = tissues.pose.grid
    hull = brain_hull(tissues.labels, grid.spacing)
    gray, white = tissues.fraction(Tissue.GRAY), tissues.fraction(Tissue.WHITE)
    fluid = tissues.fraction(Tissue.CSF)
    # From brains that fill their skull to shrunken ones: sulci almost closed, or half as wide again as in the map.
    gain = rng.uniform(-0.95, 0.6) * np.exp(0.3 * grid.noise(40.0, rng))
    return Extras(
        vessels=draw_vessels(tissues, hull, rng),
        spots=draw_spots(tissues, rng),
        perivascular=draw_perivascular(tissues, rng),
        atrophy=np.clip(fluid * gain, -fluid, gray).astype(np.float32),
        thickness=(np.minimum(gray, white) * rng.uniform(-0.6, 0.5)).astype(np.float32),
        folia=_draw_folia(tissues, rng),
        mesial=gray * np.clip((-hull - 14.0) / 6.0, 0.0, 1.0),
        clump=np.clip(0.85 + 0.35 * grid.noise(10.0, rng), 0.2, 1.4).astype(np.float32),
    )


def _draw_folia(tissues: TissueMap, rng: np.random.Generator) -> FloatArray:
    """Thin fissures in cerebellar cortex, roughly on shells around the brain stem."""
    grid = tissues.pose.grid
    stem = tissues.is_any(Tissue.BRAINSTEM)
    if not stem.any():
        return np.zeros(grid.shape, np.float32)
    middle = ndimage.center_of_mass(stem)
    from_stem = grid.positions() - grid.positions()[(slice(None), *(round(m) for m in middle))][:, None, None, None]
    radius = np.sqrt((from_stem**2).sum(axis=0)) + 2.5 * grid.noise(14.0, rng)
    wave = np.cos(2.0 * np.pi * radius / max(rng.uniform(4.5, 6.5), 2.2 * grid.spacing))
    depth = rng.uniform(0.05, 0.35)
    return depth * np.clip(2.0 * wave - 1.0, 0.0, 1.0) * tissues.fraction(Tissue.CEREBELLUM_GRAY)


def paint_healthy(
    tissues: TissueMap, extras: Extras, texture: Texture, rng: np.random.Generator, look: Look = TRAINING
) -> dict[str, FloatArray]:
    """Images of the head without tumor for every sequence, white matter about 1 (X, Y, Z)."""
    lively, border, fluid = tissues.fraction(*PARENCHYMA), tissues.fraction(*_BORDER), tissues.fraction(*FLUID)
    sinus = tissues.fraction(Tissue.SINUS)
    images = {}
    for name in SEQUENCES:
        values = draw_tissue(name, rng, look)
        image = tissues.paint(values)
        image += extras.atrophy * (values[Tissue.CSF] - values[Tissue.GRAY])
        image += extras.thickness * (values[Tissue.GRAY] - values[Tissue.WHITE])
        image += extras.folia * (values[Tissue.CSF] - values[Tissue.CEREBELLUM_GRAY])
        image *= 1.0 + lively * _draw_unevenness(texture, rng)
        image *= 1.0 + border * (extras.clump - 1.0)
        if name == "flair":
            image *= 1.0 + extras.mesial * rng.uniform(*_MESIAL_FLAIR)
        image += extras.spots * rng.uniform(*_SPOT[name])
        image += extras.perivascular * (values[Tissue.CSF] - image)
        image = add_fluid_flow(image, np.clip(fluid + extras.atrophy, 0.0, 1.0), name, tissues.pose.grid, rng)
        vein = rng.uniform(*_VEIN[name])
        image += extras.vessels.veins * (vein - image)
        image += extras.vessels.arteries * (rng.uniform(*_ARTERY[name]) - image)
        blood = sinus * values[Tissue.SINUS] + extras.vessels.veins * vein
        image = add_ghosts(image, blood, tissues.pose.grid, rng)
        images[name] = np.clip(image, 0.02, None).astype(np.float32)
    return images


def _draw_unevenness(texture: Texture, rng: np.random.Generator) -> FloatArray:
    """Relative change of brightness inside tissue, from the fields that the sequences share."""
    signs, strength = rng.choice([-1.0, 1.0], 3), rng.uniform(0.005, 0.035, 3)
    coarse, middle, fine = signs * strength
    return coarse * texture.coarse + middle * texture.middle + fine * texture.fine
