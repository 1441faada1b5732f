"""What was done with the scans, as JSON: for the worker's event and for the provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from DMAFTraining.inference.scans.decisions import Decision
from DMAFTraining.inference.scans.pipeline import PreparedScans


def decisions_event(reference: str, decisions: Sequence[Decision]) -> dict[str, Any]:
    """Fields of the event ``decisions``, which comes before the steps that were decided on."""
    return {"reference": reference, "decisions": [asdict(decision) for decision in decisions]}


def scans_event(scans: PreparedScans, pictures: Mapping[str, Path]) -> dict[str, Any]:
    """Fields of the event ``scans``; ``pictures`` are files by sequence."""
    return {
        **decisions_event(scans.reference, scans.decisions),
        "transforms": {name: matrix.tolist() for name, matrix in scans.transforms.items()},
        "pictures": {name: str(path) for name, path in pictures.items()},
        "brain_tool": scans.brain_tool,
        "brain_ml": scans.brain_ml,
    }


def scans_record(scans: PreparedScans, pictures: Mapping[str, Path], transforms: Mapping[str, Path]) -> dict[str, Any]:
    """The same for the provenance, with each step, its files, and the grids of the scans as they were given."""
    return {
        **scans_event(scans, {}),
        "pictures": {name: path.name for name, path in pictures.items()},
        "transform_files": {name: path.name for name, path in transforms.items()},
        "steps": list(scans.steps),
        "grids": {
            name: {"size": list(grid.size), "ijk_to_ras": grid.ijk_to_ras.tolist()}
            for name, grid in scans.native.items()
        },
    }
