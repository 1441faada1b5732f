"""Seconds and bytes of each way to read a training patch, and the check that all give the same one."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DMAFTraining.benchmarking.reading import Patch, PatchKey, Way
from DMAFTraining.data.arrays import to_arrays
from DMAFTraining.data.boxes import cut
from DMAFTraining.data.presence import patient_manifest
from DMAFTraining.data.readers import RawCase
from DMAFTraining.data.store import PatchStore


@dataclass(frozen=True)
class WayFigures:
    """Mean seconds per patch, with the files in the page cache and without, and mean bytes."""

    title: str
    warm: float
    cold: float
    bytes: float


def draw_keys(store: PatchStore, patch: Sequence[int], rates: Sequence[float], count: int) -> list[PatchKey]:
    """Patches anywhere in the cases, of what a manifest with these missing rates lets each patient show.

    Raises:
        ValueError: another number of rates than sequences.
    """
    if len(rates) != len(store.spec.modalities):
        raise ValueError(f"{len(rates)} missing rates were given for {len(store.spec.modalities)} sequences.")
    shown = store.available & patient_manifest(store, rates)
    exists = np.where(shown.any(axis=1, keepdims=True), shown, store.available)
    rng = np.random.default_rng(0)
    keys = []
    for number in range(count):
        case = number % len(store)
        shape = store.cases[case].shape
        starts = [int(rng.integers(0, max(0, whole - part) + 1)) for whole, part in zip(shape, patch, strict=True)]
        box = tuple((start, start + part) for start, part in zip(starts, patch, strict=True))
        keys.append(PatchKey(case, box, tuple(np.flatnonzero(exists[case]).tolist())))
    return keys


def prepare_patch(store: PatchStore, raw: RawCase, key: PatchKey) -> Patch:
    """The patch as it comes out of the files of the data set, prepared anew."""
    made = to_arrays(raw, store.spec, store.index.preparation)
    case = next(case for case in made if case.name == store.names[key.case])
    names = [store.spec.modalities.names[channel] for channel in key.channels]
    images = [cut(case.images[name], key.box, case.background[name]).astype(np.float32) for name in names]
    return np.stack(images), cut(case.labels, key.box, 0)


def check_equal(patch: Patch, wanted: Patch, what: str) -> None:
    """Make sure that two patches are the same.

    Raises:
        ValueError: they are not; ``what`` says which patch.
    """
    if not (np.array_equal(patch[0], wanted[0]) and np.array_equal(patch[1], wanted[1])):
        raise ValueError(f"{what}: the patch differs from what the files of the data set give.")


def measure(ways: Sequence[Way], keys: Sequence[PatchKey], rounds: int) -> Iterator[WayFigures]:
    """Read every patch every way, in interleaved rounds, so that a busy moment hits all ways.

    Of each patch the best round counts: what is slower was waiting for something else.
    """
    cold = np.full((len(ways), len(keys), rounds), np.inf)
    warm = cold.copy()
    for turn, (number, key), (place, way) in itertools.product(range(rounds), enumerate(keys), enumerate(ways)):
        _drop_from_cache(way.files(key))
        cold[place, number, turn] = _seconds(way, key)
        warm[place, number, turn] = _seconds(way, key)  # the files are in the cache now
    best_warm, best_cold = (seconds.min(axis=2).mean(axis=1) for seconds in (warm, cold))
    for place, way in enumerate(ways):
        size = float(np.mean([way.count_bytes(key) for key in keys]))
        yield WayFigures(way.title, float(best_warm[place]), float(best_cold[place]), size)


def _seconds(way: Way, key: PatchKey) -> float:
    start = time.perf_counter()
    way.read(key)
    return time.perf_counter() - start


def _drop_from_cache(files: Sequence[Path]) -> None:
    for file in files:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
