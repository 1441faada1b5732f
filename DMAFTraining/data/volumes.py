"""Reading a raw case into arrays, with every check; all that is wrong with a case comes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.data.alignment import find_misplaced
from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.problems import BadCaseError, Problem
from DMAFTraining.data.readers import LABELS, RawCase, Source
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, grid_of
from DMAFTraining.inference.integrity import check_nifti

_ORIENTATION = "RAS"
"""Axes of volumes, as inference works; slices keep those of their files."""


@dataclass(frozen=True)
class LoadedCase:
    """The voxels of a case: images ``(X, Y, Z)`` float32 by sequence, labels ``(X, Y, Z)`` uint8.

    Volumes lie along R, A, S; data sets of slices keep the axes of their files. ``spacing`` in mm, ``grid`` is
    that of the labels as they lie here.
    """

    images: dict[str, NDArray[np.float32]]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]
    grid: Grid


class _BadFileError(ValueError):
    """What is wrong with a file, as a predicate, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def load_case(case: RawCase, spec: DatasetSpec) -> LoadedCase:
    """Read and check a case.

    Label values may be stored as floating-point numbers as long as each is a whole number.

    Raises:
        BadCaseError: a file is missing, damaged, not 3-D, empty or on another grid than most of the case;
            values that are not finite; no label map, or one with other values than expected.
    """
    problems = _incomplete(case)
    images, unreadable = _read(case)
    problems += unreadable
    oriented = {what: sitk.DICOMOrient(i, _ORIENTATION) if spec.dims == 3 else i for what, i in images.items()}
    problems += _grid_problems(case, images, oriented)
    arrays = {what: sitk.GetArrayViewFromImage(image).transpose(2, 1, 0) for what, image in oriented.items()}
    labels = np.zeros((), np.uint8)
    for what, array in arrays.items():
        try:
            if what == LABELS:
                labels = _translate(array, case.codings)
            else:
                _check_image(array)
        except _BadFileError as bad:
            problems.append(Problem(case.name, str(case.sources[what]), bad.what, bad.remedy))
    if problems:
        raise BadCaseError(problems)
    images_found = {name: arrays[name].astype(np.float32) for name in case.images}
    return LoadedCase(images_found, labels, _spacing(oriented[LABELS]), grid_of(oriented[LABELS]))


def _incomplete(case: RawCase) -> list[Problem]:
    problems = []
    if not case.images:
        problems.append(Problem(case.name, "", "has no image of any sequence", "Add one, or move its files away."))
    if case.labels is None:
        remedy = f"Add {case.labels_expected}, or move its files away."
        problems.append(Problem(case.name, "", "has no label map", remedy))
    return problems


def _spacing(image: sitk.Image) -> tuple[float, float, float]:
    """Voxel size in mm; file headers hold it in single precision, which ends at the sixth digit."""
    i, j, k = grid_of(image).spacing
    return round(i, 5), round(j, 5), round(k, 5)


def _read(case: RawCase) -> tuple[dict[str, sitk.Image], list[Problem]]:
    """3-D images that can be read, and what is wrong with the others."""
    files: dict[Path, sitk.Image] = {}
    images: dict[str, sitk.Image] = {}
    problems = []
    for what, source in case.sources.items():
        try:
            if source.path not in files:
                files[source.path] = _read_file(source.path)
            images[what] = _volume(files[source.path], source)
        except _BadFileError as bad:
            file = str(source if source.path in files else source.path)
            problems.append(Problem(case.name, file, bad.what, bad.remedy))
    return images, list(dict.fromkeys(problems))


def _read_file(path: Path) -> sitk.Image:
    if not path.is_file():
        raise _BadFileError("does not exist", "Correct the path, or bring the file back.")
    if not path.stat().st_size:
        raise _BadFileError("is empty (0 bytes)", "Copy or export it again.")
    try:
        check_nifti(path)
        return sitk.ReadImage(str(path))
    except InputError as error:
        raise _BadFileError(str(error).removeprefix(str(path)).strip(" ."), error.hint) from error
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else "unknown format"
        raise _BadFileError(f"cannot be read as an image ({reason})", "Copy or export it again.") from error


def _volume(image: sitk.Image, source: Source) -> sitk.Image:
    """The 3-D scalar image of a file, or of one channel of a 4-D file."""
    size = " x ".join(map(str, image.GetSize()))
    if (values := image.GetNumberOfComponentsPerPixel()) != 1:
        raise _BadFileError(f"has {values} values per voxel", "Export it as a grayscale image.")
    if source.channel is None:
        if image.GetDimension() != 3 or min(image.GetSize()) < 2:
            raise _BadFileError(f"is not a 3-D image (its size is {size})", "Export one volume a file.")
        return image
    if image.GetDimension() != 4 or image.GetSize()[3] <= source.channel:
        raise _BadFileError(f"does not have this channel (its size is {size})", "Compare it with dataset.json.")
    return image[:, :, :, source.channel]


def _grid_problems(
    case: RawCase, images: Mapping[str, sitk.Image], oriented: Mapping[str, sitk.Image]
) -> list[Problem]:
    problems = []
    for name, reference, what, remedy in find_misplaced(images, oriented):
        other = case.sources[reference].path.name
        file = str(case.sources[name])
        problems.append(Problem(case.name, file, what.format(reference=other), remedy.format(reference=other)))
    return problems


def _check_image(array: NDArray[Any]) -> None:
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise _BadFileError("holds values that are not numbers (NaN or infinite)", "Export it again.")
    if low == high:
        raise _BadFileError(f"is empty: every voxel has the value {low:g}", "Export it again, or leave it out.")


def _translate(array: NDArray[Any], codings: Sequence[Mapping[int, int]]) -> NDArray[np.uint8]:
    """Label values of the store.

    Raises:
        _BadFileError: the array is no label map, or fits none of the codings.
    """
    if not np.isfinite(array).all() or (array.dtype.kind == "f" and (array != np.rint(array)).any()):
        raise _BadFileError(
            "is no label map: it holds values that are not whole numbers",
            "Resample the labels again with nearest neighbor, or give the label map in place of a probability map.",
        )
    found = set(np.unique(array).astype(int).tolist())
    coding = next((coding for coding in codings if found <= set(coding)), None)
    if coding is None:
        wanted = " or ".join(", ".join(map(str, sorted(coding))) for coding in codings)
        values = ", ".join(map(str, sorted(found)))
        raise _BadFileError(f"holds the label values {values}; expected are {wanted}", "Translate the label values.")
    table = np.zeros(max(coding) + 1, np.uint8)
    table[list(coding)] = list(coding.values())
    return table[array.astype(np.int32)]
