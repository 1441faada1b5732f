"""Tissue maps of healthy heads: the ground on which tumors are simulated.

Sources: FreeSurfer-style whole-head label maps (Billot et al., SynthSeg, Medical Image Analysis
86, 2023), or the ICBM 152 templates that nilearn carries (Fonov et al., NeuroImage 54(1), 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DMAFTraining.data.simulation.membranes import add_membranes, open_sulci
from DMAFTraining.data.simulation.tissues import PARENCHYMA as PARENCHYMA
from DMAFTraining.data.simulation.tissues import Tissue as Tissue
from DMAFTraining.data.simulation.types import BoolArray, LabelArray, Matrix

MARGIN_MM = 10
SPLITS = {"train": range(1, 15), "validation": range(15, 18), "test": range(18, 21)}
"""Numbers of the people in each split; a person is in one split only."""

_FREESURFER: dict[Tissue, tuple[int, ...]] = {
    Tissue.WHITE: (2, 41, 25, 57, 28, 60),
    Tissue.GRAY: (3, 42, 17, 53, 18, 54),
    Tissue.CSF: (24, 30, 62, 85),
    Tissue.DEEP_GRAY: (10, 49, 11, 50, 12, 51, 13, 52, 26, 58),
    Tissue.BRAINSTEM: (16,),
    Tissue.CEREBELLUM_WHITE: (7, 46),
    Tissue.CEREBELLUM_GRAY: (8, 47),
    Tissue.VENTRICLE: (4, 43, 5, 44, 14, 15, 72),
    Tissue.CHOROID: (31, 63, 136, 137, 163, 164),
    Tissue.ARTERY: (502,),
    Tissue.SINUS: (514,),
    Tissue.BONE: (515,),
    Tissue.MARROW: (516,),
    Tissue.SCALP: (507, 508, 509, 512),
    Tissue.SKIN: (511,),
    Tissue.EYE: (506, 530),
}
_LEFT_CORTEX, _RIGHT_CORTEX = 3, 42


@dataclass(frozen=True)
class Anatomy:
    """A healthy head.

    Attributes:
        name: which person or template.
        tissue: values of :class:`Tissue`, uint8 (X, Y, Z), 1 mm, axes to right, anterior, superior.
        affine: 4x4, voxel index to world position in mm (RAS).
    """

    name: str
    tissue: LabelArray
    affine: Matrix


def read_ras(path: Path) -> tuple[np.ndarray, Matrix]:
    """Read an image as array (X, Y, Z) with axes to right, anterior, superior, and its affine.

    Raises:
        ValueError: no such file, or the image is not three-dimensional.
    """
    if not path.is_file():
        raise ValueError(f"There is no image {path}; check the folder name.")
    image = sitk.ReadImage(str(path))
    if image.GetDimension() != 3:
        raise ValueError(f"{path} has {image.GetDimension()} dimensions; a volume with 3 is needed.")
    image = sitk.DICOMOrient(image, "RAS")
    direction = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    affine = np.eye(4)
    # SimpleITK positions are LPS: the first two rows change sign.
    flip = np.diag([-1.0, -1.0, 1.0])
    affine[:3, :3] = flip @ direction
    affine[:3, 3] = flip @ np.array(image.GetOrigin())
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine


def load_label_map(path: str | Path) -> Anatomy:
    """Anatomy of one person from a FreeSurfer-style whole-head label map at 1 mm.

    Raises:
        ValueError: the file is missing, or it holds no brain labels.
    """
    path = Path(path)
    labels, affine = read_ras(path)
    labels = np.rint(labels).astype(np.int32)
    table = np.zeros(max(int(labels.max()), 1000) + 1, np.uint8)
    for tissue, values in _FREESURFER.items():
        table[list(values)] = tissue
    tissue_map = table[np.clip(labels, 0, None)]
    if not np.isin(tissue_map, PARENCHYMA).any():
        raise ValueError(f"{path} holds no brain labels; give a FreeSurfer-style whole-head label map.")
    box = brain_box(np.isin(tissue_map, PARENCHYMA))
    tissue_map, labels = tissue_map[box].copy(), labels[box]
    left, right = labels == _LEFT_CORTEX, labels == _RIGHT_CORTEX
    open_sulci(tissue_map, left | right)
    add_membranes(tissue_map, left, right)
    return Anatomy(path.name.split(".")[0], tissue_map, shifted(affine, box))


def brain_box(brain: BoolArray, margin: int = MARGIN_MM) -> tuple[slice, ...]:
    """The box around a brain mask (X, Y, Z), with a margin in voxels.

    Raises:
        ValueError: the mask is empty.
    """
    if not brain.any():
        raise ValueError("The brain mask is empty; the image holds no brain.")
    boxes = []
    for axis in range(3):
        along = np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis)))
        boxes.append(slice(max(0, along[0] - margin), min(brain.shape[axis], along[-1] + 1 + margin)))
    return tuple(boxes)


def shifted(affine: Matrix, box: tuple[slice, ...]) -> Matrix:
    """Affine of the part of an image cut out by ``box``."""
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    return moved


def list_anatomies(folder: str | Path, split: str | None = None) -> list[Path]:
    """Label map files of a split (``train``, ``validation``, ``test``; None = all), sorted by person.

    Raises:
        ValueError: an unknown split, or no label map in the folder.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; use one of {', '.join(SPLITS)}.")
    people = {n for name, numbers in SPLITS.items() if split in (None, name) for n in numbers}
    found = {path: _person(path) for path in sorted(Path(folder).glob("*_[0-9][0-9].nii.gz"))}
    chosen = [path for path, person in found.items() if person in people]
    if not chosen:
        raise ValueError(
            f"No label map of split {split or 'all'} in {folder}; expected files named *_01.nii.gz and on."
        )
    return chosen


def _person(path: Path) -> int:
    return int(path.name.split(".")[0][-2:])
