"""Truth on one side, answers of a model on the other, cut to the voxels that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from DMAFTraining.data.boxes import Box, bounding_box
from DMAFTraining.evaluation.calibration import calibration, class_shares
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.inference.comparison import dice, region_mask
from DMAFTraining.inference.metadata import BundleMetadata, Region
from DMAFTraining.inference.segmenter import most_probable
from DMAFTraining.inference.surfaces import Mask, Surface
from DMAFTraining.modalities import Subset

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Author:
    """What a row says about the model and what it was given; see :class:`ScoreRow`."""

    model: str
    model_sha256: str
    simulated_training: bool
    subset: str


def model_name(metadata: BundleMetadata) -> str:
    """How rows and tables call a model."""
    return f"{metadata.name} {metadata.version}"


def subset_key(subset: Subset) -> str:
    """How rows call a subset: ``t1+flair``."""
    return "+".join(subset.names)


@dataclass(frozen=True)
class Frame:
    """The part of a case's grid that can show something; all arrays are cut to it.

    Attributes:
        truth: labels ``(part)``.
        brain: ``(part)``, the voxels that any sequence of the case shows and the model predicts.
        predicted: where in the part the model predicts.
        spacing: of a voxel in mm.
        start: first voxel of the part on the whole grid.
    """

    truth: Labels
    brain: Mask
    predicted: tuple[slice, ...]
    spacing: tuple[float, float, float]
    start: tuple[int, ...]

    @classmethod
    def of(cls, truth: Labels, shown: Mask, predicted: Box, spacing: tuple[float, float, float]) -> Frame:
        """The smallest part that holds the whole truth and all predictions.

        Args:
            truth: labels on the whole grid ``(I, J, K)``.
            shown: voxels there that any sequence shows.
            predicted: box of that grid in which the model predicts.
            spacing: of a voxel in mm.
        """
        boxes = np.array([predicted, bounding_box([truth])] if truth.any() else [predicted])  # (1 or 2, 3, 2)
        start, stop = boxes[..., 0].min(axis=0), boxes[..., 1].max(axis=0)
        part = tuple(slice(low, high) for low, high in zip(start, stop, strict=True))
        inner = tuple(slice(low - first, high - first) for (low, high), first in zip(predicted, start, strict=True))
        brain = np.zeros(truth[part].shape, bool)
        brain[inner] = shown[part][inner]
        return cls(truth[part], brain, inner, spacing, tuple(start.tolist()))


@dataclass(frozen=True)
class View:
    """The whole of a frame, or one slice of it.

    Attributes:
        name: what rows call it.
        axis: across the slice; None for the whole.
        number: of the slice in the frame.
    """

    name: str
    axis: int | None = None
    number: int = 0

    def cut(self, array: Mask) -> Mask:
        """The view's part of an array ``(part)``."""
        return array if self.axis is None else np.moveaxis(array, self.axis, 0)[self.number]

    def spacing(self, frame: Frame) -> list[float]:
        """Voxel size along the axes of the view in mm."""
        return [step for axis, step in enumerate(frame.spacing) if axis != self.axis]

    def in_brain(self, frame: Frame) -> Mask:
        """Which of the voxels ``frame.brain`` lie in the view."""
        if self.axis is None:
            return np.ones(int(frame.brain.sum()), bool)
        chosen: Mask = frame.brain.nonzero()[self.axis] == self.number
        return chosen


def slice_views(case: str, frame: Frame, axis: int) -> list[View]:
    """Every slice across an axis, named as a store of slices names it."""
    first = frame.start[axis]
    return [View(f"{case}_slice_{first + number}", axis, number) for number in range(frame.truth.shape[axis])]


class Answer:
    """What a model says from one subset.

    Args:
        frame: of the case.
        classes: probabilities ``(K, *predicted)``.
        regions: of the model.

    Attributes:
        masks: ``(part)`` of each region.
        probabilities: of each region at the voxels ``frame.brain``.
    """

    def __init__(self, frame: Frame, classes: Tensor, regions: Sequence[Region]) -> None:
        labels = np.zeros_like(frame.truth)
        labels[frame.predicted] = most_probable(classes)
        shares = class_shares(classes.flatten(1).cpu().numpy()[:, frame.brain[frame.predicted].ravel()])
        self.masks = {region.name: region_mask(labels, region) for region in regions}
        self.probabilities = {region.name: shares[list(region.labels)].sum(axis=0) for region in regions}


class Target:
    """The truth of one region in one view, ready to be compared with the answers of many subsets."""

    def __init__(self, frame: Frame, view: View, region: Region) -> None:
        truth = region_mask(frame.truth, region)
        self._view, self._region = view, region.name
        self._mask = view.cut(truth)
        self._spacing = view.spacing(frame)
        self._surface = Surface(self._mask, self._spacing)
        self._in_brain = view.in_brain(frame)
        self._truth_in_brain = truth[frame.brain][self._in_brain]
        self._voxel_ml = float(np.prod(frame.spacing)) / 1000

    def compare(self, answer: Answer, author: Author) -> ScoreRow:
        """The row of an answer."""
        mask = self._view.cut(answer.masks[self._region])
        distances = self._surface.distances_to(Surface(mask, self._spacing))
        trust = calibration(answer.probabilities[self._region][self._in_brain], self._truth_in_brain)
        return ScoreRow(
            model=author.model,
            model_sha256=author.model_sha256,
            case=self._view.name,
            subset=author.subset,
            region=self._region,
            dice=dice(mask, self._mask),
            hd95_pooled=distances.hd95_pooled,
            hd95=distances.hd95,
            hd=distances.hd,
            truth_ml=float(self._mask.sum() * self._voxel_ml),
            predicted_ml=float(mask.sum() * self._voxel_ml),
            truth_empty=not self._mask.any(),
            predicted_empty=not mask.any(),
            ece=trust.ece,
            brier=trust.brier,
            simulated_training=author.simulated_training,
        )
