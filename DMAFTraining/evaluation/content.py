"""What a comparison report shows: the results of one patient, and the pictures of one slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.evaluation.scores import read_truth
from DMAFTraining.evaluation.slices import AxialView, Frame, Picture, draw_labels, gray_picture, largest_slice
from DMAFTraining.evaluation.stored import check_same_grid, read_labels, read_results
from DMAFTraining.inference.comparison import region_dice, region_volumes
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
        images: image file of each sequence that exists.
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
    """One combination of sequences: labels, volumes in mL, and Dice; ``dice_to_truth`` needs a truth."""

    subset: Subset
    labels: Labels
    volumes_ml: dict[str, float]
    dice_to_fullest: dict[str, float]
    dice_to_truth: dict[str, float] | None

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
        images: ``(I, J, K)`` of each sequence, on ``grid``.
        grid: the grid of the results.
        case: where all this came from.
    """

    metadata: BundleMetadata
    rows: tuple[Row, ...]
    truth: Labels | None
    truth_volumes_ml: dict[str, float]
    images: dict[str, NDArray[np.float32]]
    grid: Grid
    case: Case

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
        return self.metadata.modalities.subset(self.images)

    def background(self, subset: Subset) -> str:
        """Sequence shown behind the labels of a subset."""
        preferred = self.case.background
        return preferred if preferred is not None and preferred in subset else subset.names[0]

    def reading_notes(self) -> tuple[str, ...]:
        """How to read the report, one sentence or two a note."""
        fullest = self.rows[0].title
        names = {label.value: label.name for label in self.metadata.labels}
        regions = "; ".join(
            f"{region.name} ({region.title.lower()}): {' + '.join(names[value].lower() for value in region.labels)}"
            for region in self.metadata.regions
        )
        behind = "its first sequence"
        if (preferred := self.case.background) is not None and preferred in self.available:
            behind = f"{self.metadata.modalities[preferred].title} if the combination has it, else {behind}"
        return (
            f"Each picture shows what the model finds when only the sequences in its title exist, over {behind}.",
            "Radiological display: the patient's left is on the right of the picture, the front is up.",
            f"Regions: {regions}.",
            f"Dice is the overlap of two segmentations, 1 if equal and 0 if apart. Dice to {fullest} tells how much "
            "missing sequences change the result, not whether it is right.",
        )


def load_content(folder: Path, metadata: BundleMetadata, case: Case) -> Content:
    """Collect the results of a folder with the patient's images and truth.

    Args:
        folder: result folder of a job.
        metadata: the model that made the results.
        case: files of the patient.

    Raises:
        InputError: something is missing or unreadable, or the results are of another model.
        GeometryError: label maps, or the truth, lie on different grids.
    """
    stored = read_results(folder)
    maps = [read_labels(row.file) for row in stored.rows]
    truth = read_truth(case.truth, (label.value for label in metadata.labels)) if case.truth else None
    for other in [*maps[1:], *([truth] if truth else [])]:
        check_same_grid(maps[0], other)
    grid, regions = maps[0].grid, metadata.regions
    rows = []
    for row, labels in zip(stored.rows, maps, strict=True):
        try:
            subset = metadata.modalities.subset(row.subset)
        except ValueError as error:
            raise InputError(f"{folder} was made by another model: {error}", "Give that model.") from error
        to_truth = region_dice(labels.array, truth.array, regions) if truth else None
        rows.append(Row(subset, labels.array, row.volumes_ml, row.dice_to_fullest, to_truth))
    return Content(
        metadata,
        tuple(rows),
        truth.array if truth else None,
        region_volumes(truth.array, regions, grid.voxel_ml) if truth else {},
        _images(case, metadata.modalities.subset(name for row in rows for name in row.subset.names), grid),
        grid,
        case,
    )


def _images(case: Case, available: Subset, grid: Grid) -> dict[str, NDArray[np.float32]]:
    if missing := [modality.title for modality in available if modality.name not in case.images]:
        raise InputError(f"The image of {missing[0]} was not given.", "Give all images that were segmented.")
    return {name: _on_grid(read_volume(case.images[name]), grid) for name in available.names}


def _on_grid(volume: Volume, grid: Grid) -> NDArray[np.float32]:
    if volume.grid.same_as(grid):
        return volume.array
    moved: NDArray[np.float32] = resample(torch.from_numpy(volume.array)[None], volume.grid, grid)[0].numpy()
    return moved


@dataclass(frozen=True)
class Pictures:
    """The pictures of one slice, all of one size.

    Attributes:
        sequences: one for each sequence, by its title.
        truth: the reference segmentation, if there is one.
        rows: one for each row of the content.
        position: foot-head position of the slice in mm (RAS).
    """

    sequences: dict[str, Picture]
    truth: Picture | None
    rows: tuple[Picture, ...]
    position: float


def draw_pictures(content: Content) -> Pictures:
    """Draw the axial slice with the largest segmented area of the fullest result."""
    view = AxialView.of(content.grid)
    truth = content.truth
    level = largest_slice(view, [content.rows[0].labels, *([] if truth is None else [truth])])
    frame = Frame.around(view, level, np.any([image != 0 for image in content.images.values()], axis=0))
    gray = {name: gray_picture(image, frame) for name, image in content.images.items()}
    shown = content.metadata.labels
    every = content.available
    return Pictures(
        {modality.title: gray[modality.name] for modality in every},
        None if truth is None else draw_labels(gray[content.background(every)], truth, frame, shown),
        tuple(draw_labels(gray[content.background(row.subset)], row.labels, frame, shown) for row in content.rows),
        view.slice_positions[level],
    )


def comparison_title(content: Content) -> str:
    """Headline of page and figure."""
    count = len(content.rows)
    return f"One patient, {count} combination{'s' if count > 1 else ''} of sequences"


def truth_title(content: Content) -> str:
    """What the reference segmentation is called."""
    return "Truth (simulated)" if content.case.simulated else "Truth"
