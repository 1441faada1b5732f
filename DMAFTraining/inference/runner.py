"""Runs a job: reads, prepares, segments and writes, with events, and stops when asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from DMAFTraining.inference.errors import Cancelled
from DMAFTraining.inference.events import EventSink
from DMAFTraining.inference.job import PROTOCOL, Job
from DMAFTraining.inference.results import ResultFolder, provenance
from DMAFTraining.inference.segmenter import Segmenter

_PREPARED = 0.25  # share of the whole job that reading and preparing are shown as


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
