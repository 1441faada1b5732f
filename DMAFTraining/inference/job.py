"""One segmentation job: what is asked, checked before any work. Imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DMAFTraining.inference.errors import InputError

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
}


@dataclass(frozen=True)
class Job:
    """What to segment.

    Attributes:
        bundle: model file.
        inputs: image file of each sequence that exists.
        output: result folder.
        subsets: ``"full"``, ``"all"``, or a list of lists of sequence names.
        reference: sequence whose grid receives the results; default the first that exists.
        device: see :class:`~DMAFTraining.inference.segmenter.Segmenter`.
        extension: format of the label maps.
        overwrite: replace results in the output folder.
        maps: what else to write, of :data:`MAPS`.
        precision: see :class:`~DMAFTraining.inference.segmenter.Segmenter`.
        comparison: also compare the results with each other and write the numbers.
    """

    bundle: Path
    inputs: dict[str, Path]
    output: Path
    subsets: Any = "full"
    reference: str | None = None
    device: str = "auto"
    extension: str = ".nii.gz"
    overwrite: bool = False
    maps: tuple[str, ...] = ()
    precision: str = "auto"
    comparison: bool = False


def read_job(path: Path) -> Job:
    """Read a job file.

    Raises:
        InputError: missing, not JSON, or a field that is missing, unknown or of the wrong type.
    """
    try:
        document = json.loads(path.read_text())
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
    )


def _check_fields(path: Path, document: object) -> None:
    if not isinstance(document, dict) or document.get("schema") != PROTOCOL:
        raise InputError(f"The job file {path} should be a JSON object with schema {PROTOCOL}.")
    if unknown := sorted(set(document) - set(_FIELDS)):
        raise InputError(f"The job file {path} has an unknown field {unknown[0]!r}.")
    for name in ("bundle", "inputs", "output"):
        if name not in document:
            raise InputError(f"The job file {path} lacks the field {name!r}.")
    for name, value in document.items():
        if not isinstance(value, _FIELDS[name]):
            raise InputError(f"The job file {path}: the field {name!r} has the wrong type.")
    if not all(isinstance(file, str) for file in document["inputs"].values()):
        raise InputError(f"The job file {path}: every input should be a file path.")
    if unknown := [name for name in document.get("maps", ()) if name not in MAPS]:
        raise InputError(f"The job file {path}: there is no map {unknown[0]!r}, only {', '.join(MAPS)}.")
