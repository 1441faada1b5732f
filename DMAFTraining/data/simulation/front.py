"""A front that spreads through tissue at a given speed: how cores and edema grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from DMAFTraining.data.simulation.types import BoolArray, FloatArray

UNREACHED = np.float32(1e6)


def arrival_times(
    speed: FloatArray, starts: np.ndarray, spacing: float, reach: float, delays: Sequence[float] = ()
) -> FloatArray:
    """When a front arrives at each voxel, in mm of tissue with speed 1 (eikonal equation, fast marching).

    Args:
        speed: speed of the front, 0 where it cannot go (X, Y, Z).
        starts: voxels where it starts, (N, 3).
        spacing: voxel edge in mm.
        reach: largest distance from the starts in mm; ``UNREACHED`` beyond.
        delays: time at which each start begins, N numbers; without, all at 0.
    """
    arrival = np.full(speed.shape, UNREACHED, np.float32)
    if not len(starts):
        return arrival
    margin = int(np.ceil(reach / spacing)) + 1
    low = np.maximum(starts.min(axis=0) - margin, 0)
    high = np.minimum(starts.max(axis=0) + margin + 1, speed.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    image = sitk.GetImageFromArray(speed[box].astype(np.float32))
    image.SetSpacing([spacing] * 3)
    front = sitk.FastMarchingImageFilter()
    # SimpleITK counts x first, arrays count x last.
    front.SetTrialPoints((starts - low)[:, ::-1].tolist())
    if len(delays):
        front.SetInitialTrialValues([float(delay) for delay in delays])
    front.SetStoppingValue(float(reach))
    found = sitk.GetArrayFromImage(front.Execute(image))
    arrival[box] = np.where(found < reach, found, UNREACHED)
    return arrival


def first_reached(arrival: FloatArray, allowed: BoolArray, count: int) -> float:
    """Time at which the front holds ``count`` of the allowed voxels; the last arrival if there are fewer."""
    times = arrival[allowed & (arrival < UNREACHED)]
    if not len(times):
        return 0.0
    place = min(max(count, 1), len(times)) - 1
    return float(np.partition(times, place)[place])
