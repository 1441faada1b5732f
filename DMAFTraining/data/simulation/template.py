"""A tissue map from the ICBM 152 average brain that nilearn carries: works without any other data."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import MARGIN_MM, Anatomy, Tissue, add_dura, add_falx, brain_box, shifted
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray, Matrix


def load_icbm152() -> Anatomy:
    """Anatomy of the ICBM 152 average brain (Fonov et al., NeuroImage 54(1), 2011), 1 mm.

    White and gray matter come from the template's tissue probabilities; ventricles, deep gray
    matter, brain stem and cerebellum from their place in MNI space.
    """
    from nilearn import datasets  # heavy import, and only this function needs it

    white = datasets.load_mni152_wm_template(resolution=1)
    maps = [white, datasets.load_mni152_gm_template(resolution=1), datasets.load_mni152_brain_mask(resolution=1)]
    # The margin is put on before anything is measured, and everything beyond it cut off.
    arrays = [np.pad(np.asarray(image.dataobj, dtype=np.float32), MARGIN_MM) for image in maps]
    affine = np.array(white.affine, dtype=np.float64)
    affine[:3, 3] -= MARGIN_MM * affine[:3, :3].sum(axis=1)
    box = brain_box(arrays[2] > 0)
    affine = shifted(affine, box)
    brain = ndimage.binary_fill_holes(arrays[2][box] > 0)
    tissue = classify_regions(arrays[0][box], arrays[1][box], brain, affine)
    world = world_coordinates(tissue.shape, affine)
    cortex = tissue == Tissue.GRAY
    add_falx(tissue, cortex & (world[0] < 0), cortex & (world[0] > 0))
    _add_sinus(tissue, brain, world)
    add_dura(tissue)
    return Anatomy("icbm152", tissue, affine)


def world_coordinates(shape: tuple[int, ...], affine: Matrix) -> FloatArray:
    """World positions in mm, (3, X, Y, Z), of a grid whose axes run along the world axes."""
    axes = [np.arange(size) * affine[axis, axis] + affine[axis, 3] for axis, size in enumerate(shape)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def classify_regions(white: FloatArray, gray: FloatArray, brain: BoolArray, affine: Matrix) -> LabelArray:
    """Tissue map from white and gray matter probabilities (X, Y, Z) of a brain in MNI space."""
    world = world_coordinates(brain.shape, affine)
    tissue = np.zeros(brain.shape, np.uint8)
    tissue[brain] = Tissue.CSF
    tissue[brain & (gray > 0.3) & (gray >= white)] = Tissue.GRAY
    tissue[brain & (white > 0.3) & (white > gray)] = Tissue.WHITE
    x, y, z = np.abs(world[0]), world[1], world[2]
    stem = (x < 17) & (y < -12) & (y > -46) & (z < -10 - (y + 28) * 0.3) & ((x / 17) ** 2 + ((y + 27) / 15) ** 2 < 1)
    behind = (y < -34) & (z < -14 - (y + 34) * 0.12) & (x < 58) & (z < -12 + (-y - 34) * 0.05)
    cerebellum = behind & ~stem
    inner = ((x / 30) ** 2 + ((y + 2) / 42) ** 2 + ((z - 12) / 22) ** 2) < 1
    deep = (x < 34) & (y > -32) & (y < 22) & (z > -8) & (z < 22) & (tissue == Tissue.GRAY)
    # The insula lies in the same box, but nearer to the surface.
    deep &= ndimage.distance_transform_edt(brain) > 22
    tissue[deep] = Tissue.DEEP_GRAY
    tissue[(tissue == Tissue.CSF) & inner & (z > -6)] = Tissue.VENTRICLE
    tissue[cerebellum & (tissue == Tissue.WHITE)] = Tissue.CEREBELLUM_WHITE
    tissue[cerebellum & (tissue == Tissue.GRAY)] = Tissue.CEREBELLUM_GRAY
    tissue[stem & np.isin(tissue, (Tissue.WHITE, Tissue.GRAY))] = Tissue.BRAINSTEM
    return tissue


def _add_sinus(tissue: LabelArray, brain: BoolArray, world: FloatArray) -> None:
    """Superior sagittal, straight and transverse sinuses as CSF turned into ``SINUS``, in place."""
    x, y, z = np.abs(world[0]), world[1], world[2]
    rim = ~ndimage.binary_erosion(brain, iterations=7)
    sagittal = rim & (x < 4) & ((z > 30) | (y < -70)) & (z > -10)
    transverse = rim & (y < -55) & (np.abs(z + 14) < 5) & (x < 55)
    straight = (x < 2.5) & (y < -45) & (y > -85) & (np.abs(z - (y + 70) * 0.6) < 3)
    tissue[(sagittal | transverse | straight) & (tissue == Tissue.CSF)] = Tissue.SINUS
