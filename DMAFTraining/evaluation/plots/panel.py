"""Methods by subsets on one slice, as in Figures 3 and 4 of the DMAF-Net paper.

The folder holds ``image.nii.gz`` (shown behind), if there is one ``truth.nii.gz``, and for each method of the
plan a result folder of predict with its name; all on one grid. The subsets shown are each sequence alone and all
together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from DMAFTraining.evaluation.plots.style import WIDTH, in_style
from DMAFTraining.evaluation.scores import read_truth
from DMAFTraining.evaluation.slices import Frame, SliceView, draw_labels, gray_picture, largest_slice
from DMAFTraining.evaluation.stored import LabelMap, check_same_grid, read_labels, read_results
from DMAFTraining.evaluation.study import DATASETS, Plan
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import read_volume
from DMAFTraining.inference.metadata import Label
from DMAFTraining.modalities import Subset

_IMAGE, _TRUTH = "image.nii.gz", "truth.nii.gz"
_TRUTH_TITLE = "truth"

Results = dict[str, dict[str, LabelMap]]
"""Label map by title of the method and title of the subset."""


@dataclass(frozen=True)
class PanelCase:
    """One case as every method segments it.

    Attributes:
        image: ``(I, J, K)``, shown behind.
        truth: the reference segmentation, if there is one.
        results: of each method that has a folder.
        subsets: titles of those that every method has, in reporting order.
        labels: names and colors.
    """

    image: NDArray[np.float32]
    truth: LabelMap | None
    results: Results
    subsets: tuple[str, ...]
    labels: tuple[Label, ...]


def load_panel(folder: Path, plan: Plan) -> PanelCase:
    """Read the image, the truth and the results of every method.

    Raises:
        InputError: no method has results, they share no subset to show, or a file is unreadable.
        GeometryError: files lie on different grids.
    """
    dataset = DATASETS[plan.dataset]
    sequences, labels = dataset.modalities, dataset.labels
    volume = read_volume(folder / _IMAGE)
    wanted = [*(str(Subset((modality,))) for modality in sequences), str(sequences.full())]
    results = {title: _read(folder / name, wanted) for name, title in plan.methods.items() if (folder / name).is_dir()}
    common = tuple(title for title in wanted if results and all(title in maps for maps in results.values()))
    if not common:
        raise InputError(f"{folder} has no results of the plan's methods that share a subset.", "Run predict for each.")
    truth = read_truth(folder / _TRUTH, (label.value for label in labels)) if (folder / _TRUTH).is_file() else None
    image = LabelMap(np.zeros(volume.array.shape, np.uint8), volume.grid, str(folder / _IMAGE))
    for each in [*(maps[title] for maps in results.values() for title in common), *([truth] if truth else [])]:
        check_same_grid(image, each)
    return PanelCase(volume.array, truth, results, common, labels)


def _read(folder: Path, wanted: list[str]) -> dict[str, LabelMap]:
    return {row.title: read_labels(row.file) for row in read_results(folder).rows if row.title in wanted}


@in_style
def draw_panel(case: PanelCase, title: str) -> Figure:
    """A row per method, a column per subset and one for the truth, on the slice with most of it."""
    every = [maps[case.subsets[-1]] for maps in case.results.values()]
    fullest = case.truth or every[0]
    view = SliceView.as_acquired(fullest.grid)
    level = largest_slice(view, [fullest.array, *(each.array for each in every)])
    frame = Frame.around(view, level, case.image != 0)
    gray = gray_picture(case.image, frame)
    columns = [*case.subsets, *([_TRUTH_TITLE] if case.truth else [])]
    side = WIDTH / len(columns)
    tall = side * gray.shape[0] / gray.shape[1]
    figure = Figure(figsize=(WIDTH, tall * len(case.results) + 0.6), layout="constrained")
    grid = figure.subplots(len(case.results), len(columns), squeeze=False)
    for axes_row, (method, maps) in zip(grid, case.results.items(), strict=True):
        shown = [maps[title] for title in case.subsets] + ([case.truth] if case.truth else [])
        for axes, labels in zip(axes_row, shown, strict=True):
            axes.imshow(draw_labels(gray, labels.array, frame, case.labels))
            axes.set(xticks=[], yticks=[])
        axes_row[0].set_ylabel(method)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title("all sequences" if "+" in column else column)
    figure.suptitle(title)
    patches = [Patch(color="#{:02x}{:02x}{:02x}".format(*label.color), label=label.name) for label in case.labels]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
    return figure
