"""The result folder: one label map per subset and a provenance file, each written whole or not at all."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import scipy
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from DMAFTraining import RESEARCH_NOTICE, __version__
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.inference.preprocessing import PreparedCase
from DMAFTraining.inference.scans.reading import Source, content_sha256, describe
from DMAFTraining.inference.segmenter import Segmenter, SubsetResult

PROVENANCE = "provenance.json"
EXTENSIONS = (".nii.gz", ".nrrd")


class ResultFolder:
    """Writes results one by one; :meth:`discard` takes back everything after a cancel or an error.

    Args:
        path: the folder; made if missing.
        extension: file format of the label maps, ``.nii.gz`` or ``.nrrd``.
        overwrite: replace results that are already there.

    Raises:
        InputError: the folder holds results already, cannot be made, or the extension is unknown.
    """

    def __init__(self, path: Path, extension: str = ".nii.gz", overwrite: bool = False) -> None:
        check_output(path, extension, overwrite)
        self.path = path
        self.extension = extension
        self._written: list[Path] = []
        self._folders = [] if path.exists() else [path]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"The folder {path} cannot be made ({error.strerror}).", "Choose another.") from error

    def write_labels(self, result: SubsetResult, grid: Grid) -> Path:
        """Write one label map on its grid, compressed; returns its path."""
        return self.write_image("labels", str(result.subset), result.labels, grid)

    def write_maps(self, result: SubsetResult, grid: Grid) -> dict[str, Path]:
        """Write the maps that a result has, like :meth:`write_labels`; returns their paths by name."""
        maps = {"entropy": result.entropy}
        return {
            name: self.write_image(name, str(result.subset), array, grid)
            for name, array in maps.items()
            if array is not None
        }

    def write_native(self, result: SubsetResult, grids: Mapping[str, Grid]) -> dict[str, dict[str, Path]]:
        """Write what a result has on the grids of further sequences, a folder for each; paths by sequence and kind."""
        files: dict[str, dict[str, Path]] = {}
        for name, maps in result.native.items():
            images: dict[str, NDArray[Any] | None] = {"labels": maps.labels, "entropy": maps.entropy}
            files[name] = {
                kind: self.write_image(kind, str(result.subset), array, grids[name], f"native_{name}")
                for kind, array in images.items()
                if array is not None
            }
        return files

    def write_image(self, kind: str, what: str, array: NDArray[Any], grid: Grid, inside: str = "") -> Path:
        """Write an image of a kind, such as ``labels``, that shows something, such as a subset; returns its path.

        ``inside`` names a folder in the result folder.
        """
        image = to_image(array, grid)
        name = f"{kind}_{what}{self.extension}"
        return self.write(name, lambda path: sitk.WriteImage(image, str(path), useCompression=True), inside)

    def write(self, name: str, writer: Callable[[Path], object], inside: str = "") -> Path:
        """Write any file by a function that is given a path; returns where the file is when it is whole."""
        folder = self.path / inside
        if not folder.exists():
            folder.mkdir()
            self._folders.append(folder)
        target, partial = folder / name, folder / f".part-{name}"
        try:
            writer(partial)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        self._written.append(target)
        return target

    def write_provenance(self, document: Mapping[str, Any]) -> Path:
        """Write how the results came about; its presence says that the run is complete."""
        return self.write_document(PROVENANCE, document)

    def write_document(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write a document as JSON; returns its path."""
        text = json.dumps(document, indent=1) + "\n"
        return self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def discard(self) -> None:
        """Remove what was written, and the folders that this object made."""
        for path in self._written:
            path.unlink(missing_ok=True)
        for folder in reversed(self._folders):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def check_output(path: Path, extension: str, overwrite: bool) -> None:
    """Whether results can be written to a folder, before any slow work.

    Raises:
        InputError: the folder holds results already, or the extension is unknown.
    """
    if extension not in EXTENSIONS:
        raise InputError(f"Label maps can be written as {' or '.join(EXTENSIONS)}, not {extension!r}.")
    if not overwrite and path.is_dir() and (any(path.glob("labels_*")) or (path / PROVENANCE).exists()):
        raise InputError(f"{path} holds results already.", "Choose another folder, or overwrite them.")


def provenance(
    segmenter: Segmenter,
    sources: Mapping[str, Source],
    case: PreparedCase,
    scans: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, float],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Everything needed to say later what was done, without patient data beyond file names.

    ``sources`` are the scans as they were given, ``scans`` is what was done with them; ``seconds`` is the time of each
    stage; ``results`` is by subset; ``warnings`` are those that the user was told.
    """
    metadata = segmenter.metadata
    inputs = {name: {"file": describe(s), "sha256": content_sha256(s)} for name, s in sources.items()}
    return {
        "notice": RESEARCH_NOTICE,
        "program": {"name": "DMAFTraining", "version": __version__},
        "model": {"name": metadata.name, "version": metadata.version, "sha256": segmenter.bundle.sha256},
        "simulated_training": metadata.simulated_training,
        "inputs": inputs,
        "reference": case.reference,
        "scans": scans,
        "working_grid": {"size": list(case.grid.size), "ijk_to_ras": case.grid.ijk_to_ras.tolist()},
        "preparation": list(case.steps),
        "window": {"patch": list(metadata.window.patch), "overlap": metadata.window.overlap},
        "labels": {str(label.value): label.name for label in metadata.labels},
        "regions": [{"name": r.name, "title": r.title, "labels": list(r.labels)} for r in metadata.regions],
        "device": str(segmenter.device),
        "precision": segmenter.precision,
        "results": results,
        "warnings": list(warnings),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(sum(seconds.values()), 2),
        "stage_seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "SimpleITK": sitk.Version_VersionString(),
            "safetensors": safetensors.__version__,
        },
    }
