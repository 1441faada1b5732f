"""Rigid registration of one scan of a patient to another one, of any contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.errors import GeometryError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume, to_image
from DMAFTraining.inference.scans.coarse import Mask, comparable, content, content_ml, place, positions, shrunk
from DMAFTraining.inference.scans.similarity import scaled
from DMAFTraining.inference.scans.start import best_start

LEVELS_MM = (4.0, 2.0)
_CONTENT_MM = 8.0
_LEAST_ML = 100.0
_STARTED = 0.5  # share of the time that finding a start takes
_BINS = 32
_SAMPLES = 60_000
_SEED = 1
_ITERATIONS = 80
_SMALLEST_STEP = 1 / 400  # of the size of a voxel
_RELAXATION = 0.6
_SMALLEST_GRADIENT = 1e-6
_MARGIN_MM = 5.0
_EDGE = 0.5  # voxels from the center of the outermost voxels to the end of an image
_RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def register(moving: Volume, fixed: Volume, on_progress: Callable[[float], None]) -> Matrix:
    """Rigid motion that puts ``moving`` onto ``fixed``.

    Args:
        moving: the scan that moves; its grid, contrast and field of view may differ from the fixed one's.
        fixed: the reference.
        on_progress: told 0..1 several times a second; what it raises stops the work and comes out unchanged.

    Returns:
        4x4 RAS matrix that takes a point of the moving scan, as its header places it, to where it belongs in
        the space of the fixed one. The same bytes on every run and for any number of threads.

    Raises:
        GeometryError: one of the images has next to nothing in it.
    """
    on_progress(0.0)
    finest = LEVELS_MM[-1]
    roles = _roles(shrunk(moving, finest), shrunk(fixed, finest))
    start = best_start(roles.places, roles.other, lambda fraction: on_progress(_STARTED * fraction))
    motion = _refine(start, roles, LEVELS_MM, lambda fraction: on_progress(_STARTED + (1 - _STARTED) * fraction))
    on_progress(1.0)
    return roles.moving_to_fixed(motion)


def register_nearby(moving: Volume, fixed: Volume, on_progress: Callable[[float], None]) -> Matrix:
    """Like :func:`register`, to a millimeter or so, for scans within some 8 mm and 8 degrees of each other.

    Raises:
        GeometryError: one of the images has next to nothing in it, or they do not overlap in space.
    """
    coarsest = LEVELS_MM[:1]
    roles = _roles(shrunk(moving, *coarsest), shrunk(fixed, *coarsest))
    return roles.moving_to_fixed(_refine(np.eye(4), roles, coarsest, on_progress))


def moved(volume: Volume, matrix: Matrix) -> Volume:
    """The same voxels, placed elsewhere: every RAS point ``x`` of the volume lies at ``matrix @ x``."""
    return Volume(volume.array, Grid(volume.grid.size, matrix @ volume.grid.ijk_to_ras), volume.source)


class _Roles(NamedTuple):
    """Which of two scans the places come from; ``inverted``: the moving one."""

    places: Volume
    other: Volume
    inverted: bool

    def moving_to_fixed(self, motion: Matrix) -> Matrix:
        """The motion from moving to fixed points, given the one from the places to the other scan."""
        return motion if self.inverted else np.linalg.inv(motion).astype(np.float64)


def _roles(moving: Volume, fixed: Volume) -> _Roles:
    """Places come from the smaller content, a stripped brain for instance: the other scan has most of them too.

    Raises:
        GeometryError: hardly any content.
    """
    ml = []
    for volume in (moving, fixed):
        ml.append(content_ml(shrunk(volume, _CONTENT_MM)))
        if ml[-1] < _LEAST_ML:
            what = f"{volume.source or 'An image'} shows only {ml[-1]:.0f} mL of a patient, too little to register it."
            raise GeometryError(what, "Leave this sequence out.")
    return _Roles(moving, fixed, True) if ml[0] < ml[1] else _Roles(fixed, moving, False)


def _refine(motion: Matrix, roles: _Roles, levels: Sequence[float], on_progress: Callable[[float], None]) -> Matrix:
    """Climb to the maximum of mutual information near a motion, from coarse to fine.

    Args:
        motion: 4x4, takes RAS points of the places to those of the other scan.
        roles: the two scans.
        levels: sizes of voxels in mm, from coarse to fine.
        on_progress: see :func:`register`.

    Raises:
        GeometryError: the scans do not overlap.
    """
    for n, mm in enumerate(levels):
        tell = Part(on_progress, n, len(levels))
        motion = _climb(motion, shrunk(roles.places, mm), shrunk(roles.other, mm), mm, tell)
    return motion


class Part:
    """Progress of one of several parts of the work."""

    def __init__(self, on_progress: Callable[[float], None], part: int, parts: int) -> None:
        self._on_progress = on_progress
        self._part = part
        self._parts = parts

    def __call__(self, fraction: float) -> None:
        self._on_progress((self._part + fraction) / self._parts)


def _climb(start: Matrix, places: Volume, other: Volume, mm: float, on_progress: Callable[[float], None]) -> Matrix:
    """Maximum of Mattes' mutual information (IEEE TMI 22(1), 2003) near a motion, on images of about ``mm``."""
    where = _well_inside(comparable(places, other), places.grid, other.grid, start)
    transform = _itk_transform(start, positions(where, places.grid).mean(axis=0))
    method = _method(where, places.grid, mm)
    method.SetInitialTransform(transform, inPlace=True)
    raised: list[BaseException] = []

    def tell() -> None:
        # ITK would lose what is raised in here.
        try:
            on_progress(min(1.0, method.GetOptimizerIteration() / _ITERATIONS))
        except BaseException as error:
            raised.append(error)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, tell)
    try:
        method.Execute(_clipped(places, where), _clipped(other, content(other)))
    except RuntimeError as error:
        raise GeometryError(
            f"{other.source or 'An image'} cannot be registered: it hardly overlaps the reference in space.",
            "Check the images, or leave this sequence out.",
        ) from error
    if raised:
        raise raised[0]
    return _ras_matrix(transform)


def _clipped(volume: Volume, where: Mask) -> sitk.Image:
    """A scan without extremes: the bins of a histogram are shared out from the darkest to the brightest voxel."""
    return to_image(scaled(volume, where, _BINS), volume.grid)


def _well_inside(where: Mask, grid: Grid, other: Grid, motion: Matrix) -> Mask:
    """Those places that stay in the field of view of the other scan while it moves a little.

    Mutual information is that of the places that both have. If places could leave, those that tell little would.
    """
    index = place(np.linalg.inv(other.ijk_to_ras) @ motion, positions(where, grid))
    margin = _MARGIN_MM / np.array(other.spacing)
    kept = where.copy()
    kept[where] = ((index >= margin - _EDGE) & (index <= np.array(other.size) - _EDGE - margin)).all(axis=1)
    return kept


def _method(where: Mask, grid: Grid, mm: float) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    # With several threads the sums of the metric, and with them the last bits of the result, vary.
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(to_image(where.astype(np.uint8), grid))
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, _SAMPLES / max(1, int(np.count_nonzero(where)))), _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    # ITK's gradient filter smooths by the thickness of the slices along all axes: far off the slope of the metric.
    method.SetMetricUseFixedImageGradientFilter(False)
    method.SetMetricUseMovingImageGradientFilter(False)
    method.SetOptimizerAsRegularStepGradientDescent(
        mm, mm * _SMALLEST_STEP, _ITERATIONS, _RELAXATION, _SMALLEST_GRADIENT
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _itk_transform(motion: Matrix, center: Matrix) -> sitk.Euler3DTransform:
    """ITK's transform (LPS) of a motion (RAS), with angles about a center (RAS)."""
    lps = _RAS_LPS @ motion @ _RAS_LPS
    turn, middle = lps[:3, :3], _RAS_LPS[:3, :3] @ center
    transform = sitk.Euler3DTransform()
    transform.SetCenter(middle.tolist())
    transform.SetMatrix(turn.flatten().tolist(), 1e-6)
    transform.SetTranslation((lps[:3, 3] - middle + turn @ middle).tolist())
    return transform


def _ras_matrix(transform: sitk.Euler3DTransform) -> Matrix:
    lps = np.eye(4)
    lps[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    lps[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return _RAS_LPS @ lps @ _RAS_LPS
