"""The figures of the raw-like test as one document of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from DMAFTraining.benchmarking.scans_case import CleanCase
from DMAFTraining.benchmarking.scans_measure import (
    Labels,
    apply,
    carry_labels,
    center,
    correlation,
    registration_error,
    shift_mm,
    turn_degrees,
)
from DMAFTraining.benchmarking.scans_raw import RawScan
from DMAFTraining.benchmarking.scans_variants import Outcome
from DMAFTraining.inference.comparison import dice, region_dice, region_mask
from DMAFTraining.inference.geometry import Grid, Matrix, Volume
from DMAFTraining.inference.metadata import Region

Document = dict[str, Any]


class Truth:
    """What is known about a raw-like patient, and how outcomes compare with it.

    Args:
        case: the clean case.
        scans: made from it.
        reference: sequence whose grid has the results of raw-like scans.
        regions: of the model, the largest first.
    """

    def __init__(
        self, case: CleanCase, scans: Mapping[str, RawScan], reference: str, regions: Sequence[Region]
    ) -> None:
        self._case = case
        self._scans = scans
        self._reference = reference
        self._regions = regions
        self._positions = case.brain_positions()

    def describe_scans(self) -> Document:
        """Of each sequence: grid, true motion against the reference, and how well the truth brings it back."""
        return {name: self._describe(name, scan) for name, scan in self._scans.items()}

    def _describe(self, name: str, scan: RawScan) -> Document:
        motion = self._true(name)
        here = apply(scan.motion, self._positions)
        back = Volume(scan.volume.array, scan.grid_in_case)
        return {
            "size": list(scan.volume.grid.size),
            "spacing": list(scan.protocol.spacing),
            "plane": scan.protocol.plane,
            "turn_degrees": turn_degrees(motion),
            "shift_mm": shift_mm(motion, here.mean(axis=0)),
            "to_reference": motion.tolist(),
            "correlation": correlation(back, self._case.images[name], self._case.brain),
        }

    def _true(self, name: str) -> Matrix:
        """True transform of a scan to the reference."""
        return np.asarray(self._scans[self._reference].motion @ np.linalg.inv(self._scans[name].motion))

    def interpolation_alone(self) -> Document | None:
        """Dice of the segmentation with itself, carried to the reference grid and back."""
        if self._case.labels is None:
            return None
        there = self._scans[self._reference].grid_in_case
        back = carry_labels(carry_labels(self._case.labels, self._case.grid, there), there, self._case.grid)
        return region_dice(back, self._case.labels, self._regions)

    def judge_clean(self, outcome: Outcome) -> Document:
        """Figures of the clean case itself."""
        document = _facts(outcome)
        if outcome.result is not None:
            document["dice_to_segmentation"] = self._dice(outcome.result.array, self._case.labels, self._case.grid)
        return document

    def judge(self, outcome: Outcome, clean: Outcome) -> Document:
        """Figures of a run on raw-like scans, beside the run on the clean case."""
        document = _facts(outcome)
        if outcome.result is None:
            return document
        there = self._scans[self._reference].grid_in_case
        document["dice_to_segmentation"] = self._dice(outcome.result.array, self._case.labels, there)
        document["dice_to_clean"] = self._dice(
            outcome.result.array, clean.result.array if clean.result else None, there
        )
        document["registration"] = {name: self._registration(name, found) for name, found in outcome.transforms.items()}
        document["brain"] = self._brain(outcome)
        document["native"] = {name: self._native(name, outcome) for name in outcome.native}
        return document

    def _dice(self, result: Labels, truth: Labels | None, there: Grid) -> Document | None:
        """Dice of a result with labels of the clean case, on the grid of the result."""
        if truth is None:
            return None
        same = there.same_as(self._case.grid)
        return region_dice(result, truth if same else carry_labels(truth, self._case.grid, there), self._regions)

    def _registration(self, name: str, found: Matrix) -> Document:
        here = apply(self._scans[name].motion, self._positions)
        mean, largest = registration_error(found, self._true(name), here)
        before, _ = registration_error(np.eye(4), self._true(name), here)
        return {"before_mm": before, "mean_mm": mean, "max_mm": largest}

    def _brain(self, outcome: Outcome) -> Document | None:
        if outcome.brain is None:
            return None
        true, voxel = self._scans[self._reference].brain, self._scans[self._reference].volume.grid.voxel_ml
        return {
            "tool": outcome.brain_tool,
            "dice": dice(outcome.brain, true),
            "true_ml": float(true.sum() * voxel),
            "missed_ml": float((true & ~outcome.brain).sum() * voxel),
            "extra_ml": float((outcome.brain & ~true).sum() * voxel),
        }

    def _native(self, name: str, outcome: Outcome) -> Document:
        """A result on the grid of another sequence: Dice there, and how far it lies from that on the reference."""
        scan, labels = self._scans[name], outcome.native[name].array
        reference = outcome.result
        region, grid = self._regions[0], scan.volume.grid
        middle = center(region_mask(labels, region), grid)
        wanted = None if reference is None else center(region_mask(reference.array, region), reference.grid)
        distance = None
        if middle is not None and wanted is not None:
            found = outcome.transforms.get(name, np.eye(4))
            on_scan = apply(np.linalg.inv(found), wanted[None])[0]
            here, there = apply(np.linalg.inv(grid.ijk_to_ras), np.stack([middle, on_scan]))
            distance = np.abs(here - there)
        return {
            "dice_to_segmentation": self._dice(labels, self._case.labels, scan.grid_in_case),
            "same_header": outcome.native[name].grid.same_as(grid),
            "round_trip_voxels": None if distance is None else float(distance.max()),
            "round_trip_mm": None if distance is None else float(np.linalg.norm(distance * grid.spacing)),
        }


def _facts(outcome: Outcome) -> Document:
    """What is there without a truth."""
    return {
        "problem": outcome.problem or None,
        "seconds": outcome.seconds,
        "all_seconds": sum(outcome.seconds.values()),
        "warnings": list(outcome.warnings),
    }
