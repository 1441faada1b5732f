"""A clean case: co-registered, brain-extracted images on one grid, perhaps with a segmentation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.evaluation.scores import read_truth
from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, read_volume
from DMAFTraining.inference.scans.brain import looks_stripped
from DMAFTraining.inference.scans.reading import find_scans
from DMAFTraining.modalities import ModalitySet

_SEGMENTATION = ("*_seg.nii.gz", "*_seg.nii", "*-seg.nii.gz", "*-seg.nii", "seg.nii.gz")


@dataclass(frozen=True)
class CleanCase:
    """A BraTS-like case.

    Attributes:
        name: of its folder.
        files: of the sequences, by name.
        images: the sequences; all on one grid, 0 outside the brain.
        brain: ``(I, J, K)`` where any sequence is not 0, without holes.
        labels: ``(I, J, K)`` uint8 with the label values of the model; None without a segmentation.
    """

    name: str
    files: dict[str, Path]
    images: dict[str, Volume]
    brain: NDArray[np.bool_]
    labels: NDArray[np.uint8] | None

    @property
    def grid(self) -> Grid:
        """The grid of everything."""
        return next(iter(self.images.values())).grid

    def brain_positions(self, at_most: int = 20000) -> Matrix:
        """RAS positions ``(N, 3)`` in mm, evenly picked from the voxels of the brain."""
        index = np.argwhere(self.brain)
        picked = index[:: max(1, len(index) // at_most)]
        matrix = self.grid.ijk_to_ras
        return np.asarray(picked @ matrix[:3, :3].T + matrix[:3, 3], float)


def read_case(folder: Path, modalities: ModalitySet, label_values: Iterable[int]) -> CleanCase:
    """Read a case folder, its files named ``..._t1.nii.gz`` and so on, its segmentation ``..._seg.nii.gz``.

    Args:
        folder: of the case.
        modalities: sequences of the model.
        label_values: of the model, which the segmentation has to share.

    Raises:
        InputError: no image, an unreadable one, or one that is not brain-extracted.
        GeometryError: the files do not share one grid.
    """
    found, _ = find_scans(folder, modalities)
    files = {name: source for name, source in found.items() if isinstance(source, Path)}
    images = {name: read_volume(path) for name, path in files.items()}
    truths = [path for pattern in _SEGMENTATION for path in sorted(folder.glob(pattern))]
    truth = read_truth(truths[0], label_values) if truths else None
    grids = {files[name].name: volume.grid for name, volume in images.items()}
    grids |= {truths[0].name: truth.grid} if truth else {}
    first = next(iter(grids))
    for name, grid in grids.items():
        if not grid.same_as(grids[first]):
            raise GeometryError(f"{folder}: {name} and {first} lie on different grids.", "Give a co-registered case.")
    for name, volume in images.items():
        if not (verdict := looks_stripped(volume)).fine or volume.array[0, 0, 0] != 0:
            hint = "Give a brain-extracted case, 0 outside the brain."
            raise InputError(f"{files[name]} does not show the brain alone. {verdict.reason}", hint)
    brain = ndimage.binary_fill_holes(np.any([volume.array != 0 for volume in images.values()], axis=0))
    return CleanCase(folder.resolve().name, files, images, brain, None if truth is None else truth.array)
