"""What a comparison report shows: the results of one patient, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.evaluation.scores import read_truth
from DMAFTraining.evaluation.stored import (
    LabelMap,
    StoredResults,
    check_same_grid,
    read_labels,
    read_map,
    read_results,
)
from DMAFTraining.inference.case_comparison import Comparison, LabelSet, Pair, compare_case, find_pairs
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume, read_volume
from DMAFTraining.inference.metadata import BundleMetadata
from DMAFTraining.inference.resampling import resample
from DMAFTraining.modalities import Subset

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """Files of the patient the results belong to.

    Attributes:
        images: image file of each sequence that exists; none at all: pictures have a black background.
        truth: reference segmentation on the grid of the results, if there is one.
        simulated: whether the patient is a simulated one.
        background: sequence to show behind the labels where a combination has it; else its first.
    """

    images: Mapping[str, Path]
    truth: Path | None = None
    simulated: bool = False
    background: str | None = None


@dataclass(frozen=True)
class Row:
    """One combination of sequences: labels, volumes in mL, and Dice."""

    subset: Subset
    labels: Labels
    volumes_ml: dict[str, float]
    dice_to_fullest: dict[str, float]

    @property
    def title(self) -> str:
        """For example ``T1+FLAIR``."""
        return str(self.subset)


@dataclass(frozen=True)
class Content:
    """Everything a report is made from.

    Attributes:
        metadata: the model.
        rows: the results, the fullest first.
        truth: labels of the reference segmentation.
        truth_volumes_ml: its volumes.
        images: ``(I, J, K)`` of each sequence, on ``grid``; empty if no images were given.
        grid: the grid of the results.
        case: where all this came from.
        labels: of all combinations together.
        comparison: the numbers.
        pairs: whose differences are shown.
        entropy: ``(I, J, K)``, where the model is undecided with the sequences of the base; None if not mapped.
        contribution: ``(I, J, K)`` share of each sequence in the fusion; empty if not mapped.
        provenance: how the results came about.
    """

    metadata: BundleMetadata
    rows: tuple[Row, ...]
    truth: Labels | None
    truth_volumes_ml: dict[str, float]
    images: dict[str, NDArray[np.float32]]
    grid: Grid
    case: Case
    labels: LabelSet
    comparison: Comparison
    pairs: tuple[Pair, ...]
    entropy: NDArray[np.float32] | None
    contribution: dict[str, NDArray[np.float32]]
    provenance: dict[str, Any]

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences that have to stand at the top of every report."""
        simulated = {
            (True, True): ("Simulated case, model trained on simulated data.",),
            (True, False): ("Simulated case.",),
            (False, True): ("Model trained on simulated data.",),
        }
        return (RESEARCH_NOTICE, *simulated.get((self.case.simulated, self.metadata.simulated_training), ()))

    @property
    def model(self) -> str:
        """Name and version of the model."""
        return f"{self.metadata.name} {self.metadata.version}"

    @property
    def available(self) -> Subset:
        """The sequences that exist."""
        return self.metadata.modalities.subset(name for row in self.rows for name in row.subset.names)

    def background(self, subset: Subset) -> str:
        """Sequence shown behind the labels of a subset, wherever there are images."""
        preferred = self.case.background
        return preferred if preferred is not None and preferred in subset else subset.names[0]

    def reading_notes(self) -> tuple[str, ...]:
        """How to read the report, one sentence or two a note."""
        base = self.comparison.base
        names = {label.value: label.name for label in self.metadata.labels}
        regions = "; ".join(
            f"{region.name} ({region.title.lower()}): {' + '.join(names[value].lower() for value in region.labels)}"
            for region in self.metadata.regions
        )
        return (
            f"Each picture shows what the model finds when only the sequences in its title exist{self._behind()}.",
            "Radiological display: the patient's left is on the right of the picture; the front or the head is up.",
            f"Regions: {regions}.",
            f"Dice is the overlap of two segmentations, 1 if equal and 0 if apart. Dice to {base} tells how much "
            "other sequences change the result, not whether it is right.",
        )

    def _behind(self) -> str:
        if not self.images:
            return ", without the images behind"
        if (preferred := self.case.background) is not None and preferred in self.available:
            title = self.metadata.modalities[preferred].title
            return f", over {title} if the combination has it, else its first sequence"
        return ", over its first sequence"


def load_content(
    folder: Path,
    metadata: BundleMetadata,
    case: Case,
    base: Subset | None = None,
    pairs: Sequence[tuple[Subset, Subset]] = (),
) -> Content:
    """Collect the results of a folder with the patient's images and truth, and compare them.

    Args:
        folder: result folder of a job.
        metadata: the model that made the results.
        case: files of the patient.
        base: the combination that the others are compared with; default the fullest.
        pairs: whose differences to show; default the base with each that lacks one of its sequences.

    Raises:
        InputError: something is missing or unreadable, the results are of another model, or the base or a
            combination of the pairs is not among them.
        GeometryError: label maps, or the truth, lie on different grids.
    """
    stored = read_results(folder)
    maps = [read_labels(row.file) for row in stored.rows]
    truth = read_truth(case.truth, (label.value for label in metadata.labels)) if case.truth else None
    for other in [*maps[1:], *([truth] if truth else [])]:
        check_same_grid(maps[0], other)
    grid, regions = maps[0].grid, metadata.regions
    rows = tuple(
        Row(
            _subset(row.subset, metadata, folder),
            map_.array,
            row.volumes_ml,
            row.dice_to_fullest,
        )
        for row, map_ in zip(stored.rows, maps, strict=True)
    )
    true_labels = truth.array if truth else None
    try:
        labels = LabelSet({row.subset: row.labels for row in rows}, grid.ijk_to_ras, true_labels)
        comparison = compare_case(labels, regions, base)
        wanted = find_pairs(labels, regions, pairs)
    except ValueError as error:
        raise InputError(str(error)) from error
    return Content(
        metadata=metadata,
        rows=rows,
        truth=true_labels,
        truth_volumes_ml=comparison.truth_volumes_ml or {},
        images=_images(case, metadata.modalities.subset(name for row in rows for name in row.subset.names), grid),
        grid=grid,
        case=case,
        labels=labels,
        comparison=comparison,
        pairs=wanted or comparison.pairs,
        entropy=_entropy(stored, str(comparison.base), maps[0]),
        contribution={name: read_map(path, maps[0]) for name, path in stored.maps.get("contribution", {}).items()},
        provenance=stored.provenance,
    )


def _subset(names: Sequence[str], metadata: BundleMetadata, folder: Path) -> Subset:
    try:
        return metadata.modalities.subset(names)
    except ValueError as error:
        raise InputError(f"{folder} was made by another model: {error}", "Give that model.") from error


def _entropy(stored: StoredResults, title: str, like: LabelMap) -> NDArray[np.float32] | None:
    path = next((row.maps.get("entropy") for row in stored.rows if row.title == title), None)
    return None if path is None else read_map(path, like)


def _images(case: Case, available: Subset, grid: Grid) -> dict[str, NDArray[np.float32]]:
    if not case.images:
        return {}
    if missing := [modality.title for modality in available if modality.name not in case.images]:
        raise InputError(f"The image of {missing[0]} was not given.", "Give all images that were segmented.")
    return {name: _on_grid(read_volume(case.images[name]), grid) for name in available.names}


def _on_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    if volume.grid.same_as(grid):
        return volume.array
    moved: NDArray[np.float32] = resample(torch.from_numpy(volume.array)[None], volume.grid, grid)[0].numpy()
    return moved


def comparison_title(content: Content) -> str:
    """Headline of page and figure."""
    count = len(content.rows)
    return f"One patient, {count} combination{'s' if count > 1 else ''} of sequences"


def truth_title(content: Content) -> str:
    """What the reference segmentation is called."""
    return "Truth (simulated)" if content.case.simulated else "Truth"
