"""Three ways to read one training patch: from the store, from whole arrays, from whole compressed files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.data.boxes import Box, cut
from DMAFTraining.data.readers import RawCase
from DMAFTraining.data.store import LABELS, PatchStore

_PAGE = 4096

Patch = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Images ``(C, *patch)`` and labels ``(*patch,)``."""


class PatchKey(NamedTuple):
    """One patch to read: the number of the case, first and last-plus-one voxels, and the sequences it shows."""

    case: int
    box: Box
    channels: tuple[int, ...]


class Way(Protocol):
    """A way to read a patch."""

    title: str

    def read(self, key: PatchKey) -> object:
        """Read what a patch needs."""

    def files(self, key: PatchKey) -> Sequence[Path]:
        """The files it is read from."""

    def count_bytes(self, key: PatchKey) -> int:
        """How many bytes of them."""


class FromStore:
    """The pages of the store that the patch lies on, of the sequences it shows."""

    title = "store: the patch, existing sequences"

    def __init__(self, store: PatchStore) -> None:
        self.store = store

    def read(self, key: PatchKey) -> Patch:
        """The patch."""
        start, size = [low for low, _ in key.box], [high - low for low, high in key.box]
        return self.store.read_patch(key.case, start, size, key.channels)

    def files(self, key: PatchKey) -> list[Path]:
        """One array a sequence, and the labels."""
        names = [self.store.spec.modalities.names[channel] for channel in key.channels]
        return [self.store.path / self.store.names[key.case] / f"{name}.npy" for name in (*names, LABELS)]

    def count_bytes(self, key: PatchKey) -> int:
        """Whole memory pages."""
        total = 0
        part = tuple(slice(max(low, 0), high) for low, high in key.box)
        for file in self.files(key):
            array = np.load(file, mmap_mode="r", allow_pickle=False)
            index = np.arange(array.size, dtype=np.int64).reshape(array.shape)[part]
            total += np.unique((array.offset + index * array.itemsize) // _PAGE).size * _PAGE
        return total


class FromArrays:
    """Whole prepared cases, all sequences in one float32 array, as the published code keeps them.

    Args:
        store: what to copy them from.
        folder: where to write them now.
        cases: which ones.
    """

    title = "whole .npy, all sequences, float32"

    def __init__(self, store: PatchStore, folder: Path, cases: set[int]) -> None:
        self.store = store
        self.folder = folder
        folder.mkdir(exist_ok=True)
        for case in cases:
            volumes, labels = self._paths(case)
            images, truth = store.read_case(case)
            np.save(volumes, images)
            np.save(labels, truth)

    def read(self, key: PatchKey) -> Patch:
        """The patch, cut from the arrays."""
        images, labels = (np.load(path, allow_pickle=False) for path in self._paths(key.case))
        fills = self.store.background(key.case, key.channels)
        parts = [cut(images[channel], key.box, fill) for channel, fill in zip(key.channels, fills, strict=True)]
        return np.stack(parts), cut(labels, key.box, 0)

    def files(self, key: PatchKey) -> list[Path]:
        """Images and labels."""
        return self._paths(key.case)

    def count_bytes(self, key: PatchKey) -> int:
        """All of them."""
        return sum(path.stat().st_size for path in self.files(key))

    def _paths(self, case: int) -> list[Path]:
        return [self.folder / f"{self.store.names[case]}_{what}.npy" for what in ("vol", "seg")]


class FromFiles:
    """Whole files of the data set, all sequences; read and unpacked only, without z-score and cropping."""

    title = "whole files of the data set, all sequences"

    def __init__(self, store: PatchStore, raw: Mapping[str, RawCase]) -> None:
        self.store = store
        self.raw = raw

    def source(self, case: int) -> RawCase:
        """The raw case that a case of the store, or a slice of it, was made from."""
        name = self.store.names[case]
        return self.raw.get(name) or self.raw[name.rpartition("_slice_")[0]]

    def read(self, key: PatchKey) -> list[NDArray[Any]]:
        """The volumes."""
        return [sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in self.files(key)]

    def files(self, key: PatchKey) -> list[Path]:
        """One file a sequence and the labels, or a 4-D file and the labels."""
        return list(dict.fromkeys(source.path for source in self.source(key.case).sources.values()))

    def count_bytes(self, key: PatchKey) -> int:
        """All of them, compressed as they are."""
        return sum(path.stat().st_size for path in self.files(key))
