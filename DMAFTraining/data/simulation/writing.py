"""Simulated brains and hearts as files: what a cohort depends on, its cases and its overview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.data.files import write_atomically
from DMAFTraining.data.pool import run_all
from DMAFTraining.data.progress import Report, progress
from DMAFTraining.data.simulated_cohort import Record
from DMAFTraining.data.simulation.anatomy import SPLITS, Anatomy, list_anatomies, load_label_map
from DMAFTraining.data.simulation.background import PATIENTS, load_backgrounds
from DMAFTraining.data.simulation.case import SimulatedCase
from DMAFTraining.data.simulation.cohort import Cohort
from DMAFTraining.data.simulation.contrast import SEQUENCES
from DMAFTraining.data.simulation.heart import HeartCase, HeartCohort, write_heart_case, write_heart_sheet
from DMAFTraining.data.simulation.look import LOOKS
from DMAFTraining.data.simulation.sheet import write_sheet
from DMAFTraining.data.simulation.statistics import cohort_statistics
from DMAFTraining.data.simulation.template import load_icbm152
from DMAFTraining.inference.geometry import Grid, Matrix, grid_of, to_image
from DMAFTraining.inference.metadata import sha256_file

_SHEET = "contact-sheet.png"
_SHEET_ROWS = 12
_STATISTICS = "statistics.txt"
_FINEST, _COARSEST = 0.5, 4.0  # mm; a wall of the heart is about 9 mm thick


@dataclass(frozen=True)
class BrainRecipe:
    """Brain tumor cases.

    Attributes:
        seed: names the cohort.
        spacing: voxel edge in mm.
        split: whose anatomy: train, validation or test.
        anatomies: folder of label maps; None for the average brain.
        backgrounds: folder of real scans; they serve training only, as few people must not be in two splits.
        appearance: training, or shifted: ranges that training never shows, see
            :mod:`~DMAFTraining.data.simulation.look`.

    Raises:
        ValueError: a field that cannot be, real scans outside of training, or a shifted appearance in it.
    """

    seed: int = 0
    spacing: float = 2.0
    split: str = "train"
    anatomies: Path | None = None
    backgrounds: Path | None = None
    appearance: str = "training"

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"Unknown split {self.split!r}; use one of {', '.join(SPLITS)}.")
        if self.spacing <= 0:
            raise ValueError(f"The spacing is {self.spacing} mm; give a positive number, for example 2.")
        if self.appearance not in LOOKS:
            raise ValueError(f"Unknown appearance {self.appearance!r}; use one of {', '.join(LOOKS)}.")
        if self.appearance != "training" and self.split == "train":
            raise ValueError("A shifted appearance is for judging; give --split validation or --split test with it.")
        if self.backgrounds and self.split != "train":
            raise ValueError(
                f"Real backgrounds belong to the train split; leave out --backgrounds with --split {self.split}."
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What the cases depend on; source files by name and SHA-256, wherever they lie."""
        return {
            "anatomy": "brain",
            "seed": self.seed,
            "spacing": self.spacing,
            "split": self.split,
            "anatomies": {path.name: sha256_file(path) for path in self._label_maps()},
            "backgrounds": {f"{path.parent.name}/{path.name}": sha256_file(path) for path in self._scans()},
            # Only where it differs: cohorts from before there was a choice can still be continued.
            **({} if self.appearance == "training" else {"appearance": self.appearance}),
        }

    def open(self, processes: int | None) -> BrainWriter:
        """Read anatomies and real scans."""
        backgrounds = load_backgrounds(self.backgrounds) if self.backgrounds else []
        cohort = Cohort(self._load_anatomies(processes), backgrounds, self.seed, look=LOOKS[self.appearance])
        return BrainWriter(cohort, self.spacing)

    def summarize(self, folder: Path, records: Sequence[Record]) -> str:
        """Contact sheet of the first cases, and what the whole cohort looks like beside real scans."""
        cases = WrittenCases(folder, records)
        write_sheet(cases[:_SHEET_ROWS], folder / _SHEET)
        with progress("Measuring") as report:
            text = cohort_statistics(WrittenCases(folder, records, report)).as_text()
        write_atomically(folder / _STATISTICS, f"{text}\n".encode())
        return f"{text}\nLook at {_SHEET}; the table is in {_STATISTICS}."

    def _label_maps(self) -> list[Path]:
        return list_anatomies(self.anatomies, self.split) if self.anatomies else []

    def _scans(self) -> list[Path]:
        if not self.backgrounds:
            return []
        return [path for patient in PATIENTS for path in sorted((self.backgrounds / patient).glob("*.nii.gz"))]

    def _load_anatomies(self, processes: int | None) -> list[Anatomy]:
        paths = self._label_maps()
        if not paths:
            return [load_icbm152()]
        found = []
        with progress("Reading anatomy") as report:
            for anatomy in run_all(load_label_map, paths, processes):
                found.append(anatomy)
                report(len(found), len(paths))
        return sorted(found, key=lambda anatomy: anatomy.name)  # they come in any order


@dataclass(frozen=True)
class BrainWriter:
    """Makes and writes the cases of a cohort at a spacing in mm."""

    cohort: Cohort
    spacing: float

    def __call__(self, index: int, folder: Path) -> Record:
        """Write case number ``index`` into ``folder``; returns what was drawn."""
        case = self.cohort.case(index, self.spacing)
        write_case(case, folder)
        return {"id": case.name, **case.info}


class WrittenCases(Sequence[SimulatedCase]):
    """The brain cases of a folder, read one at a time.

    Args:
        folder: of the cohort.
        records: its cases.
        report: told which case is read.
    """

    def __init__(self, folder: Path, records: Sequence[Record], report: Report | None = None) -> None:
        self.folder = folder
        self.records = records
        self.report = report

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> SimulatedCase: ...

    @overload
    def __getitem__(self, index: slice) -> list[SimulatedCase]: ...

    def __getitem__(self, index: int | slice) -> SimulatedCase | list[SimulatedCase]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        record = self.records[index]
        if self.report:
            self.report(index + 1, len(self))
        return read_case(self.folder, record)


def write_case(case: SimulatedCase, folder: Path) -> Path:
    """Write a case as ``<folder>/<name>/<name>_{t1,t1ce,flair,t2,seg}.nii.gz``; returns its folder."""
    place = folder / case.name
    place.mkdir(parents=True)
    i, j, k = case.labels.shape
    grid = Grid((i, j, k), case.affine)
    arrays: dict[str, NDArray[Any]] = {**case.images, "seg": case.labels}
    for name, array in arrays.items():
        sitk.WriteImage(to_image(array, grid), str(place / f"{case.name}_{name}.nii.gz"))
    return place


def read_case(folder: Path, record: Record) -> SimulatedCase:
    """Read back what :func:`write_case` wrote."""
    arrays, affine = _read(folder, record, (*SEQUENCES, "seg"))
    labels = arrays.pop("seg").astype(np.uint8)
    return SimulatedCase(record["id"], arrays, labels, affine, record)


def _read(folder: Path, record: Record, suffixes: Sequence[str]) -> tuple[dict[str, NDArray[Any]], Matrix]:
    """Arrays (X, Y, Z) of a case by the suffix of its files, and their affine."""
    name = record["id"]
    images = {suffix: sitk.ReadImage(str(folder / name / f"{name}_{suffix}.nii.gz")) for suffix in suffixes}
    arrays = {suffix: sitk.GetArrayFromImage(image).transpose(2, 1, 0) for suffix, image in images.items()}
    return arrays, grid_of(images[suffixes[0]]).ijk_to_ras


@dataclass(frozen=True)
class HeartRecipe:
    """Hearts after a heart attack, in the files of MyoPS 2020.

    Attributes:
        seed: names the cohort.
        spacing: side of a pixel in mm; None draws it for each case, 0.75 to 1.4.

    Raises:
        ValueError: a spacing that no heart can be drawn with.
    """

    seed: int = 0
    spacing: float | None = None

    def __post_init__(self) -> None:
        if self.spacing is not None and not _FINEST <= self.spacing <= _COARSEST:
            raise ValueError(f"The spacing of hearts is {self.spacing:g} mm; give {_FINEST:g} to {_COARSEST:g}.")

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the cases depend on."""
        # The spacing only where it was given: cohorts from before there was a choice can still be continued.
        given = {} if self.spacing is None else {"spacing": self.spacing}
        return {"anatomy": "heart", "seed": self.seed, **given}

    def open(self, processes: int | None) -> HeartWriter:
        """Hearts are drawn from formulas: there is nothing to read."""
        return HeartWriter(HeartCohort(self.seed, self.spacing))

    def summarize(self, folder: Path, records: Sequence[Record]) -> str:
        """Contact sheet of the first cases, and a table of volumes."""
        write_heart_sheet([read_heart(folder, record) for record in records[:_SHEET_ROWS]], folder / _SHEET)
        text = _volume_table(records)
        write_atomically(folder / _STATISTICS, f"{text}\n".encode())
        return f"{text}\nLook at {_SHEET}; the table is in {_STATISTICS}."


@dataclass(frozen=True)
class HeartWriter:
    """Makes and writes the hearts of a cohort."""

    cohort: HeartCohort

    def __call__(self, index: int, folder: Path) -> Record:
        """Write case number ``index`` into ``folder``; returns what was drawn."""
        case = self.cohort.case(index)
        write_heart_case(case, folder)
        return {"id": case.name, **case.info}


def read_heart(folder: Path, record: Record) -> HeartCase:
    """Read back what ``write_heart_case`` wrote."""
    arrays, affine = _read(folder, record, ("C0", "DE", "T2", "gd"))
    names = {"bssfp": "C0", "lge": "DE", "t2": "T2"}
    images = {name: arrays[suffix].astype(np.float32) for name, suffix in names.items()}
    return HeartCase(record["id"], images, arrays["gd"].astype(np.int16), affine, record)


def _volume_table(records: Sequence[Record]) -> str:
    """Median and range of each volume of a cohort in mL."""
    lines = [f"{'simulated':<12}{'median':>9}{'5 %':>9}{'95 %':>9}"]
    for part in records[0]["volumes_ml"]:
        low, median, high = np.percentile([record["volumes_ml"][part] for record in records], (5, 50, 95))
        lines.append(f"{part + ' mL':<12}{median:>9.4g}{low:>9.4g}{high:>9.4g}")
    return "\n".join(lines)
