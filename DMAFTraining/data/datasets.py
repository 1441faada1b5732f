"""The data sets a network can be trained on: sequences, labels, regions, and how files spell them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from DMAFTraining import modalities
from DMAFTraining.data import brats, myops
from DMAFTraining.inference.metadata import Label, Region
from DMAFTraining.modalities import ModalitySet


@dataclass(frozen=True)
class DatasetSpec:
    """One data set.

    Attributes:
        name: key in stores and on the command line.
        title: what a person reads.
        modalities: the sequences in channel order.
        labels: the foreground classes; background is 0.
        regions: what accuracy is reported on.
        dims: 3 for volumes; 2 where every slice is a case.
        label_codings: how label files spell the labels, each value in the file -> value in the store;
            a file has to fit one of them.
        label_tokens: last part of the name of a label file, lower case.
        slice_size: 2-D only: slices are cropped or padded to a square of this size about the center.
    """

    name: str
    title: str
    modalities: ModalitySet
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    dims: int
    label_codings: tuple[Mapping[int, int], ...]
    label_tokens: tuple[str, ...]
    slice_size: int | None = None

    @property
    def classes(self) -> int:
        """Output classes K, background included."""
        return len(self.labels) + 1


BRATS = DatasetSpec(
    "brats",
    "Brain tumor, BraTS labels",
    modalities.BRATS,
    brats.LABELS,
    brats.REGIONS,
    dims=3,
    label_codings=({0: 0, 1: 1, 2: 2, 4: 3}, {0: 0, 1: 1, 2: 2, 3: 3}),
    label_tokens=("seg", "segm"),
)
"""BraTS 2018 to 2021 write enhancing tumor as 4, BraTS 2023 and this project as 3."""

MYOPS = DatasetSpec(
    "myops",
    "Heart, MyoPS labels, myocardium in one class",
    modalities.MYOPS,
    myops.LABELS,
    myops.REGIONS,
    dims=2,
    label_codings=({0: 0, 500: 1, 600: 2, 200: 3, 1220: 3, 2221: 3},),
    label_tokens=("gd",),
    slice_size=256,
)
"""The default: edema and scar are myocardium at training too, as the paper's composite label."""

MYOPS_PARTS = DatasetSpec(
    "myops-parts",
    "Heart, MyoPS labels, parts of the myocardium apart",
    modalities.MYOPS,
    myops.PART_LABELS,
    myops.PART_REGIONS,
    dims=2,
    label_codings=({0: 0, 200: 1, 500: 2, 600: 3, 1220: 4, 2221: 5},),
    label_tokens=("gd",),
    slice_size=256,
)
"""Six classes at training, merged into regions at evaluation only, as the papers' code does."""

DATASETS: Mapping[str, DatasetSpec] = {spec.name: spec for spec in (BRATS, MYOPS, MYOPS_PARTS)}


def find_dataset(name: str) -> DatasetSpec:
    """The data set of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in DATASETS:
        raise ValueError(f"Unknown data set {name!r}; known are {', '.join(DATASETS)}.")
    return DATASETS[name]
