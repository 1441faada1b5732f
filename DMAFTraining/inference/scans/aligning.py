"""The scans that lie elsewhere are registered to the reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.inference.geometry import Matrix, Volume
from DMAFTraining.inference.scans.alignment import doubts
from DMAFTraining.inference.scans.alignment_picture import side_by_side
from DMAFTraining.inference.scans.cache import ScanCache, content_key
from DMAFTraining.inference.scans.registration import moved, register
from DMAFTraining.inference.scans.similarity import similarity


@dataclass(frozen=True)
class Alignment:
    """How a scan came onto the reference.

    Attributes:
        moved_by: 4x4 RAS, from where its file places it.
        doubt: a sentence why that may be wrong, or "".
        picture: ``(H, W)`` gray, to judge it by eye; None without a doubt.
        facts: for the provenance.
    """

    moved_by: Matrix
    doubt: str
    picture: NDArray[np.uint8] | None
    facts: Mapping[str, Any]


def align(moving: Volume, fixed: Volume, cache: ScanCache, on_progress: Callable[[float], None]) -> Alignment:
    """Register a scan to the reference, or take what the cache knows of these two.

    Raises:
        GeometryError: see :func:`~DMAFTraining.inference.scans.registration.register`.
    """
    start = time.monotonic()
    tool = f"SimpleITK {sitk.Version_VersionString()}"
    key = content_key("registration", tool, {"moving": moving, "fixed": fixed})
    kept = cache.get(key, {"moved_by": (4, 4)})
    moved_by = register(moving, fixed, on_progress) if kept is None else kept["moved_by"]
    if kept is None:
        cache.put(key, {"moved_by": moved_by})
    on_progress(1.0)  # a chance to cancel
    doubt = doubts(moving, fixed, moved_by)
    on_progress(1.0)
    facts = {
        "tool": tool,
        "transform": moved_by.tolist(),
        "similarity_before": round(similarity(moving, fixed), 4),
        "similarity": round(similarity(moved(moving, moved_by), fixed), 4),
        "doubt": doubt or None,
        "cached": kept is not None,
        "seconds": round(time.monotonic() - start, 2),
    }
    return Alignment(moved_by, doubt, side_by_side(moving, fixed, moved_by) if doubt else None, facts)
