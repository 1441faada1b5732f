"""Intensities of a case: z-score over the brain."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data.index import Background, Normalization

Image = NDArray[np.float32]


class FlatImageError(ValueError):
    """The image of ``sequence`` has one single intensity in the brain."""

    def __init__(self, sequence: str) -> None:
        super().__init__(f"{sequence} has no contrast inside the brain.")
        self.sequence = sequence


def normalize(
    images: Mapping[str, Image], method: Normalization, background: Background
) -> tuple[dict[str, Image], dict[str, float]]:
    """Zero mean and unit variance of each sequence over brain voxels.

    Args:
        images: of one case, all of one shape.
        method: whose voxels are brain, see :class:`~DMAFTraining.data.index.Preparation`.
        background: 0 for all other voxels, or the same z-score there too.

    Returns:
        The images, and what 0 became in each.

    Raises:
        FlatImageError: a sequence has one single intensity in the brain.
    """
    shared = np.sum(list(images.values()), axis=0, dtype=np.float32) > 0
    result, fill = {}, {}
    for name, image in images.items():
        brain = image != 0 if method == "zscore-brain" else shared
        values = image[brain].astype(np.float64)
        mean, deviation = (values.mean(), values.std()) if values.size else (0.0, 0.0)
        if not deviation > 0:
            raise FlatImageError(name)
        scored = (image - mean) / deviation
        shift = background == "shifted"
        result[name] = (scored if shift else np.where(brain, scored, 0)).astype(np.float32)
        fill[name] = float(-mean / deviation) if shift else 0.0
    return result, fill
