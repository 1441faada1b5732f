"""From whatever the user names (store, folder of cases, case manifest) to an open store."""

from __future__ import annotations

from pathlib import Path

from DMAFTraining.data.case_manifest import read_case_manifest
from DMAFTraining.data.datasets import DATASETS, DatasetSpec
from DMAFTraining.data.index import INDEX_FILE, Preparation, read_index
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.progress import progress
from DMAFTraining.data.readers import RawCohort, find_cohort, recognize
from DMAFTraining.data.store import PatchStore


def open_or_prepare(
    root: Path,
    store: Path | None = None,
    preparation: Preparation | None = None,
    processes: int | None = None,
    in_memory: bool = False,
) -> PatchStore:
    """Open a store, or prepare raw cases into one first; a second call finds them prepared.

    Cases are prepared again when their files or the preparation changed; progress goes to stderr.
    Where ``store`` exists, its data set decides how the labels of ``root`` are read.

    Args:
        root: a store, a folder of cases whose layout is recognized, or a case manifest.
        store: where prepared cases are kept; needed unless ``root`` is a store.
        preparation: intensities; for a store that is only opened, None takes what it has.
        processes: how many prepare at once; default all cores.
        in_memory: read all of the store now.

    Raises:
        ValueError: nothing usable at ``root``, no ``store`` where one is needed, or a ``root`` that
            was prepared in another way.
    """
    if (root / INDEX_FILE).is_file():
        opened = PatchStore.open(root, in_memory)
        if preparation not in (None, opened.index.preparation):
            raise ValueError(
                f"The store {root} was prepared as {opened.index.preparation}, not {preparation};"
                " ask for what it is, or prepare another store."
            )
        return opened
    if store is None:
        raise ValueError(f"{root} is not prepared; also give a store, the folder to keep its prepared cases in.")
    spec = read_index(store).spec if (store / INDEX_FILE).is_file() else None
    cohort = find_raw(root, spec)
    if not _is_current(store, cohort, preparation or Preparation()):
        with progress("Preparing") as report:
            prepare_store(cohort, store, preparation, processes, report)
    return PatchStore.open(store, in_memory)


def find_raw(root: Path, spec: DatasetSpec | None = None) -> RawCohort:
    """The raw cases of a folder or case manifest, of a given data set or of the one that fits.

    Raises:
        ValueError: nothing there is understood.
    """
    if root.is_file():
        return read_case_manifest(root, spec) if spec else _recognize_manifest(root)
    return find_cohort(root, spec) if spec else recognize(root)


def _is_current(store: Path, cohort: RawCohort, preparation: Preparation) -> bool:
    """The store is finished and holds this cohort in this preparation."""
    if cohort.problems or not (store / INDEX_FILE).is_file():
        return False
    index = read_index(store)
    return (index.fingerprint, index.preparation) == (cohort.fingerprint, preparation)


def _recognize_manifest(path: Path) -> RawCohort:
    """The first data set that knows all columns."""
    problems = []
    for spec in DATASETS.values():
        try:
            return read_case_manifest(path, spec)
        except ValueError as problem:
            problems.append(problem)
    raise problems[0]
