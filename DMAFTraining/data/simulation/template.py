"""A tissue map from the ICBM 152 average brain that nilearn carries: works without any other data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import MARGIN_MM, Anatomy, Tissue, brain_box, shifted
from DMAFTraining.data.simulation.membranes import add_membranes
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray, Matrix

_FLUID = 0.25
"""Share of fluid from which a voxel counts as fluid."""


@dataclass(frozen=True)
class _Ellipsoid:
    """A region of MNI space on both sides of the midline: center and radii in mm, the center's x to one side."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]

    def holds(self, world: FloatArray) -> BoolArray:
        """Which of the positions in mm (3, X, Y, Z) lie inside."""
        place = np.stack([np.abs(world[0]), world[1], world[2]])
        distance = [((p - c) / r) ** 2 for p, c, r in zip(place, self.center, self.radii, strict=True)]
        return np.sum(distance, axis=0) < 1.0


_NUCLEI = (
    _Ellipsoid((11, -19, 7), (11, 13, 10)),  # thalamus
    _Ellipsoid((26, 2, 1), (7, 17, 11)),  # putamen
    _Ellipsoid((19, -4, -1), (6, 8, 6)),  # pallidum
    _Ellipsoid((12, 14, 6), (7, 9, 12)),  # head of the caudate
    _Ellipsoid((16, -4, 20), (5, 16, 7)),  # body of the caudate
)
_CEREBELLUM = _Ellipsoid((0, -64, -36), (56, 33, 27))
_VENTRICLES = _Ellipsoid((0, -8, 12), (36, 54, 24))
_CHOROID = _Ellipsoid((23, -40, 10), (4, 7, 8))


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
    add_membranes(tissue, cortex & (world[0] < 0), cortex & (world[0] > 0))
    return Anatomy("icbm152", tissue, affine)


def world_coordinates(shape: tuple[int, ...], affine: Matrix) -> FloatArray:
    """World positions in mm, (3, X, Y, Z), of a grid whose axes run along the world axes."""
    axes = [np.arange(size) * affine[axis, axis] + affine[axis, 3] for axis, size in enumerate(shape)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def classify_regions(white: FloatArray, gray: FloatArray, brain: BoolArray, affine: Matrix) -> LabelArray:
    """Tissue map from white and gray matter probabilities (X, Y, Z) of a brain in MNI space.

    What neither explains is fluid: in an average brain, sulci are where fluid is likely, not where it is certain.
    """
    world = world_coordinates(brain.shape, affine)
    tissue = np.where(gray >= white, Tissue.GRAY, Tissue.WHITE).astype(np.uint8)
    tissue[white + gray < 1.0 - _FLUID] = Tissue.CSF
    tissue[~brain] = Tissue.BACKGROUND
    x, y, z = np.abs(world[0]), world[1], world[2]
    stem = (x < 17) & (y < -12) & (y > -46) & (z < -10 - (y + 28) * 0.3) & ((x / 17) ** 2 + ((y + 27) / 15) ** 2 < 1)
    cerebellum = _CEREBELLUM.holds(world) & ~stem
    deep = np.any([nucleus.holds(world) for nucleus in _NUCLEI], axis=0)
    between_hemispheres = (x < 4) & ((y > 22) | (y < -38))
    ventricle = _VENTRICLES.holds(world) & (z > -6) & ~between_hemispheres
    for region, old, new in (
        (deep, Tissue.GRAY, Tissue.DEEP_GRAY),
        (ventricle, Tissue.CSF, Tissue.VENTRICLE),
        (_CHOROID.holds(world), Tissue.VENTRICLE, Tissue.CHOROID),
        (cerebellum, Tissue.WHITE, Tissue.CEREBELLUM_WHITE),
        (cerebellum, Tissue.GRAY, Tissue.CEREBELLUM_GRAY),
        (stem, Tissue.WHITE, Tissue.BRAINSTEM),
        (stem, Tissue.GRAY, Tissue.BRAINSTEM),
    ):
        tissue[region & (tissue == old)] = new
    return tissue
