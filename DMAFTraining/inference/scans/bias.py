"""Evens out the slow change of brightness across a scan that the coils of the scanner cause.

N4: Tustison et al., IEEE Transactions on Medical Imaging 29(6), 2010, as SimpleITK has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Volume, grid_of, to_image

_WORKING_MM = 4.0  # the field changes over centimeters
_ITERATIONS = (30, 20, 20, 10)
_CONVERGED = 1e-4
_DARK = 0.5  # of the mean brightness; below lie air and bone, which say nothing about the coils


def correct_bias(volume: Volume, on_progress: Callable[[float], None]) -> Volume:
    """The image divided by its estimated field of coil sensitivity; zeros stay zeros, the mean brightness stays.

    Args:
        volume: image of a head or of a brain with zero background.
        on_progress: told 0..1 after each iteration; raising in it stops the work.

    Raises:
        InputError: the image holds nothing bright to estimate the field from.
    """
    return without_bias(volume, log_bias(volume, on_progress))


def log_bias(volume: Volume, on_progress: Callable[[float], None]) -> Volume:
    """Logarithm of the field, 0 in the mean, on a coarse grid; arguments and errors of :func:`correct_bias`."""
    on_progress(0.0)
    image = to_image(volume.array, volume.grid)
    small = sitk.Shrink(image, [max(1, round(_WORKING_MM / spacing)) for spacing in volume.grid.spacing])
    mask = _tissue(small, volume.source)
    log_field = _estimate(small, mask, on_progress)
    weights = sitk.GetArrayViewFromImage(mask)
    log_field -= float(np.average(sitk.GetArrayViewFromImage(log_field), weights=weights))
    on_progress(1.0)
    return Volume(sitk.GetArrayFromImage(log_field).transpose(2, 1, 0).astype(np.float32), grid_of(log_field))


def without_bias(volume: Volume, log_field: Volume) -> Volume:
    """The image divided by the field whose logarithm is given on any grid."""
    image, coarse = (to_image(v.array, v.grid) for v in (volume, log_field))
    # Beyond the centers of the outermost coarse voxels the field goes on as it is there.
    full = sitk.Resample(coarse, image, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)
    field = np.exp(sitk.GetArrayViewFromImage(full).transpose(2, 1, 0))
    return Volume((volume.array / field).astype(np.float32), volume.grid, volume.source)


def _tissue(image: sitk.Image, source: str) -> sitk.Image:
    """Where there is signal: N4 works on the logarithm, so nothing dark may take part."""
    values = sitk.GetArrayViewFromImage(image)
    positive = values[values > 0]
    if not positive.size:
        raise InputError(f"{source or 'The image'} has no bright voxels to estimate the bias field from.")
    return sitk.Cast(image > _DARK * float(positive.mean()), sitk.sitkUInt8)


def _estimate(image: sitk.Image, mask: sitk.Image, on_progress: Callable[[float], None]) -> sitk.Image:
    """Logarithm of the field on the grid of ``image``."""
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(_ITERATIONS)
    n4.SetConvergenceThreshold(_CONVERGED)
    n4.SetNumberOfThreads(1)  # sums in one fixed order: the same bytes on every run
    stopped: list[BaseException] = []

    def report() -> None:
        level = n4.GetCurrentLevel()
        try:
            on_progress((level + n4.GetElapsedIterations() / _ITERATIONS[level]) / len(_ITERATIONS))
        except BaseException as error:  # compiled code stops on it, but hands on a RuntimeError instead
            stopped.append(error)
            raise

    n4.AddCommand(sitk.sitkIterationEvent, report)
    try:
        with _without_trace():
            n4.Execute(image, mask)
    except RuntimeError:
        if stopped:
            raise stopped[0] from None
        raise
    return n4.GetLogBiasFieldAsImage(image)


@contextmanager
def _without_trace() -> Iterator[None]:
    """SimpleITK prints what stops it through this hook; a cancel is no error that a user should see."""
    hook = sys.excepthook
    sys.excepthook = lambda *_: None
    try:
        yield
    finally:
        sys.excepthook = hook
