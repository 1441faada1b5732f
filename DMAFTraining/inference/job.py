"""One segmentation job: what is asked, checked before any work, and run with events and cancel."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DMAFTraining.inference.errors import Cancelled, InputError
from DMAFTraining.inference.events import EventSink
from DMAFTraining.inference.results import ResultFolder, provenance
from DMAFTraining.inference.segmenter import Segmenter

PROTOCOL = 1
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "bundle": str,
    "inputs": dict,
    "subsets": (str, list),
    "reference": (str, type(None)),
    "output": str,
    "device": str,
    "extension": str,
}
_PREPARED = 0.25  # share of the whole job that reading and preparing are shown as


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
    """

    bundle: Path
    inputs: dict[str, Path]
    output: Path
    subsets: Any = "full"
    reference: str | None = None
    device: str = "auto"
    extension: str = ".nii.gz"
    overwrite: bool = False


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


def run_job(job: Job, sink: EventSink, cancelled: Callable[[], bool]) -> None:
    """Run a job to the end, telling ``sink``; nothing stays on disk unless it finishes.

    Raises:
        InputError, BundleError: before anything is written.
        Cancelled: ``cancelled()`` became true; what was written is removed.
    """
    progress = _Progress(sink, cancelled)
    progress.at(0.0, "load", "Loading the model")
    segmenter = Segmenter(job.bundle, job.device)
    progress.at(0.05, "read", f"Reading {len(job.inputs)} images")
    volumes = segmenter.read(job.inputs)
    progress.at(0.15, "prepare", "Preparing the images")
    case = segmenter.prepare(volumes, job.reference)
    subsets = segmenter.subsets(job.subsets, case.available)
    folder = ResultFolder(job.output, job.extension, job.overwrite)
    try:
        sink.emit("started", **_started(job, segmenter, [str(s) for s in subsets]))
        for code, message in case.warnings:
            sink.emit("warning", code=code, message=message)
        message = f"Segmenting {len(subsets)} combination{'s' if len(subsets) > 1 else ''}"
        results: dict[str, dict[str, Any]] = {}
        work = segmenter.segment(case, [s.names for s in subsets], progress.within(_PREPARED, "segment", message))
        for result in work:
            file = folder.write_labels(result, case.native)
            row = {
                "subset": list(result.subset.names),
                "file": str(file),
                "volumes_ml": result.volumes_ml,
                "dice_to_fullest": result.dice_to_fullest,
            }
            results[str(result.subset)] = row | {"file": file.name}
            sink.emit("result", title=str(result.subset), **row)
        document = provenance(segmenter, volumes, case, results, progress.seconds())
        path = folder.write_provenance(document)
    except BaseException:
        folder.discard()
        raise
    sink.emit("done", output=str(job.output), provenance=str(path), seconds=round(progress.seconds(), 2))


def _started(job: Job, segmenter: Segmenter, subsets: list[str]) -> Mapping[str, Any]:
    metadata = segmenter.metadata
    return {
        "protocol": PROTOCOL,
        "pid": os.getpid(),
        "model": {"name": metadata.name, "version": metadata.version, "sha256": segmenter.bundle.sha256},
        "device": str(segmenter.device),
        "subsets": subsets,
        "output": str(job.output),
    }


class _Progress:
    """Turns fractions into events with the time left, and stops the work on cancel."""

    def __init__(self, sink: EventSink, cancelled: Callable[[], bool]) -> None:
        self._sink = sink
        self._cancelled = cancelled
        self._start = time.monotonic()
        self._stage = ""

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def at(self, fraction: float, stage: str, message: str) -> None:
        if self._cancelled():
            raise Cancelled
        if stage != self._stage:
            self._sink.emit("stage", stage=stage, message=message)
        self._stage = stage
        left = self.seconds() * (1 / fraction - 1) if fraction > 0.02 else None
        eta = None if left is None else round(left, 1)
        self._sink.emit("progress", fraction=round(fraction, 4), stage=stage, message=message, eta_s=eta)

    def within(self, start: float, stage: str, message: str) -> Callable[[float], None]:
        """A function that maps 0..1 of one stage into the whole job."""
        return lambda fraction: self.at(start + (1 - start) * fraction, stage, message)
