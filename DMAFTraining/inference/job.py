"""One segmentation job: what is asked, checked before any work. Imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.scans.options import ScanOptions

if TYPE_CHECKING:
    from DMAFTraining.inference.scans.reading import Source  # reads images: heavy

PROTOCOL = 1
MAPS = ("entropy", "agreement", "contribution")
"""What can be asked for beside the label maps: where the model is undecided, from every subset; how many of the
subsets show each region; how much each sequence counts in the fusion of all."""
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "bundle": str,
    "inputs": dict,
    "subsets": (str, list),
    "reference": (str, type(None)),
    "output": str,
    "device": str,
    "extension": str,
    "maps": list,
    "precision": str,
    "comparison": bool,
    "scans": dict,
    "native": list,
}
_SCAN_FIELDS: dict[str, type | tuple[type, ...]] = {
    "registration": str,
    "brain": str,
    "brain_mask": (str, type(None)),
    "bias_correction": bool,
    "cache": (str, type(None)),
}


@dataclass(frozen=True)
class Job:
    """What to segment.

    Attributes:
        bundle: model file.
        inputs: image of each sequence that exists: a file, a folder with one DICOM series, or a series.
        output: result folder.
        subsets: ``"full"``, ``"all"``, or a list of lists of sequence names.
        reference: sequence whose grid receives the results; default the first that exists.
        device: see :class:`~DMAFTraining.inference.segmenter.Segmenter`.
        extension: format of the label maps.
        overwrite: replace results in the output folder.
        maps: what else to write, of :data:`MAPS`.
        precision: see :class:`~DMAFTraining.inference.segmenter.Segmenter`.
        comparison: also compare the results with each other and write the numbers.
        scans: what to do with the images before.
        native: sequences on whose own grids results are written too, beside the reference.
    """

    bundle: Path
    inputs: Mapping[str, Source]
    output: Path
    subsets: Any = "full"
    reference: str | None = None
    device: str = "auto"
    extension: str = ".nii.gz"
    overwrite: bool = False
    maps: tuple[str, ...] = ()
    precision: str = "auto"
    comparison: bool = False
    scans: ScanOptions = field(default_factory=ScanOptions)
    native: tuple[str, ...] = ()


def read_job(path: Path) -> Job:
    """Read a job file.

    Raises:
        InputError: missing, not JSON, or a field that is missing, unknown or of the wrong type.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The job file {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"The job file {path} is not valid JSON ({error}).") from error
    _check_fields(path, document)
    return Job(
        Path(document["bundle"]),
        {name: Path(file) for name, file in document["inputs"].items()},
        Path(document["output"]),
        document.get("subsets", "full"),
        document.get("reference"),
        document.get("device", "auto"),
        document.get("extension", ".nii.gz"),
        maps=tuple(document.get("maps", ())),
        precision=document.get("precision", "auto"),
        comparison=document.get("comparison", False),
        scans=_scan_options(document.get("scans", {})),
        native=tuple(document.get("native", ())),
    )


def _scan_options(document: Mapping[str, Any]) -> ScanOptions:
    paths = {name: Path(document[name]) for name in ("brain_mask", "cache") if document.get(name) is not None}
    return ScanOptions(**{**document, "brain_mask": None, "cache": None, **paths})


def _check_fields(path: Path, document: object) -> None:
    if not isinstance(document, dict) or document.get("schema") != PROTOCOL:
        raise InputError(f"The job file {path} should be a JSON object with schema {PROTOCOL}.")
    for name in ("bundle", "inputs", "output"):
        if name not in document:
            raise InputError(f"The job file {path} lacks the field {name!r}.")
    _check_types(path, document, _FIELDS)
    _check_types(path, document.get("scans", {}), _SCAN_FIELDS, "scans.")
    if not all(isinstance(name, str) for name in document.get("native", ())):
        raise InputError(f"The job file {path}: the field 'native' should list names of sequences.")
    if not all(isinstance(file, str) for file in document["inputs"].values()):
        raise InputError(f"The job file {path}: every input should be a file path.")
    if unknown := [name for name in document.get("maps", ()) if name not in MAPS]:
        raise InputError(f"The job file {path}: there is no map {unknown[0]!r}, only {', '.join(MAPS)}.")


def _check_types(
    path: Path, document: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]], prefix: str = ""
) -> None:
    for name, value in document.items():
        if name not in fields:
            raise InputError(f"The job file {path} has an unknown field {prefix + name!r}.")
        if not isinstance(value, fields[name]):
            raise InputError(f"The job file {path}: the field {prefix + name!r} has the wrong type.")
