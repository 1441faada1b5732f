"""All scores of one case: each subset of its sequences against the truth, on the truth's own grid.

What does not depend on the subset is done once: images are read, prepared and encoded, and the
surfaces of the truth are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.readers import RawCase
from DMAFTraining.data.volumes import load_case
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.targets import Answer, Author, Frame, Target, View, model_name, slice_views, subset_key
from DMAFTraining.inference.geometry import Volume
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.inference.slices import slice_axis
from DMAFTraining.modalities import Subset

SMALL_REGION = "ET"
SMALL_SUFFIX = "-500"
SMALL_ML = 0.5
"""500 voxels of 1 mm, the published threshold, as a volume: it means the same on any grid."""


@dataclass(frozen=True)
class EvaluationCase:
    """A case with its truth: images and labels ``(I, J, K)`` on one grid, ``spacing`` in mm."""

    name: str
    volumes: dict[str, Volume]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class CaseScores:
    """Rows of a case, and of each of its slices where the network sees slices."""

    rows: tuple[ScoreRow, ...] = ()
    slices: tuple[ScoreRow, ...] = ()


def read_evaluation_case(raw: RawCase, spec: DatasetSpec) -> EvaluationCase:
    """Read and check a case.

    Raises:
        BadCaseError: see :func:`~DMAFTraining.data.volumes.load_case`; also a case without a label map.
    """
    loaded = load_case(raw, spec)
    volumes = {name: Volume(array, loaded.grid, str(raw.images[name].path)) for name, array in loaded.images.items()}
    return EvaluationCase(raw.name, volumes, loaded.labels, loaded.spacing)


def score_case(segmenter: Segmenter, case: EvaluationCase, subsets: Sequence[Subset]) -> CaseScores:
    """Segment a case from each subset and compare with its truth.

    Args:
        segmenter: the model; the values of its labels are those of the truth.
        case: from :func:`read_evaluation_case`.
        subsets: which subsets; rows come in this order.

    Raises:
        InputError: images that the model cannot segment.
    """
    if not subsets:
        return CaseScores()
    prepared = segmenter.prepare(case.volumes)
    shown = np.any([volume.array != 0 for volume in case.volumes.values()], axis=0)
    frame = Frame.of(case.labels, shown, prepared.native_box, case.spacing)
    regions, by_slices = segmenter.metadata.regions, segmenter.metadata.preprocessing.slice_size is not None
    views = slice_views(case.name, frame, slice_axis(case.spacing)) if by_slices else []
    whole = [Target(frame, View(case.name), region) for region in regions]
    slices = [Target(frame, view, region) for view in views for region in regions]
    found = {}
    for subset, classes in segmenter.probabilities(prepared, [subset.names for subset in subsets]):
        answer, author = Answer(frame, classes, regions), _author(segmenter, subset)
        rows = [target.compare(answer, author) for target in whole]
        small = [small_rule(row) for row in rows if row.region == SMALL_REGION]
        found[subset] = ((*rows, *small), [target.compare(answer, author) for target in slices])
    place = {view.name: number for number, view in enumerate(views)}
    return CaseScores(
        tuple(row for subset in subsets for row in found[subset][0]),
        tuple(sorted((row for subset in subsets for row in found[subset][1]), key=lambda row: place[row.case])),
    )


def small_rule(row: ScoreRow) -> ScoreRow:
    """The row of a region under the published rule: a prediction below 0.5 mL counts as nothing."""
    row = replace(row, region=f"{row.region}{SMALL_SUFFIX}", ece=None, brier=None)
    if row.predicted_ml >= SMALL_ML:
        return row
    found_nothing = replace(row, dice=float(row.truth_empty), predicted_ml=0.0, predicted_empty=True)
    return replace(found_nothing, hd95_pooled=None, hd95=None, hd=None)


def _author(segmenter: Segmenter, subset: Subset) -> Author:
    metadata, sha256 = segmenter.metadata, segmenter.bundle.sha256
    return Author(model_name(metadata), sha256, metadata.simulated_training, subset_key(subset))
