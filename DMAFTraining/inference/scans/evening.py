"""Slow changes of brightness are evened out, or taken out by a field that an earlier run found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import SimpleITK as sitk

from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.scans.bias import log_bias, without_bias
from DMAFTraining.inference.scans.cache import ScanCache, content_key


def even_out(volume: Volume, cache: ScanCache, on_progress: Callable[[float], None]) -> tuple[Volume, dict[str, Any]]:
    """The image without its bias field, and facts for the provenance.

    Raises:
        InputError: see :func:`~DMAFTraining.inference.scans.bias.log_bias`.
    """
    start = time.monotonic()
    tool = f"N4, SimpleITK {sitk.Version_VersionString()}"
    key = content_key("bias", tool, {"image": volume})
    field = _kept(cache, key)
    cached = field is not None
    if field is None:
        field = log_bias(volume, on_progress)
        cache.put(key, {"log_field": field.array, "ijk_to_ras": field.grid.ijk_to_ras})
    even = without_bias(volume, field)
    return even, {"tool": tool, "cached": cached, "seconds": round(time.monotonic() - start, 2)}


def _kept(cache: ScanCache, key: str) -> Volume | None:
    found = cache.get(key, {"log_field": (-1, -1, -1), "ijk_to_ras": (4, 4)})
    if found is None:
        return None
    i, j, k = found["log_field"].shape
    return Volume(found["log_field"], Grid((i, j, k), found["ijk_to_ras"]))
