"""How training patches are varied. Every random number of a patch comes from the generator it is given.

Why not MONAI's transforms: theirs draw once for all sequences of a patch and change the background too, where
the recipes here draw for each sequence and leave what is not brain exactly as it is, as an absent or cropped
voxel has to stay; and a turn here reads the patch from a larger box, so that no corner comes up empty. They are
not faster either. On four sequences of 80 x 80 x 80 voxels, one thread of a busy machine, ours against MONAI 1.6
in ms, each applied to all: noise 84 and 102, blur 63 and 239, gamma curve 29 and 59, turn and zoom of image and
labels 288 and 298, mirror 0.3 and 1.4, contrast 0.3 and 1.0, coarser voxels 73 (area average) and 31 (nearest).
The whole standard recipe: 132 and 145. Tests compare the gamma curve with MONAI's and the turn with SciPy's.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from DMAFTraining.data.warping import Images, Labels, rotation, warp

Range = tuple[float, float]


class Augmentation(ABC):
    """A recipe. ``draw_matrix`` comes first, so that a larger patch can be read where it is turned."""

    def draw_matrix(self, spacing: Sequence[float], rng: np.random.Generator) -> NDArray[np.float64] | None:
        """Rotation and scaling of the next patch in voxels ``(dims, dims)``, or None for none."""
        return None

    @abstractmethod
    def apply(
        self, images: Images, labels: Labels, background: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[Images, Labels]:
        """Vary images ``(C, *S)`` and labels ``(*S,)`` of a patch; ``background (C,)`` is its value in each."""


@dataclass(frozen=True)
class NoAugmentation(Augmentation):
    """Patches as they are."""

    def apply(
        self, images: Images, labels: Labels, background: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[Images, Labels]:
        """The patch itself."""
        return images, labels


@dataclass(frozen=True)
class PaperAugmentation(Augmentation):
    """The published recipe (PASSION's code, which DMAF-Net builds on), with its slips mended.

    A turn of -10 to 9 whole degrees in one plane, nearest neighbor; intensity scale 0.9 to 1.1 and
    shift -0.1 to 0.1 per sequence; each axis mirrored with probability 1/2. What a turn brings in is
    background with label 0. The published crop is that of a run's foreground share 0.

    Attributes:
        slice_jitter: draw scale and shift for each slice of the first axis anew, as published.
        turn_fill: what a turn brings into the images: background, or -1 as published. In z-scored images -1 is
            neither background nor a missing sequence, but a dark part of the brain.
    """

    slice_jitter: bool = False
    turn_fill: Literal["background", "minus-one"] = "background"

    def apply(
        self, images: Images, labels: Labels, background: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[Images, Labels]:
        """Turn, change intensities, mirror."""
        planes = list(itertools.combinations(range(labels.ndim), 2))
        plane = planes[rng.integers(len(planes))]
        matrix = rotation(labels.ndim, plane, math.radians(int(rng.integers(-10, 10))))
        brought_in = self._brought_in(labels, matrix) if self.turn_fill == "minus-one" else None
        images, labels = warp(images, labels, matrix, labels.shape, background, linear=False)
        if brought_in is not None:
            images = np.where(brought_in, np.float32(-1), images)
        slices = labels.shape[0] if self.slice_jitter else 1
        shape = (len(images), slices, *(1,) * (labels.ndim - 1))
        scale, shift = (rng.uniform(*limits, shape).astype(np.float32) for limits in ((0.9, 1.1), (-0.1, 0.1)))
        return mirror(images * scale + shift, labels, range(labels.ndim), rng)

    @staticmethod
    def _brought_in(labels: Labels, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Voxels that a turn takes from outside the patch, ``(*S,)``."""
        ones, outside = np.ones((1, *labels.shape), np.float32), np.zeros(1, np.float32)
        return warp(ones, labels, matrix, labels.shape, outside, linear=False)[0][0] == 0


@dataclass(frozen=True)
class StandardAugmentation(Augmentation):
    """A stronger recipe in the manner of nnU-Net; intensities change inside the brain only.

    Ranges are drawn from uniformly; intensity changes are drawn for each sequence on its own.

    Attributes:
        mirror_axes: axes mirrored with probability 1/2; 0 is left-right in volumes.
        turn_share: share of patches that are turned and scaled.
        degrees: largest turn in each plane.
        zoom: magnification.
        noise_share: share of sequences that get Gaussian noise.
        noise: its standard deviation (1 is the brain's).
        blur_share: share that is blurred.
        blur: standard deviation of the blur in voxels.
        coarse_share: share that is brought to a lower resolution and back.
        coarse: that resolution, as a fraction.
        contrast_share: share whose contrast and brightness change.
        contrast: factor on the intensities.
        brightness: what is added to them.
        gamma_share: share with a gamma curve; mean and deviation are kept.
        gamma: its exponent.

    Raises:
        ValueError: a share outside [0, 1] or a range that is turned around.
    """

    mirror_axes: tuple[int, ...] = (0,)
    turn_share: float = 0.3
    degrees: float = 15.0
    zoom: Range = (0.8, 1.25)
    noise_share: float = 0.15
    noise: Range = (0.0, 0.2)
    blur_share: float = 0.1
    blur: Range = (0.5, 1.0)
    coarse_share: float = 0.1
    coarse: Range = (0.5, 1.0)
    contrast_share: float = 0.5
    contrast: Range = (0.75, 1.25)
    brightness: Range = (-0.2, 0.2)
    gamma_share: float = 0.2
    gamma: Range = (0.7, 1.5)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_share") and not 0 <= value <= 1:
                raise ValueError(f"augmentation.{field.name} should lie in [0, 1], not {value}.")
            if field.type == "Range" and not value[0] <= value[1]:
                raise ValueError(f"augmentation.{field.name} should go from low to high, not {value}.")
        if self.zoom[0] <= 0 or self.gamma[0] <= 0 or self.coarse[0] <= 0 or self.coarse[1] > 1:
            raise ValueError("augmentation: zoom, gamma and coarse should be above 0, and coarse at most 1.")

    def draw_matrix(self, spacing: Sequence[float], rng: np.random.Generator) -> NDArray[np.float64] | None:
        """A turn in every plane and one zoom, for a share of the patches."""
        if rng.random() >= self.turn_share:
            return None
        dims = len(spacing)
        matrix = np.eye(dims)
        for plane in itertools.combinations(range(dims), 2):
            matrix = matrix @ rotation(dims, plane, math.radians(rng.uniform(-self.degrees, self.degrees)))
        # A turn in mm is no turn in voxels where these are not cubes.
        step = np.asarray(spacing, float)
        return matrix * step[None, :] / step[:, None] / rng.uniform(*self.zoom)

    def apply(
        self, images: Images, labels: Labels, background: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[Images, Labels]:
        """Mirror, then change the intensities of each sequence."""
        images, labels = mirror(images, labels, self.mirror_axes, rng)
        for channel, fill in enumerate(background):
            image = images[channel]
            brain = image != fill
            if brain.any():
                images[channel] = np.where(brain, self._change(image, brain, rng), fill)
        return images, labels

    def _change(self, image: Images, brain: NDArray[np.bool_], rng: np.random.Generator) -> Images:
        if rng.random() < self.noise_share:
            image = image + rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(*self.noise))
        if rng.random() < self.blur_share:
            image = ndimage.gaussian_filter(image, rng.uniform(*self.blur), truncate=3.0)
        if rng.random() < self.coarse_share:
            image = coarsen(image, rng.uniform(*self.coarse))
        if rng.random() < self.contrast_share:
            image = image * np.float32(rng.uniform(*self.contrast)) + np.float32(rng.uniform(*self.brightness))
        if rng.random() < self.gamma_share:
            image = change_gamma(image, brain, rng.uniform(*self.gamma))
        return image


def mirror(images: Images, labels: Labels, axes: Sequence[int], rng: np.random.Generator) -> tuple[Images, Labels]:
    """Each of the axes mirrored with probability 1/2; the results are fresh arrays."""
    chosen = tuple(axis for axis in axes if rng.random() < 0.5)
    images, labels = np.flip(images, tuple(axis + 1 for axis in chosen)), np.flip(labels, chosen)
    return np.array(images, np.float32, order="C"), np.ascontiguousarray(labels)


def coarsen(image: Images, fraction: float) -> Images:
    """Averaged over larger voxels and spread out again: what a coarser scan looks like on this grid."""
    small = [max(1, round(size * fraction)) for size in image.shape]
    values = functional.interpolate(torch.from_numpy(np.ascontiguousarray(image))[None, None], small, mode="area")
    mode = "trilinear" if image.ndim == 3 else "bilinear"
    return functional.interpolate(values, image.shape, mode=mode)[0, 0].numpy()


def change_gamma(image: Images, brain: NDArray[np.bool_], gamma: float) -> Images:
    """``x^gamma`` of the range 0 to 1 inside the brain; its mean and deviation stay what they were."""
    values = image[brain]
    low, high = values.min(), values.max()
    if not high > low:
        return image
    curved = ((values - low) / (high - low)) ** np.float32(gamma)
    factor = values.std() / max(float(curved.std()), 1e-7)
    changed = image.copy()
    changed[brain] = (curved - curved.mean()) * factor + values.mean()
    return changed
