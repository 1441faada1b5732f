"""A raw case as the arrays of a store: z-scored, cropped to the brain, or cut into slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data.boxes import Box, bounding_box, center_box, cut
from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.index import Preparation
from DMAFTraining.data.normalization import FlatImageError, normalize
from DMAFTraining.data.problems import BadCaseError, Problem
from DMAFTraining.data.readers import RawCase
from DMAFTraining.data.splits import patient_of
from DMAFTraining.data.volumes import load_case

_FOREGROUND = 2000  # voxels kept per class, enough that patches differ
_FLAT_REMEDY = "It may be a mask: give the image, or leave it out."


@dataclass(frozen=True)
class ArrayCase:
    """One case of a store before it is written; the fields are those of its record."""

    name: str
    patient: str
    spacing: tuple[float, float, float]
    images: dict[str, NDArray[np.float16]]
    labels: NDArray[np.uint8]
    background: dict[str, float]
    box: Box

    @property
    def foreground(self) -> NDArray[np.int16]:
        """Some labeled voxels, ``(n, 1 + dims)``: class and position; the same for the same labels."""
        rng = np.random.default_rng(0)
        rows = []
        for label in range(1, int(self.labels.max(initial=0)) + 1):
            voxels = np.argwhere(self.labels == label)
            if len(voxels) > _FOREGROUND:
                voxels = voxels[np.sort(rng.choice(len(voxels), _FOREGROUND, replace=False))]
            rows.append(np.insert(voxels, 0, label, axis=1))
        return np.concatenate(rows or [np.empty((0, 1 + self.labels.ndim), np.int64)]).astype(np.int16)


def to_arrays(raw: RawCase, spec: DatasetSpec, preparation: Preparation) -> Iterator[ArrayCase]:
    """The case, or each of its slices where the data set is 2-D.

    Raises:
        BadCaseError: it cannot be read, or a sequence has no contrast.
    """
    loaded = load_case(raw, spec)
    box = tuple((0, size) for size in loaded.labels.shape)
    if spec.slice_size is None:
        box = bounding_box([*loaded.images.values(), loaded.labels])
    try:
        images, background = normalize(
            {name: cut(image, box, 0) for name, image in loaded.images.items()},
            preparation.normalization,
            preparation.background,
        )
    except FlatImageError as flat:
        file = str(raw.images[flat.sequence])
        raise BadCaseError([Problem(raw.name, file, "has no contrast inside the brain", _FLAT_REMEDY)]) from flat
    whole = ArrayCase(
        raw.name,
        patient_of(raw.name),
        loaded.spacing,
        {name: image.astype(np.float16) for name, image in images.items()},
        cut(loaded.labels, box, 0),
        {name: float(np.float16(value)) for name, value in background.items()},  # exactly what the arrays hold
        box,
    )
    if spec.slice_size is None:
        yield whole
        return
    for number in range(whole.labels.shape[2]):
        yield _slice(whole, number, spec.slice_size)


def _slice(case: ArrayCase, number: int, size: int) -> ArrayCase:
    """One slice, cropped or padded about the center."""
    box = center_box(case.labels.shape[:2], size)
    return replace(
        case,
        name=f"{case.name}_slice_{number}",
        images={name: cut(image[:, :, number], box, case.background[name]) for name, image in case.images.items()},
        labels=cut(case.labels[:, :, number], box, 0),
        box=box,
    )
