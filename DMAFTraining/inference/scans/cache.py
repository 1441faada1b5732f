"""Results of slow steps kept by the content they come from, for the next run on the same patient.

They are derived from patients (masks, matrices, fields), so the folder is readable by its user only and everything in
it goes after 30 days.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.inference.geometry import Volume

KEPT_DAYS = 30
_FORMAT = 1  # to be raised when a step gives other results from the same input
_ENTRY = re.compile(r"[0-9a-f]{64}\.npz(\.\d+\.part)?")

Arrays = dict[str, NDArray[Any]]


class ScanCache:
    """Arrays by key in a folder; every trouble with the disk counts as nothing found, nothing kept.

    Args:
        folder: made when something is kept first; None: nothing is ever kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._remove_old()

    def get(self, key: str, shapes: Mapping[str, tuple[int, ...]]) -> Arrays | None:
        """Arrays of these names and shapes that are kept under a key; None if there are none, or damaged ones.

        A size of -1 in a shape stands for any.
        """
        if self._folder is None:
            return None
        try:
            with np.load(self._folder / f"{key}.npz", allow_pickle=False) as entry:
                arrays = {name: entry[name] for name in shapes}
        except Exception:  # a damaged file can lead to nearly any, and means no more than a missing one
            return None
        return arrays if all(_fits(array.shape, shapes[name]) for name, array in arrays.items()) else None

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays under a key, whole or not at all."""
        if self._folder is None:
            return
        target = self._folder / f"{key}.npz"
        partial = target.with_name(f"{target.name}.{os.getpid()}.part")
        with suppress(OSError):  # a full or write-protected disk costs time on the next run, nothing else
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
                    np.savez_compressed(stream, **dict[str, Any](arrays))
                os.replace(partial, target)
            finally:
                partial.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        if self._folder is None or not self._folder.is_dir():
            return
        limit = time.time() - KEPT_DAYS * 24 * 3600
        with suppress(OSError):
            for path in self._folder.iterdir():
                if _ENTRY.fullmatch(path.name) and path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (-1, a) for a, b in zip(shape, wanted, strict=True))


def content_key(step: str, tool: str, volumes: Mapping[str, Volume], **options: Any) -> str:
    """SHA-256 over everything that the result of a step follows from.

    Args:
        step: its name.
        tool: name and version of what does it.
        volumes: the images, by the part that they play; their voxels and places count, not their files.
        options: other choices that change the result, as JSON values.
    """
    facts = {"format": _FORMAT, "step": step, "tool": tool, "options": options}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for role, volume in sorted(volumes.items()):
        digest.update(f"{role} {volume.array.dtype} {volume.array.shape}".encode())
        digest.update(volume.array.tobytes())
        digest.update(volume.grid.ijk_to_ras.tobytes())
    return digest.hexdigest()
