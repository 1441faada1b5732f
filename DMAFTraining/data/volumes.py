"""Reading a raw case into arrays, with every check; all that is wrong with a case comes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.readers import LABELS, RawCase, Source
from DMAFTraining.inference.geometry import Grid, grid_of
from DMAFTraining.inference.integrity import check_nifti

_ORIENTATION = "RAS"  # as inference works


class BadCaseError(ValueError):
    """A case that cannot be used; ``problems`` are sentences."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class LoadedCase:
    """The voxels of a case: images ``(X, Y, Z)`` float32 by sequence, labels ``(X, Y, Z)`` uint8.

    Volumes lie along R, A, S; data sets of slices keep the axes of their files. ``spacing`` in mm.
    """

    images: dict[str, NDArray[np.float32]]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]


def load_case(case: RawCase, spec: DatasetSpec) -> LoadedCase:
    """Read and check a case.

    Raises:
        BadCaseError: a file is missing, damaged, not 3-D, empty or on another grid than the first one;
            values that are not finite; no label map, or one with other values than expected.
    """
    problems = []
    if not case.images:
        problems.append("it has no image of any sequence.")
    if case.labels is None:
        problems.append(f"it has no label map (<case>_{spec.label_tokens[0]}.nii.gz).")
    images, unreadable = _read(case.sources)
    problems += unreadable
    oriented = {what: sitk.DICOMOrient(i, _ORIENTATION) if spec.dims == 3 else i for what, i in images.items()}
    problems += _grid_problems(images, oriented)
    arrays = {what: sitk.GetArrayViewFromImage(image).transpose(2, 1, 0) for what, image in oriented.items()}
    for name in arrays.keys() & case.images:
        if problem := _image_problem(arrays[name]):
            problems.append(f"{case.images[name].path.name} {problem}")
    labels = np.zeros((), np.uint8)
    if case.labels and LABELS in arrays:
        try:
            labels = _translate(arrays[LABELS], case.codings)
        except ValueError as problem:
            problems.append(f"{case.labels.path.name} {problem}")
    if problems:
        raise BadCaseError([f"{case.name}: {problem}" for problem in problems])
    images_found = {name: arrays[name].astype(np.float32) for name in case.images}
    return LoadedCase(images_found, labels, _spacing(oriented[LABELS]))


def _spacing(image: sitk.Image) -> tuple[float, float, float]:
    """Voxel size in mm; file headers hold it in single precision, which ends at the sixth digit."""
    i, j, k = grid_of(image).spacing
    return round(i, 5), round(j, 5), round(k, 5)


def _read(sources: Mapping[str, Source]) -> tuple[dict[str, sitk.Image], list[str]]:
    """3-D images that can be read, and what is wrong with the others."""
    files: dict[Path, sitk.Image] = {}
    images, problems = {}, []
    for what, source in sources.items():
        try:
            if source.path not in files:
                files[source.path] = _read_file(source.path)
            images[what] = _volume(files[source.path], source)
        except ValueError as problem:
            problems.append(str(problem))
    return images, list(dict.fromkeys(problems))


def _read_file(path: Path) -> sitk.Image:
    if not path.is_file():
        raise ValueError(f"there is no file {path}.")
    try:
        check_nifti(path)
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else "unknown format"
        raise ValueError(f"{path} cannot be read as an image ({reason}).") from error


def _volume(image: sitk.Image, source: Source) -> sitk.Image:
    """The 3-D scalar image of a file, or of one channel of a 4-D file."""
    size = " x ".join(map(str, image.GetSize()))
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(f"{source.path.name} has {image.GetNumberOfComponentsPerPixel()} values per voxel.")
    if source.channel is None:
        if image.GetDimension() != 3 or min(image.GetSize()) < 2:
            raise ValueError(f"{source.path.name} is not a 3-D image (its size is {size}).")
        return image
    if image.GetDimension() != 4 or image.GetSize()[3] <= source.channel:
        raise ValueError(f"{source.path.name} has no channel {source.channel} (its size is {size}).")
    return image[:, :, :, source.channel]


def _grid_problems(images: Mapping[str, sitk.Image], oriented: Mapping[str, sitk.Image]) -> list[str]:
    """Who lies elsewhere than the first image; how the axes are stored does not matter."""
    if not images:
        return []
    first = next(iter(images))
    wanted = grid_of(oriented[first])
    return [
        f"{what} lies on another grid than {first}: {_difference(grid_of(images[what]), grid_of(images[first]))}."
        for what in images
        if not grid_of(oriented[what]).same_as(wanted)
    ]


def _difference(grid: Grid, other: Grid) -> str:
    """The first thing that differs between two grids, in words."""
    if grid.size != other.size:
        return f"its size is {grid.size}, not {other.size}"
    if not np.allclose(grid.spacing, other.spacing, rtol=1e-3):
        return f"its voxels are {np.round(grid.spacing, 4).tolist()} mm, not {np.round(other.spacing, 4).tolist()} mm"
    axes, others = (g.ijk_to_ras[:3, :3] / np.array(g.spacing) for g in (grid, other))
    flipped = [axis for axis in range(3) if axes[:, axis] @ others[:, axis] < -0.5]
    if flipped:
        return f"axis {', '.join('xyz'[axis] for axis in flipped)} runs the other way"
    if not np.allclose(axes, others, atol=1e-3):
        return "its axes point elsewhere"
    shift = float(np.linalg.norm(grid.ijk_to_ras[:3, 3] - other.ijk_to_ras[:3, 3]))
    return f"it is shifted by {shift:.1f} mm"


def _image_problem(array: NDArray[Any]) -> str | None:
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return "holds values that are not numbers (NaN or infinite)."
    return f"is empty: every voxel has the value {low:g}." if low == high else None


def _translate(array: NDArray[Any], codings: Sequence[Mapping[int, int]]) -> NDArray[np.uint8]:
    """Label values of the store.

    Raises:
        ValueError: the array is no label map, or fits none of the codings.
    """
    if not np.isfinite(array).all() or (array.dtype.kind == "f" and (array != np.rint(array)).any()):
        raise ValueError("is no label map: it holds values that are not whole numbers.")
    found = set(np.unique(array).astype(int).tolist())
    coding = next((coding for coding in codings if found <= set(coding)), None)
    if coding is None:
        wanted = " or ".join(", ".join(map(str, sorted(coding))) for coding in codings)
        raise ValueError(f"holds the label values {', '.join(map(str, sorted(found)))}; expected are {wanted}.")
    table = np.zeros(max(coding) + 1, np.uint8)
    table[list(coding)] = list(coding.values())
    return table[array.astype(np.int32)]
