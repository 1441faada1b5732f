"""Training cases on disk: one folder a case, ``<case>/<case>_<sequence>.nii.gz`` and ``_seg``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.inference.integrity import check_nifti
from DMAFTraining.inference.preprocessing import zscore_brain
from DMAFTraining.modalities import ModalitySet


@dataclass(frozen=True)
class TrainingCase:
    """One case in memory: ``images (M, X, Y, Z)`` float16, z-scored; ``labels (X, Y, Z)`` uint8."""

    name: str
    images: NDArray[np.float16]
    labels: NDArray[np.uint8]


def find_cases(folder: Path) -> list[Path]:
    """Case folders below ``folder`` in order of name.

    Raises:
        ValueError: the folder is missing or holds no case.
    """
    cases = sorted(path.parent for path in folder.glob("*/*_seg.nii.gz"))
    if not cases:
        raise ValueError(f"There are no cases in {folder}: expected <case>/<case>_seg.nii.gz beside its images.")
    return cases


def read_case(folder: Path, modalities: ModalitySet) -> TrainingCase:
    """Read one case that has every sequence, on its own grid.

    Raises:
        ValueError: a file is missing or unreadable, or the grids differ.
    """
    name = folder.name
    images = [_read(folder / f"{name}_{m.name}.nii.gz").astype(np.float32) for m in modalities]
    labels = _read(folder / f"{name}_seg.nii.gz").astype(np.uint8)
    if {image.shape for image in images} != {labels.shape}:
        raise ValueError(f"Case {name}: images and labels differ in size.")
    stacked = np.stack([zscore_brain(image) for image in images])
    return TrainingCase(name, stacked.astype(np.float16), labels)


def read_cases(
    folder: Path, modalities: ModalitySet, on_case: Callable[[int, int], None] | None = None
) -> list[TrainingCase]:
    """Read every case of a folder; ``on_case(done, total)`` is told after each."""
    paths = find_cases(folder)
    cases = []
    for path in paths:
        cases.append(read_case(path, modalities))
        if on_case:
            on_case(len(cases), len(paths))
    return cases


def _read(path: Path) -> NDArray[np.generic]:
    """Voxels ``(X, Y, Z)`` of an image file."""
    try:
        check_nifti(path)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose(2, 1, 0)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be read as an image.") from error
