"""Runs a job: reads, prepares, segments and writes, with events, and stops when asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from DMAFTraining.inference.case_extras import CaseExtras
from DMAFTraining.inference.errors import Cancelled
from DMAFTraining.inference.events import EventSink
from DMAFTraining.inference.job import PROTOCOL, Job
from DMAFTraining.inference.results import ResultFolder, provenance
from DMAFTraining.inference.segmenter import Segmenter

_PREPARED = 0.25  # share of the whole job that reading and preparing are shown as
_SEGMENTED = 0.8  # likewise up to the end of segmenting, where more is to be done with the results


def run_job(job: Job, sink: EventSink, cancelled: Callable[[], bool]) -> None:
    """Run a job to the end, telling ``sink``; nothing stays on disk unless it finishes.

    Raises:
        InputError, BundleError: before anything is written.
        Cancelled: ``cancelled()`` became true; what was written is removed.
    """
    progress = _Progress(sink, cancelled)
    progress.at(0.0, "load", "Loading the model")
    segmenter = Segmenter(job.bundle, job.device, job.precision)
    progress.at(0.05, "read", f"Reading {len(job.inputs)} images")
    volumes = segmenter.read(job.inputs)
    progress.at(0.15, "prepare", "Preparing the images")
    case = segmenter.prepare(volumes, job.reference)
    subsets = segmenter.subsets(job.subsets, case.available)
    extras = CaseExtras(job, segmenter)
    folder = ResultFolder(job.output, job.extension, job.overwrite)
    try:
        sink.emit("started", **_started(job, segmenter, [str(s) for s in subsets]))
        warn = _Warnings(sink)
        for code, message in case.warnings:
            warn(code, message)
        message = f"Segmenting {len(subsets)} combination{'s' if len(subsets) > 1 else ''}"
        results: dict[str, dict[str, Any]] = {}
        report = progress.within(_PREPARED, _SEGMENTED if extras.wanted else 1.0, "segment", message)
        for result in segmenter.segment(case, [s.names for s in subsets], report, "entropy" in job.maps, warn):
            file = folder.write_labels(result, case.native)
            maps = folder.write_maps(result, case.native)
            row = {
                "subset": list(result.subset.names),
                "volumes_ml": result.volumes_ml,
                "dice_to_fullest": result.dice_to_fullest,
            }
            names = {name: path.name for name, path in maps.items()}
            results[str(result.subset)] = row | {"file": file.name, "maps": names}
            paths = {name: str(path) for name, path in maps.items()}
            sink.emit("result", title=str(result.subset), **row, file=str(file), maps=paths)
            extras.add(result)
        together: dict[str, Any] = {}
        if extras.wanted:
            message = "Comparing the results"
            together = extras.write(folder, case, progress.within(_SEGMENTED, 1.0, "compare", message))
            sink.emit("comparison", output=str(job.output), **together)
        document = provenance(segmenter, volumes, case, results, progress.stage_seconds(), warn.messages) | together
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
        "precision": segmenter.precision,
        "subsets": subsets,
        "output": str(job.output),
    }


class _Warnings:
    """Tells warnings as events and keeps their sentences for the provenance."""

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self.messages: list[str] = []

    def __call__(self, code: str, message: str) -> None:
        self.messages.append(message)
        self._sink.emit("warning", code=code, message=message)


class _Progress:
    """Turns fractions into events with the time left, and stops the work on cancel."""

    def __init__(self, sink: EventSink, cancelled: Callable[[], bool]) -> None:
        self._sink = sink
        self._cancelled = cancelled
        self._start = time.monotonic()
        self._stage = ""
        self._stage_starts: dict[str, float] = {}

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def stage_seconds(self) -> dict[str, float]:
        """Time of each stage so far, in order; the last one is still running."""
        ends = [*list(self._stage_starts.values())[1:], self.seconds()]
        return {stage: end - start for (stage, start), end in zip(self._stage_starts.items(), ends, strict=True)}

    def at(self, fraction: float, stage: str, message: str) -> None:
        if self._cancelled():
            raise Cancelled
        if stage != self._stage:
            self._sink.emit("stage", stage=stage, message=message)
            self._stage_starts[stage] = self.seconds()
        self._stage = stage
        left = self.seconds() * (1 / fraction - 1) if fraction > 0.02 else None
        eta = None if left is None else round(left, 1)
        self._sink.emit("progress", fraction=round(fraction, 4), stage=stage, message=message, eta_s=eta)

    def within(self, start: float, end: float, stage: str, message: str) -> Callable[[float], None]:
        """A function that maps 0..1 of one stage into the whole job."""
        return lambda fraction: self.at(start + (end - start) * fraction, stage, message)
