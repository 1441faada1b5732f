"""Runs of the whole pipeline on one patient: clean, and raw-like with more or less left to do."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.benchmarking.scans_raw import RawScan
from DMAFTraining.evaluation.stored import LabelMap, read_labels, read_results
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.events import TerminalLines
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, read_volume
from DMAFTraining.inference.job import Job
from DMAFTraining.inference.metadata import read_metadata
from DMAFTraining.inference.runner import run_job
from DMAFTraining.inference.scans.options import ScanOptions
from DMAFTraining.inference.scans.pipeline import prepare_scans

_OFF = ScanOptions(registration="off", brain="off")


@dataclass(frozen=True)
class Variant:
    """One way to segment the patient.

    Attributes:
        name: of its folder of results.
        title: for the table.
        files: image of each sequence.
        options: what the pipeline may do.
        reference: sequence that receives the results; None lets the pipeline choose.
        native: sequences on whose own grids results are written too.
    """

    name: str
    title: str
    files: dict[str, Path]
    options: ScanOptions
    reference: str | None = None
    native: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a variant; ``problem`` is the sentence of a run that was refused, and then the rest is empty.

    Attributes:
        result: label map on the grid of the reference.
        native: label maps on the grids of other sequences.
        transforms: 4x4 RAS that were found, from each sequence to the reference; none where nothing was registered.
        brain: ``(I, J, K)`` on the grid of the reference if it was extracted there.
        brain_tool: what extracted it.
        seconds: of each stage.
        warnings: told to the user.
    """

    problem: str = ""
    result: LabelMap | None = None
    native: dict[str, LabelMap] = field(default_factory=dict)
    transforms: dict[str, Matrix] = field(default_factory=dict)
    brain: NDArray[np.bool_] | None = None
    brain_tool: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def plan_variants(
    clean: Mapping[str, Path], folders: Mapping[str, Mapping[str, Path]], reference: str, cache: Path
) -> tuple[Variant, ...]:
    """The runs.

    Args:
        clean: files of the clean case.
        folders: files of the raw-like scans: ``aligned``, ``stripped`` and ``raw``, see :func:`as_known`.
        reference: sequence that receives the results of raw-like scans.
        cache: folder that only this comparison uses, so that no step is skipped.
    """
    auto = ScanOptions(cache=cache)
    others = tuple(name for name in clean if name != reference)
    aligned, stripped, raw = (dict(folders[kind]) for kind in ("aligned", "stripped", "raw"))
    return (
        Variant("clean", "clean case", dict(clean), auto),
        Variant("aligned", "raw-like, true transforms and brain", aligned, _OFF, reference),
        Variant("stripped", "raw-like, skull off", stripped, auto, reference, others),
        Variant("raw", "raw-like, skull on", raw, auto, reference, others),
        Variant("unprepared", "raw-like, skull on, nothing prepared", raw, _OFF, reference),
    )


def as_known(scans: Mapping[str, RawScan], reference: str) -> dict[str, Volume]:
    """The scans as if their transforms and the brain were known: cut out, and placed on the reference."""
    to_reference = scans[reference].motion
    return {
        name: Volume(scan.stripped.array, Grid(scan.volume.grid.size, to_reference @ scan.grid_in_case.ijk_to_ras))
        for name, scan in scans.items()
    }


def run_variant(variant: Variant, bundle: Path, output: Path, device: str) -> Outcome:
    """Run the command's own code on files, as a user would, and read back what it wrote."""
    job = Job(
        bundle,
        variant.files,
        output / variant.name,
        reference=variant.reference,
        device=device,
        scans=variant.options,
        native=variant.native,
    )
    events = _Events()
    try:
        run_job(job, events, lambda: False)
    except InputError as error:
        return Outcome(problem=str(error))
    stored = read_results(job.output)
    file = stored.rows[0].file
    facts: dict[str, Any] = events.scans
    return Outcome(
        "",
        read_labels(file),
        {name: read_labels(job.output / f"native_{name}" / file.name) for name in variant.native},
        {name: np.array(matrix) for name, matrix in facts["transforms"].items()},
        _brain(variant, bundle) if facts["brain_tool"] else None,
        facts["brain_tool"],
        stored.provenance["stage_seconds"],
        tuple(events.warnings),
    )


def _brain(variant: Variant, bundle: Path) -> NDArray[np.bool_]:
    """The brain mask, which is not among the results: prepared once more, from the cache."""
    metadata = read_metadata(bundle)
    volumes = {name: read_volume(path) for name, path in variant.files.items()}
    prepared = prepare_scans(
        volumes, metadata.modalities, metadata.preprocessing, variant.options, reference=variant.reference
    )
    return prepared.volumes[prepared.reference].array != 0


class _Events:
    """Shows the events of a job on stderr and keeps what is needed of them."""

    def __init__(self) -> None:
        self._lines = TerminalLines(sys.stderr)
        self.scans: dict[str, Any] = {"transforms": {}, "brain_tool": None}
        self.warnings: list[str] = []

    def emit(self, event: str, **fields: Any) -> None:
        """Tell one event."""
        if event == "scans":
            self.scans = fields
        if event == "warning":
            self.warnings.append(fields["message"])
        self._lines.emit(event, **fields)
