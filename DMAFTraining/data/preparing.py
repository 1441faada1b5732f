"""From raw cases to a store: cropped, z-scored, half precision; parallel, resumable, atomic per case."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from DMAFTraining.data.arrays import ArrayCase, to_arrays
from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.files import place_folder, write_atomically
from DMAFTraining.data.index import INDEX_FILE, CaseRecord, Preparation, StoreIndex, case_record, write_index
from DMAFTraining.data.pool import run_all
from DMAFTraining.data.problems import BadCaseError, BadCohortError, Problem
from DMAFTraining.data.readers import RawCase, RawCohort
from DMAFTraining.data.store import FOREGROUND, LABELS, PatchStore
from DMAFTraining.inference.metadata import sha256_file, sha256_text

OnCase = Callable[[int, int], None]
"""Told after each case: how many are done, of how many."""

_RECORDS = ".records"
_PARTIAL = ".partial-"
_RECIPE = 1  # raise it when prepared arrays would come out differently
_SAME_SPACING = 0.01


@dataclass(frozen=True)
class _Task:
    case: RawCase
    spec: DatasetSpec
    store: Path
    preparation: Preparation


@dataclass(frozen=True)
class _Outcome:
    records: tuple[CaseRecord, ...] = ()
    problems: tuple[Problem, ...] = ()


def prepare_store(
    cohort: RawCohort,
    store: Path,
    preparation: Preparation | None = None,
    processes: int | None = None,
    on_case: OnCase | None = None,
) -> PatchStore:
    """Prepare every case of a cohort and open the store.

    A case that is in the store already, from the same bytes and with the same preparation, is kept.
    An interruption at any moment leaves whole cases only; the same call goes on from there.

    Args:
        cohort: what to prepare.
        store: folder to make, or a store of an earlier call.
        preparation: intensities.
        processes: how many work at once; default all cores.
        on_case: told after each case.

    Raises:
        BadCohortError: cases that cannot be used; all problems of all cases.
        ValueError: the folder holds something else.
        ProcessDiedError: a process was ended from outside.
    """
    preparation = preparation or Preparation()
    _claim(store)
    tasks = [_Task(case, cohort.spec, store, preparation) for case in cohort.cases]
    records: list[CaseRecord] = []
    problems = list(cohort.problems)
    ready = 0
    for done, outcome in enumerate(run_all(_prepare, tasks, processes), 1):
        records += outcome.records
        problems += outcome.problems
        ready += not outcome.problems
        if on_case:
            on_case(done, len(tasks))
    records.sort(key=lambda record: _natural(record.name))
    spacing = _common_spacing(records, cohort.spec.dims)
    problems += _spacing_problems(records, spacing) if cohort.spec.dims == 3 else []
    if problems:
        raise BadCohortError(problems, ready)
    _drop_others(store, {record.name for record in records})
    source, simulated = str(cohort.root.resolve()), cohort.simulated
    index = StoreIndex(cohort.spec, spacing, preparation, simulated, source, cohort.fingerprint, tuple(records))
    write_index(store, index)
    return PatchStore.open(store)


def _claim(store: Path) -> None:
    """Make the folder ours; from here on it is no finished store."""
    if store.exists() and any(store.iterdir()) and not (store / _RECORDS).is_dir():
        raise ValueError(f"{store} holds other files; give a new or empty folder for the store.")
    (store / _RECORDS).mkdir(parents=True, exist_ok=True)
    (store / INDEX_FILE).unlink(missing_ok=True)
    for left_over in store.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left_over)


def _prepare(task: _Task) -> _Outcome:
    """Prepare one raw case unless the store has it."""
    record_file = task.store / _RECORDS / f"{task.case.name}.json"
    try:
        key = _key(task)
        kept = _kept(record_file, key, task.store)
        if kept:
            return _Outcome(kept)
        records = tuple(
            _write(array_case, task.store, task.spec)
            for array_case in to_arrays(task.case, task.spec, task.preparation)
        )
    except BadCaseError as error:
        return _Outcome(problems=error.problems)
    document = {"key": key, "cases": [asdict(record) for record in records]}
    write_atomically(record_file, json.dumps(document).encode())
    return _Outcome(records)


def _key(task: _Task) -> str:
    """Names what a prepared case depends on: the bytes of its files and how they are prepared."""
    sources = {}
    for what, source in task.case.sources.items():
        try:
            sources[what] = [sha256_file(source.path), source.channel] if source.path.is_file() else None
        except OSError as error:
            bad = Problem(task.case.name, str(source), f"cannot be read ({error.strerror})", "Check its permissions.")
            raise BadCaseError([bad]) from error
    return sha256_text(json.dumps([_RECIPE, task.spec.name, asdict(task.preparation), sources], sort_keys=True))


def _kept(record_file: Path, key: str, store: Path) -> tuple[CaseRecord, ...]:
    """Records of a case that is in the store already; empty if it is not."""
    try:
        document = json.loads(record_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if document.get("key") != key:
        return ()
    records = tuple(case_record(case) for case in document["cases"])
    return records if all((store / record.name).is_dir() for record in records) else ()


def _write(case: ArrayCase, store: Path, spec: DatasetSpec) -> CaseRecord:
    """Write the files of a case; its folder appears when all are on the disk."""
    partial = store / f"{_PARTIAL}{case.name}"
    partial.mkdir()
    arrays = {**case.images, LABELS: case.labels, FOREGROUND: case.foreground}
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", np.ascontiguousarray(array))
    digests = {name: sha256_file(partial / f"{name}.npy") for name in arrays}
    place_folder(partial, store / case.name)
    return CaseRecord(
        name=case.name,
        patient=case.patient,
        shape=tuple(case.labels.shape),
        spacing=case.spacing,
        available=tuple(case.images),
        background=tuple(case.background[name] for name in case.images),
        voxels=tuple(np.bincount(case.labels.ravel(), minlength=spec.classes).tolist()),
        box=case.box,
        sha256=sha256_text(json.dumps(digests, sort_keys=True)),
    )


def _drop_others(store: Path, names: set[str]) -> None:
    """Remove cases that the cohort no longer has."""
    for folder in store.iterdir():
        if folder.name not in names and (folder / f"{LABELS}.npy").is_file():
            shutil.rmtree(folder)


def _common_spacing(records: Sequence[CaseRecord], dims: int) -> tuple[float, ...]:
    """The voxel size that most cases have; of slices, the median."""
    if not records:
        return (0.0,) * dims
    if dims == 2:
        median = np.median([record.spacing[:2] for record in records], axis=0)
        return tuple(float(step) for step in median)
    return Counter(record.spacing for record in records).most_common(1)[0][0]


def _spacing_problems(records: Sequence[CaseRecord], spacing: Sequence[float]) -> list[Problem]:
    wanted = " x ".join(f"{step:g}" for step in spacing)
    return [
        Problem(
            record.name,
            "",
            f"has voxels of {' x '.join(f'{step:g}' for step in record.spacing)} mm, most cases of {wanted} mm",
            f"Resample it to {wanted} mm.",
        )
        for record in records
        if not np.allclose(record.spacing, spacing, rtol=_SAME_SPACING)
    ]


def _natural(name: str) -> list[str | int]:
    """Sort key that puts slice 2 before slice 10."""
    return [int(part) if place % 2 else part for place, part in enumerate(re.split(r"(\d+)", name))]
