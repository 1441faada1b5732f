"""Cases on real brain scans: real vessels, sinuses, cerebellum and brain stem, a simulated tumor.

The scans are those of Lesjak et al., Neuroinformatics (2017), DOI 10.1007/s12021-017-9348-7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import Tissue, brain_box, read_ras, shifted
from DMAFTraining.data.simulation.appearance import draw_appearance, paint_tumor
from DMAFTraining.data.simulation.artifacts import degrade, strip_mask
from DMAFTraining.data.simulation.case import SimulatedCase, find_midline, finish, place_tumor
from DMAFTraining.data.simulation.contrast import SEQUENCES, draw_texture
from DMAFTraining.data.simulation.membranes import add_sheets
from DMAFTraining.data.simulation.shape import Grid, draw_pose
from DMAFTraining.data.simulation.template import classify_regions, world_coordinates
from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray, Matrix

PATIENTS = ("patient07", "patient19")
"""People whose scans may be used; everyone else in that folder is kept for checks."""

_FILES = {"t1": "T1.nii.gz", "t1ce": "T1POST.nii.gz", "flair": "FLAIR.nii.gz", "t2": "T2.nii.gz"}


@dataclass(frozen=True)
class Background:
    """A real, brain-extracted scan.

    Attributes:
        name: whose scan.
        images: ``t1``, ``t1ce``, ``flair``, ``t2``; float32 (X, Y, Z), 1 mm, median of white matter 1, 0 outside.
        tissue: rough values of :class:`Tissue` (X, Y, Z).
        affine: 4x4, voxel index to MNI position in mm (RAS).
    """

    name: str
    images: dict[str, FloatArray]
    tissue: LabelArray
    affine: Matrix


def load_backgrounds(folder: str | Path) -> list[Background]:
    """The usable scans of a folder that holds one folder a person.

    Raises:
        ValueError: none of them is there.
    """
    found = [Path(folder) / name for name in PATIENTS if (Path(folder) / name).is_dir()]
    if not found:
        raise ValueError(f"None of {', '.join(PATIENTS)} is in {folder}; give the folder that holds them.")
    return [load_background(path) for path in found]


def load_background(folder: str | Path) -> Background:
    """Read one person's T1, T1POST, FLAIR and T2 (1 mm, MNI space, brain-extracted).

    Raises:
        ValueError: a person whose scans are kept for checks, or a missing file.
    """
    folder = Path(folder)
    if folder.name not in PATIENTS:
        raise ValueError(f"{folder.name} is not for training; use one of {', '.join(PATIENTS)}.")
    images, affine = {}, np.eye(4)
    for name, file in _FILES.items():
        array, affine = read_ras(folder / file)
        images[name] = array.astype(np.float32)
    brain = ndimage.binary_fill_holes(np.all([image != 0 for image in images.values()], axis=0))
    box = brain_box(brain)
    affine, brain = shifted(affine, box), brain[box]
    images = {name: np.where(brain, np.maximum(image[box], 0.0), 0.0) for name, image in images.items()}
    tissue = _rough_tissue(images["t1"], images["t1ce"], brain, affine)
    white = tissue == Tissue.WHITE
    scaled = {name: (image / np.median(image[white])).astype(np.float32) for name, image in images.items()}
    return Background(folder.name, scaled, tissue, affine)


def _rough_tissue(t1: FloatArray, t1ce: FloatArray, brain: BoolArray, affine: Matrix) -> LabelArray:
    """Tissue by T1 brightness (three classes) and place; what enhances without a tumor counts as ``SINUS``."""
    inside = sitk.GetImageFromArray(t1[brain][None, None, :])
    classes = sitk.GetArrayFromImage(sitk.OtsuMultipleThresholds(inside, numberOfThresholds=2)).ravel()
    kind = np.zeros(brain.shape, np.uint8)
    kind[brain] = classes
    tissue = classify_regions((kind == 2).astype(np.float32), (brain & (kind == 1)).astype(np.float32), brain, affine)
    x = world_coordinates(brain.shape, affine)[0]
    cortex = tissue == Tissue.GRAY
    add_sheets(tissue, cortex & (x < 0), cortex & (x > 0))
    bright = t1ce > 1.3 * np.median(t1ce[tissue == Tissue.WHITE])
    tissue[bright & brain] = Tissue.SINUS
    return tissue


def simulate_on_background(background: Background, rng: np.random.Generator, spacing: float = 2.0) -> SimulatedCase:
    """Deform a real brain, vary its contrast and paint a simulated tumor into it.

    Args:
        background: the real scan.
        rng: source of randomness; one made from the same seed gives the same case.
        spacing: voxel edge of the case in mm.

    Raises:
        ValueError: spacing not positive.
    """
    if spacing <= 0:
        raise ValueError(f"The spacing is {spacing} mm; give a positive number, for example 2.")
    for_pose, for_tumor, for_paint, for_scan = rng.spawn(4)
    pose = draw_pose(background.tissue.shape, find_midline(background.tissue), spacing, for_pose)
    tissues, tumor, plan = place_tumor(background.tissue, pose, for_tumor)
    texture = draw_texture(pose.grid, for_paint)
    looks = None if plan is None else draw_appearance(plan.kind, for_paint)
    soft = _soft_tissues(tissues, (Tissue.GRAY, Tissue.DEEP_GRAY, Tissue.BRAINSTEM))
    soft += _soft_tissues(tissues, (Tissue.CEREBELLUM_GRAY, Tissue.CEREBELLUM_WHITE))
    images = {}
    for name in SEQUENCES:
        image = tissues.pose.sample_image(background.images[name])
        image = _vary(image, soft, pose.grid, for_paint)
        if looks is not None:
            image = paint_tumor(image, tumor, looks[name], texture, for_paint)
        images[name] = degrade(image, pose.grid, for_scan, severity=0.5)
    brain = tissues.labels > Tissue.BACKGROUND
    mask = brain & strip_mask(-ndimage.distance_transform_edt(brain) * spacing, pose.grid, for_scan)
    return finish(background.name, images, mask, tumor, tissues, plan)


def _soft_tissues(tissues: TissueMap, wanted: Iterable[Tissue]) -> list[FloatArray]:
    """Blurred share of each tissue: a change of contrast must not draw the rough borders into the image."""
    sigma = 1.5 / tissues.pose.grid.spacing
    return [ndimage.gaussian_filter(tissues.fraction(tissue), sigma) for tissue in wanted]


def _vary(image: FloatArray, soft: list[FloatArray], grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Another contrast of the same scan, as a whole, by tissue, and here more than there; white matter stays at 1."""
    image = np.maximum(image, 0.02) ** np.float32(np.exp(rng.normal(0.0, 0.2)))
    for share in soft:
        local = rng.normal(0.0, 0.07) + rng.uniform(0.0, 0.05) * grid.noise(rng.uniform(20.0, 50.0), rng)
        image = image * (1.0 + local * share)
    image = image * (1.0 + rng.uniform(0.0, 0.03) * grid.noise(rng.uniform(6.0, 15.0), rng))
    # Vessels and sinuses differ most between people and between doses of contrast agent.
    image += np.clip(image - 1.25, 0.0, 0.3) * rng.uniform(-0.5, 1.5) * np.exp(0.4 * grid.noise(25.0, rng))
    return image.astype(np.float32)
