"""Runs a job: reads, prepares, segments and writes, with events, and stops when asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from DMAFTraining.inference.case_extras import CaseExtras
from DMAFTraining.inference.errors import Cancelled, InputError
from DMAFTraining.inference.events import EventSink
from DMAFTraining.inference.geometry import Volume
from DMAFTraining.inference.job import PROTOCOL, Job
from DMAFTraining.inference.preprocessing import PreparedCase, grid_warning
from DMAFTraining.inference.results import ResultFolder, check_output, provenance
from DMAFTraining.inference.scans.alignment_picture import write_picture
from DMAFTraining.inference.scans.decisions import decide
from DMAFTraining.inference.scans.document import decisions_event, scans_event, scans_record
from DMAFTraining.inference.scans.pipeline import PreparedScans, prepare_scans
from DMAFTraining.inference.scans.step_bar import usual_seconds
from DMAFTraining.inference.scans.transform_file import write_transform
from DMAFTraining.inference.segmenter import Segmenter, SubsetResult
from DMAFTraining.modalities import ModalitySet

_READ = 0.15  # share of the whole job that loading and reading are shown as
_PREPARED = 0.25  # likewise up to the end of preparing
_SEGMENTED = 0.8  # likewise up to the end of segmenting, where more is to be done with the results
_USUAL_SECONDS = 10.0  # of all that follows the steps for raw scans, on a processor


def run_job(job: Job, sink: EventSink, cancelled: Callable[[], bool]) -> None:
    """Run a job to the end, telling ``sink``; nothing stays on disk unless it finishes.

    Raises:
        InputError, BundleError: before anything is written.
        Cancelled: ``cancelled()`` became true; what was written is removed.
    """
    progress = _Progress(sink, cancelled)
    warn = _Warnings(sink)
    progress.at(0.0, "load", "Loading the model")
    check_output(job.output, job.extension, job.overwrite)
    segmenter = Segmenter(job.bundle, job.device, job.precision)
    extras = CaseExtras(job, segmenter)  # refuses what the model cannot give before anything is read
    progress.at(0.05, "read", f"Reading {len(job.inputs)} images")
    volumes = segmenter.read(job.inputs, warn)
    progress.at(_READ, "prepare", "Preparing the images")
    scans = _prepare_scans(job, segmenter, volumes, sink, progress)
    case = segmenter.prepare(scans.volumes, scans.reference)
    subsets = segmenter.subsets(job.subsets, case.available)
    native = {name: scans.volumes[name].grid for name in _other_grids(job, case)}
    folder = ResultFolder(job.output, job.extension, job.overwrite)
    try:
        sink.emit("started", **_started(job, segmenter, [str(s) for s in subsets]))
        for code, message in _warnings(scans, case, segmenter.metadata.modalities):
            warn(code, message)
        record = _tell_scans(scans, folder, sink)
        message = f"Segmenting {len(subsets)} combination{'s' if len(subsets) > 1 else ''}"
        results: dict[str, dict[str, Any]] = {}
        report = progress.within(_PREPARED, _SEGMENTED if extras.wanted else 1.0, "segment", message)
        names = [s.names for s in subsets]
        for result in segmenter.segment(case, names, report, "entropy" in job.maps, warn, native):
            results[str(result.subset)] = _tell_result(result, folder, case, scans, sink)
            extras.add(result)
        together: dict[str, Any] = {}
        if extras.wanted:
            message = "Comparing the results"
            together = extras.write(folder, case, progress.within(_SEGMENTED, 1.0, "compare", message))
            sink.emit("comparison", output=str(job.output), **together)
        told = (progress.stage_seconds(), warn.messages)
        document = provenance(segmenter, job.inputs, case, record, results, *told) | together
        path = folder.write_provenance(document)
    except BaseException:
        folder.discard()
        raise
    sink.emit("done", output=str(job.output), provenance=str(path), seconds=round(progress.seconds(), 2))


def _prepare_scans(
    job: Job, segmenter: Segmenter, volumes: Mapping[str, Volume], sink: EventSink, progress: _Progress
) -> PreparedScans:
    model = (segmenter.metadata.modalities, segmenter.metadata.preprocessing)
    looking = progress.within(_READ, _READ, "prepare", "Finding out what the scans need")
    plan = decide(volumes, *model, job.scans, job.reference, looking)
    sink.emit("decisions", **decisions_event(plan.reference, plan.decisions))
    seconds = usual_seconds(plan)
    progress.make_room(seconds / (seconds + _USUAL_SECONDS))
    scans = prepare_scans(volumes, *model, job.scans, on_step=progress.step, plan=plan)
    if seconds:
        progress.at(_READ, "prepare", "Preparing the images")
    return scans


def _warnings(scans: PreparedScans, case: PreparedCase, modalities: ModalitySet) -> list[tuple[str, str]]:
    """What to warn of before segmenting, each once; that a scan lies elsewhere is no news where it was registered."""
    known = {grid_warning(modalities[name].title, modalities[scans.reference].title) for name in scans.transforms}
    return [told for told in dict.fromkeys([*scans.warnings, *case.warnings]) if told not in known]


def _other_grids(job: Job, case: PreparedCase) -> list[str]:
    """Sequences beside the reference whose grids results are wanted on."""
    for name in job.native:
        if name not in case.available:
            raise InputError(f"Results were asked for on the grid of {name!r}, which was not given.", "Leave it out.")
    return [name for name in dict.fromkeys(job.native) if name != case.reference]


def _tell_scans(scans: PreparedScans, folder: ResultFolder, sink: EventSink) -> dict[str, Any]:
    """Write what belongs to the preparation of the scans, and tell it; returns its part of the provenance."""
    pictures = {
        name: folder.write(f"alignment_{name}.png", partial(write_picture, picture=picture))
        for name, picture in scans.pictures.items()
    }
    transforms = {
        name: folder.write(f"transform_{name}_to_{scans.reference}.tfm", partial(write_transform, moved_by=matrix))
        for name, matrix in scans.transforms.items()
    }
    sink.emit("scans", **scans_event(scans, pictures))
    return scans_record(scans, pictures, transforms)


def _tell_result(
    result: SubsetResult, folder: ResultFolder, case: PreparedCase, scans: PreparedScans, sink: EventSink
) -> dict[str, Any]:
    """Write the result of one subset, and tell it; returns its row of the provenance."""
    file = folder.write_labels(result, case.native)
    maps = folder.write_maps(result, case.native)
    native = folder.write_native(result, scans.native)
    row = {
        "subset": list(result.subset.names),
        "volumes_ml": result.volumes_ml,
        "dice_to_fullest": result.dice_to_fullest,
    }
    paths = {name: str(path) for name, path in maps.items()}
    labels = {name: str(files["labels"]) for name, files in native.items()}
    sink.emit("result", title=str(result.subset), **row, file=str(file), maps=paths, native=labels)
    return row | {
        "file": file.name,
        "maps": {name: path.name for name, path in maps.items()},
        "native": {
            name: {kind: str(path.relative_to(folder.path)) for kind, path in files.items()}
            for name, files in native.items()
        },
    }


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
        self._stages: list[tuple[str, float]] = []
        self._steps_end = _READ

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def stage_seconds(self) -> dict[str, float]:
        """Time of each stage so far, in order; the last one is still running."""
        total: dict[str, float] = {}
        ends = [*(start for _, start in self._stages[1:]), self.seconds()]
        for (stage, start), end in zip(self._stages, ends, strict=True):
            total[stage] = total.get(stage, 0.0) + end - start
        return total

    def make_room(self, share: float) -> None:
        """Give steps for raw scans a share of what is left of the bar once the images are read."""
        self._steps_end = _READ + share * (1 - _READ)

    def step(self, fraction: float, stage: str, message: str) -> None:
        """Tell how far the steps for raw scans are, 0 to 1 for all of them."""
        self._tell(_READ + fraction * (self._steps_end - _READ), stage, message)

    def at(self, fraction: float, stage: str, message: str) -> None:
        """Tell how far the job is, not counting the steps for raw scans."""
        if fraction >= _READ:
            fraction = self._steps_end + (fraction - _READ) * (1 - self._steps_end) / (1 - _READ)
        self._tell(fraction, stage, message)

    def within(self, start: float, end: float, stage: str, message: str) -> Callable[[float], None]:
        """A function that maps 0..1 of one stage into the whole job."""
        return lambda fraction: self.at(start + (end - start) * fraction, stage, message)

    def _tell(self, fraction: float, stage: str, message: str) -> None:
        if self._cancelled():
            raise Cancelled
        if not self._stages or stage != self._stages[-1][0]:
            self._sink.emit("stage", stage=stage, message=message)
            self._stages.append((stage, self.seconds()))
        left = self.seconds() * (1 / fraction - 1) if fraction > 0.02 else None
        eta = None if left is None else round(left, 1)
        self._sink.emit("progress", fraction=round(fraction, 4), stage=stage, message=message, eta_s=eta)
