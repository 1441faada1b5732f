"""Reading back what a segmentation job left: a result folder and label maps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, grid_of
from DMAFTraining.inference.integrity import check_nifti
from DMAFTraining.inference.metadata import Region
from DMAFTraining.inference.results import PROVENANCE


@dataclass(frozen=True)
class LabelMap:
    """Labels ``(I, J, K)`` uint8 on a grid; ``source`` is the file they came from."""

    array: NDArray[np.uint8]
    grid: Grid
    source: str


@dataclass(frozen=True)
class StoredResult:
    """One row of a result folder, see :class:`~DMAFTraining.inference.segmenter.SubsetResult`; maps are by kind."""

    title: str
    subset: tuple[str, ...]
    file: Path
    volumes_ml: dict[str, float]
    dice_to_fullest: dict[str, float]
    maps: dict[str, Path]


@dataclass(frozen=True)
class StoredResults:
    """A result folder.

    Attributes:
        model: name and version of the model.
        labels: names of the label values.
        regions: what volumes and Dice are reported on.
        rows: the results, the fullest first.
        maps: files of the maps made of all results, by kind and what they show.
        provenance: how the results came about, as it was written.
    """

    model: str
    labels: dict[int, str]
    regions: tuple[Region, ...]
    rows: tuple[StoredResult, ...]
    maps: dict[str, dict[str, Path]]
    provenance: dict[str, Any]


def read_results(folder: Path) -> StoredResults:
    """Read the provenance of a result folder.

    Raises:
        InputError: the folder holds no finished results, or its provenance cannot be understood.
    """
    path = folder / PROVENANCE
    if not path.is_file():
        raise InputError(f"{folder} holds no finished results (no {PROVENANCE}).", "Give the output folder of predict.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(_row(folder, title, row) for title, row in document["results"].items())
        model = f"{document['model']['name']} {document['model']['version']}"
        labels = {int(value): str(name) for value, name in document["labels"].items()}
        regions = tuple(Region(r["name"], r["title"], tuple(r["labels"])) for r in document["regions"])
        maps = {kind: _files(folder, files) for kind, files in document.get("maps", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a provenance file of this program ({error!r}).", "Segment again.") from error
    if not rows:
        raise InputError(f"{path} lists no result.", "Segment again.")
    rows = tuple(sorted(rows, key=lambda row: len(row.subset), reverse=True))
    return StoredResults(model, labels, regions, rows, maps, document)


def _row(folder: Path, title: str, row: dict[str, Any]) -> StoredResult:
    volumes = {name: float(value) for name, value in row["volumes_ml"].items()}
    overlap = {name: float(value) for name, value in row["dice_to_fullest"].items()}
    maps = _files(folder, row.get("maps", {}))
    return StoredResult(title, tuple(row["subset"]), _file(folder, row["file"]), volumes, overlap, maps)


def _files(folder: Path, names: dict[str, str]) -> dict[str, Path]:
    return {what: _file(folder, name) for what, name in names.items()}


def _file(folder: Path, name: str) -> Path:
    # Only the name counts, so that no provenance can point outside its folder.
    return folder / Path(name).name


def read_labels(path: Path) -> LabelMap:
    """Read a label map; unlike an image, it may be empty.

    Raises:
        InputError: missing, unreadable, not 3-D, or with values that are not labels (0 to 255).
    """
    array, grid = read_whole_numbers(path, 255)
    return LabelMap(array.astype(np.uint8), grid, str(path))


def read_whole_numbers(path: Path, largest: int) -> tuple[NDArray[np.uint16], Grid]:
    """Values ``(I, J, K)`` from 0 to ``largest``, at most 65535, and their grid.

    Raises:
        InputError: missing, unreadable, not 3-D, or with other values.
    """
    image = _read_image(path, "label map")
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    # Comparing first keeps a NaN from becoming a label in the conversion.
    if not ((array >= 0) & (array <= largest) & (array == np.round(array))).all():
        raise InputError(f"{path} holds values that are no labels (whole numbers 0 to {largest}).", "Give a label map.")
    return array.astype(np.uint16), grid_of(image)


def read_map(path: Path, like: LabelMap) -> NDArray[np.float32]:
    """Read a map of values ``(I, J, K)`` that lies on the grid of a label map; values that are no numbers become 0.

    Raises:
        InputError: missing, unreadable or not 3-D.
        GeometryError: it lies on another grid.
    """
    image = _read_image(path, "map")
    if not grid_of(image).same_as(like.grid):
        raise GeometryError(f"{path} and {like.source} lie on different grids.", "Segment again.")
    return np.nan_to_num(sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32))


def _read_image(path: Path, what: str) -> sitk.Image:
    if not path.is_file():
        raise InputError(f"There is no {what} at {path}.", "Check the path.")
    try:
        check_nifti(path)
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as an image.", "Export it again as NIfTI or NRRD.") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{path} is not a 3-D {what}.", "Give a volume with one value per voxel.")
    return image


def check_same_grid(first: LabelMap, second: LabelMap) -> None:
    """Make sure that two label maps can be compared voxel by voxel.

    Raises:
        GeometryError: they lie on different grids.
    """
    if not first.grid.same_as(second.grid):
        sizes = [" x ".join(map(str, each.grid.size)) for each in (first, second)]
        raise GeometryError(
            f"{first.source} ({sizes[0]} voxels) and {second.source} ({sizes[1]} voxels) lie on different grids.",
            "Segment with the image as reference that the truth was drawn on, or resample the truth.",
        )
