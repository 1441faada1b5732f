"""The head of one person around the brain of another.

The head is a label map (FreeSurfer values for the brain, 24 fluid, 500 and more for tissue around it). An affine
registration of the two brains' shapes brings it about right. What is left is undone along the way out of the brain:
tissue at a distance from its own brain comes to the same distance from the new one, so that the two neither overlap
nor leave a gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.data.simulation.noise import smooth_noise
from DMAFTraining.data.simulation.types import BoolArray, FloatArray
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Matrix, axis_aligned_grid, read_volume, to_image
from DMAFTraining.inference.resampling import resample

Labels = NDArray[np.int16]

STEP_MM = 1.0
_MARGIN_MM = 40.0  # around the brain: what of the head is made
FLUID = 24
"""Label value of fluid between the brain and the skull."""
OUTSIDE = 500
"""First label value of tissue that is not brain."""
_COARSE = 2  # voxels: the way out of the brain is smooth
_CLOSING_MM = 10.0  # half the width of a furrow that belongs to the brain
_SMOOTH = 1.5  # coarse voxels: skull and scalp do not follow every fold
_STEPS = 5


@dataclass(frozen=True)
class HeadMap:
    """Label map ``(I, J, K)`` of a whole head on a grid."""

    labels: Labels
    grid: Grid


@dataclass(frozen=True)
class Head:
    """A head around a brain.

    Attributes:
        grid: RAS-oriented, 1 mm, the brain and 40 mm around it.
        brain: ``(I, J, K)``.
        tissue: label values ``(I, J, K)`` outside the brain; 0 air.
        fat: share of fat in soft tissue, ``(I, J, K)`` from 0 to 1.
        texture: ``(I, J, K)``, mean 0, deviation 1.
    """

    grid: Grid
    brain: BoolArray
    tissue: Labels
    fat: FloatArray
    texture: FloatArray

    def soften(self, image: FloatArray, sigma_mm: float) -> FloatArray:
        """Blur outside the brain; what is inside does not count."""
        outside = (~self.brain).astype(np.float32)
        sigma = sigma_mm / STEP_MM
        share = ndimage.gaussian_filter(outside, sigma)
        blurred = ndimage.gaussian_filter(image * outside, sigma)
        return np.divide(blurred, share, out=np.zeros_like(image), where=share > 0)


def read_head(path: Path) -> HeadMap:
    """Read the label map of a whole head.

    Raises:
        InputError: unreadable, or it does not hold a brain and tissue around it.
    """
    volume = read_volume(path)
    labels = np.rint(volume.array).astype(np.int16)
    brain, outside = ((labels > 0) & (labels < OUTSIDE)).mean(), (labels >= OUTSIDE).mean()
    if not np.array_equal(labels, volume.array) or not brain or outside < 0.1 * brain:
        raise InputError(
            f"{path} is no label map of a whole head (brain below {OUTSIDE}, skull and scalp from there on).",
            "Give one, such as those of the anatomies that cases are simulated from.",
        )
    return HeadMap(labels, volume.grid)


def make_head(template: HeadMap, brain: BoolArray, grid: Grid, rng: np.random.Generator) -> Head:
    """Put the head of a label map around a brain.

    Args:
        template: the label map.
        brain: ``(I, J, K)`` of the patient.
        grid: of the brain.
        rng: source of randomness for texture and fat.
    """
    canvas = _canvas(brain, grid)
    here = _sample(brain.astype(np.float32), grid, canvas) > 0.5
    own = _hull(template)
    matrix = register_shapes(own, template.grid, here, canvas)
    at = _coordinates(canvas, np.linalg.inv(template.grid.ijk_to_ras) @ matrix)
    labels = ndimage.map_coordinates(template.labels, at, order=0, cval=0)
    hull = ndimage.map_coordinates(own.astype(np.float32), at, order=1, cval=0) > 0.5
    tissue = hug(labels, hull, close_furrows(here, canvas), canvas)
    inside_out = (tissue > 0) & (tissue < OUTSIDE)
    tissue[inside_out] = FLUID
    tissue[here] = 0
    fat = np.clip(0.5 + smooth_noise(canvas.size, STEP_MM, 8.0, rng), 0, 1).astype(np.float32)
    return Head(canvas, here, tissue, fat, smooth_noise(canvas.size, STEP_MM, 3.0, rng))


def _canvas(brain: BoolArray, grid: Grid) -> Grid:
    """RAS-oriented grid of 1 mm over the brain and a margin."""
    box = ndimage.find_objects(brain.astype(np.uint8))[0]
    corners = grid.corners([part.start for part in box], [part.stop for part in box])
    return axis_aligned_grid(corners.min(axis=0) - _MARGIN_MM, corners.max(axis=0) + _MARGIN_MM, [STEP_MM] * 3)


def _hull(template: HeadMap) -> BoolArray:
    """The brain with its ventricles and furrows, without the fluid around it."""
    brain = (template.labels > 0) & (template.labels < OUTSIDE) & (template.labels != FLUID)
    pieces, _ = ndimage.label(brain)
    largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    margin = int(_CLOSING_MM / min(template.grid.spacing)) + 2
    box = tuple(
        slice(max(0, part.start - margin), part.stop + margin)
        for part in ndimage.find_objects(largest.astype(np.uint8))[0]
    )
    hull = np.zeros_like(largest)
    hull[box] = close_furrows(largest[box], Grid(largest[box].shape, template.grid.ijk_to_ras))
    return hull


def close_furrows(brain: BoolArray, grid: Grid) -> BoolArray:
    """The brain with what is narrow and enclosed in it."""
    grown = signed_distance(brain, grid) < _CLOSING_MM
    return np.asarray(ndimage.binary_fill_holes(signed_distance(grown, grid) < -_CLOSING_MM) | brain)


def signed_distance(mask: BoolArray, grid: Grid) -> FloatArray:
    """Distance in mm to the border of a mask ``(I, J, K)``; negative inside."""
    image = to_image(mask.astype(np.uint8), grid)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return sitk.GetArrayFromImage(distance).transpose(2, 1, 0)


def register_shapes(moving: BoolArray, moving_grid: Grid, fixed: BoolArray, fixed_grid: Grid) -> Matrix:
    """Affine 4x4 RAS matrix from the space of ``fixed`` to that of ``moving`` that makes two shapes fit best.

    Least squares of the blurred masks, from coarse to fine, by SimpleITK; contrast and tumors do not matter.
    """
    smooth = [
        sitk.SmoothingRecursiveGaussian(_coarse_image(mask, grid), 3.0)
        for mask, grid in ((fixed, fixed_grid), (moving, moving_grid))
    ]
    start = sitk.CenteredTransformInitializer(
        *smooth, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([4, 2])
    method.SetOptimizerAsConjugateGradientLineSearch(
        learningRate=1.0, numberOfIterations=50, convergenceMinimumValue=1e-7, convergenceWindowSize=5
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    method.SetNumberOfThreads(1)  # sums in one order: the same head on every run
    found = method.Execute(*smooth)
    origin = np.array(found.TransformPoint((0.0, 0.0, 0.0)))
    lps = np.eye(4)
    lps[:3, :3] = np.stack([np.array(found.TransformPoint(axis.tolist())) - origin for axis in np.eye(3)], axis=1)
    lps[:3, 3] = origin
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    return to_ras @ lps @ to_ras


def _coarse_image(mask: BoolArray, grid: Grid) -> sitk.Image:
    """Every second voxel along each axis."""
    part = mask[(slice(None, None, _COARSE),) * 3].astype(np.float32)
    return to_image(part, _every(_COARSE, part.shape, grid))


def _every(step: int, size: tuple[int, ...], grid: Grid) -> Grid:
    """The grid of every so-many-th voxel."""
    i, j, k = size
    return Grid((i, j, k), grid.ijk_to_ras @ np.diag([step, step, step, 1.0]))


def hug(labels: Labels, hull: BoolArray, brain: BoolArray, canvas: Grid) -> Labels:
    """Move tissue in or out until it is as far from ``brain`` as it was from ``hull``, all ``(I, J, K)``.

    Each voxel looks along the way out of the hull for the place at its own distance.
    """
    every = (slice(None, None, _COARSE),) * 3
    own, wanted = (ndimage.gaussian_filter(signed_distance(mask, canvas)[every], _SMOOTH) for mask in (hull, brain))
    way = np.stack(np.gradient(own))
    way /= np.maximum(np.linalg.norm(way, axis=0), 1e-3)
    start = np.indices(own.shape).astype(np.float32)
    where = start.copy()
    step = canvas.spacing[0] * _COARSE
    for _ in range(_STEPS):
        distance, *out = (ndimage.map_coordinates(x, where, order=1, mode="nearest") for x in (own, *way))
        where += (wanted - distance) / step * np.stack(out)
    coarse = _every(_COARSE, own.shape, canvas)
    moves = resample(torch.from_numpy(where - start), coarse, canvas).numpy() * _COARSE
    return ndimage.map_coordinates(labels, np.indices(canvas.size, np.float32) + moves, order=0, mode="nearest")


def _sample(image: FloatArray, source: Grid, target: Grid) -> FloatArray:
    return resample(torch.from_numpy(image)[None], source, target)[0].numpy()


def _coordinates(grid: Grid, matrix: Matrix) -> FloatArray:
    """Where ``matrix`` sends the positions of a grid, ``(3, I, J, K)``."""
    full = matrix @ grid.ijk_to_ras
    index = np.indices(grid.size, np.float32)
    moved = np.tensordot(full[:3, :3].astype(np.float32), index, axes=1)
    return moved + full[:3, 3].astype(np.float32)[:, None, None, None]
