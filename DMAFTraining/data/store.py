"""Prepared cases on disk, read patch by patch.

``<store>/<case>/<sequence>.npy`` float16, ``seg.npy`` uint8, ``foreground.npy`` coordinates;
``<store>/index.json`` lists them. The arrays are memory-mapped: a patch costs the pages it lies on.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data.boxes import copy_box
from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.index import CaseRecord, StoreIndex, read_index

LABELS = "seg"
FOREGROUND = "foreground"

Array = NDArray[Any]


class PatchStore:
    """The cases of a store, or a selection of them. Cases are numbered in the order of ``names``.

    Args:
        path: the store.
        index: its contents.
        memory: arrays that are held in memory, by case name and file; others are memory-mapped.
    """

    def __init__(self, path: Path, index: StoreIndex, memory: Mapping[tuple[str, str], Array] | None = None) -> None:
        self.path = path
        self.index = index
        self._memory = memory or {}

    @classmethod
    def open(cls, path: str | Path, in_memory: bool = False) -> PatchStore:
        """Open a finished store; ``in_memory`` reads all of it now.

        Raises:
            ValueError: no store, not finished, or a case's folder is gone.
        """
        path = Path(path)
        index = read_index(path)
        gone = [case.name for case in index.cases if not (path / case.name).is_dir()]
        if gone:
            raise ValueError(f"The store {path} lacks {len(gone)} of its cases ({gone[0]}, ...); run prepare again.")
        store = cls(path, index)
        return cls(path, index, store._read_all()) if in_memory else store

    @property
    def spec(self) -> DatasetSpec:
        """The data set."""
        return self.index.spec

    @property
    def cases(self) -> tuple[CaseRecord, ...]:
        """Record of each case."""
        return self.index.cases

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each case."""
        return tuple(case.name for case in self.cases)

    @property
    def patients(self) -> tuple[str, ...]:
        """Patient of each case."""
        return tuple(case.patient for case in self.cases)

    @property
    def available(self) -> NDArray[np.bool_]:
        """Which sequences each case has, ``(N, M)``."""
        return np.array([[name in case.available for name in self.spec.modalities.names] for case in self.cases], bool)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm, one number per axis."""
        return self.index.spacing

    @property
    def simulated(self) -> bool:
        """The cases are simulated."""
        return self.index.simulated

    def __len__(self) -> int:
        return len(self.cases)

    def select(self, names: Collection[str]) -> PatchStore:
        """The cases of these names, in the order of the store.

        Raises:
            ValueError: a name that the store does not have.
        """
        unknown = set(names) - set(self.names)
        if unknown:
            raise ValueError(f"The store {self.path} has no case {min(unknown)!r}.")
        wanted = tuple(case for case in self.cases if case.name in set(names))
        return PatchStore(self.path, replace(self.index, cases=wanted), self._memory)

    def background(self, case: int, channels: Sequence[int]) -> NDArray[np.float32]:
        """Value of the background in each of these sequences of a case, ``(len(channels),)``."""
        record = self.cases[case]
        return np.array([record.background[self._place(record, channel)] for channel in channels], np.float32)

    def foreground(self, case: int) -> NDArray[np.integer[Any]]:
        """Some labeled voxels of a case, ``(n, 1 + dims)``: class and position."""
        return self._array(self.cases[case], FOREGROUND)

    def read_patch(
        self, case: int, start: Sequence[int], size: Sequence[int], channels: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A box of a case, and nothing else, from the disk.

        Args:
            case: its number.
            start: first voxel; may be negative.
            size: of the box; it may leave the case, and is background there.
            channels: sequences to read, by position in the modality set.

        Returns:
            ``(len(channels), *size)`` float32 and labels ``(*size,)`` uint8.

        Raises:
            ValueError: the case does not have one of the sequences.
        """
        record = self.cases[case]
        fills = [record.background[self._place(record, channel)] for channel in channels]
        files = [*(self.spec.modalities.names[channel] for channel in channels), LABELS]
        *volumes, truth = arrays = [self._array(record, file) for file in files]
        for array in arrays:
            _prefetch(array, start[0], size[0])
        images = np.empty((len(channels), *size), np.float32)
        for image, volume, fill in zip(images, volumes, fills, strict=True):
            copy_box(volume, start, image, fill)
        labels = np.empty(tuple(size), np.uint8)
        copy_box(truth, start, labels, 0)
        return images, labels

    def read_case(self, case: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """A whole case: ``(M, *S)`` float32, zero where a sequence is missing, and labels ``(*S,)`` uint8."""
        record = self.cases[case]
        channels = np.flatnonzero(self.available[case])
        images = np.zeros((len(self.spec.modalities), *record.shape), np.float32)
        images[channels], labels = self.read_patch(case, (0,) * len(record.shape), record.shape, channels.tolist())
        return images, labels

    def _place(self, record: CaseRecord, channel: int) -> int:
        modality = self.spec.modalities.names[channel]
        if modality not in record.available:
            raise ValueError(f"Case {record.name} has no {modality}; it has {', '.join(record.available)}.")
        return record.available.index(modality)

    def _array(self, record: CaseRecord, file: str) -> Array:
        held = self._memory.get((record.name, file))
        if held is not None:
            return held
        path = self.path / record.name / f"{file}.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read ({error}); run prepare again.") from error

    def _read_all(self) -> dict[tuple[str, str], Array]:
        files = [(case, file) for case in self.cases for file in (*case.available, LABELS, FOREGROUND)]
        return {(case.name, file): np.array(self._array(case, file)) for case, file in files}


def _prefetch(array: Array, start: int, size: int) -> None:
    """Ask the disk for some planes of a memory-mapped array in one go; the copy would ask page by page."""
    file = array.base
    if not (isinstance(array, np.memmap) and isinstance(file, mmap.mmap) and hasattr(file, "madvise")):
        return
    low, high = (array.offset + np.clip(plane, 0, len(array)) * array.strides[0] for plane in (start, start + size))
    page = int(low) - int(low) % mmap.PAGESIZE
    if high > page:
        file.madvise(mmap.MADV_WILLNEED, page, int(high) - page)
