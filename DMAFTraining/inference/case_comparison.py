"""All numbers that compare the results of one patient, made once for the report, the worker and the Slicer module.

Without torch: NumPy and SciPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.agreement import agreement_map, agreement_volumes, disagreement_map
from DMAFTraining.inference.attribution import Coalition, coalitions, leave_one_out, shapley
from DMAFTraining.inference.comparison import Labels, dice, region_mask
from DMAFTraining.inference.differences import Difference, largest_differences
from DMAFTraining.inference.metadata import Region
from DMAFTraining.inference.surfaces import Mask, Surface
from DMAFTraining.modalities import Subset

Matrix = NDArray[np.float64]
Measure = Literal["dice", "volume_ml"]
MEASURES: tuple[Measure, ...] = ("dice", "volume_ml")
MOST_PLACES = 5


@dataclass(frozen=True)
class Overlap:
    """How well one segmentation of a region fits another.

    Attributes:
        dice: 1 if both are empty, 0 if one is.
        hd95_mm: the larger of the 95th percentiles of the surface distances of the two directions; None if
            either is empty.
        empty: which of them is empty.
    """

    dice: float
    hd95_mm: float | None
    empty: Literal["none", "this", "other", "both"]


@dataclass(frozen=True)
class RegionNumbers:
    """One region in the result of one combination.

    Attributes:
        volume_ml: its volume.
        change_ml: that less the volume in the base.
        change_percent: the same in percent of the base; None where the region is empty there.
        to_base: overlap with the base.
        to_truth: overlap with the reference segmentation, if there is one.
    """

    volume_ml: float
    change_ml: float
    change_percent: float | None
    to_base: Overlap
    to_truth: Overlap | None


@dataclass(frozen=True)
class Attribution:
    """What the sequences contribute to one measure of one region, by name of the sequence.

    Attributes:
        leave_one_out: value of all sequences less that without this one; of those that were segmented.
        shapley: exact Shapley values; None if combinations are missing or the measure means nothing here.
        note: why something is missing; empty if nothing is.
    """

    leave_one_out: dict[str, float]
    shapley: dict[str, float] | None
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """Where two results differ, by region: ``only_a`` is what only ``a`` shows."""

    a: Subset
    b: Subset
    places: dict[str, tuple[Difference, ...]]


@dataclass(frozen=True)
class Comparison:
    """The numbers of one patient.

    Attributes:
        base: the result that changes and differences are measured against.
        players: all sequences of any result.
        regions: what is measured.
        rows: by combination and region, the fullest first.
        truth_volumes_ml: of the reference segmentation, if there is one.
        attributions: by measure and region; Dice is to the reference segmentation, or to the base without one.
        agreement_ml: by region, the volume that exactly 1, 2, ... of the results have.
        pairs: the base against every result that lacks just one of its sequences.
    """

    base: Subset
    players: Subset
    regions: tuple[Region, ...]
    rows: dict[Subset, dict[str, RegionNumbers]]
    truth_volumes_ml: dict[str, float] | None
    attributions: dict[Measure, dict[str, Attribution]]
    agreement_ml: dict[str, tuple[float, ...]]
    pairs: tuple[Pair, ...]

    def without(self, sequence: str) -> Subset | None:
        """The result that lacks one sequence of the base and nothing else, if it was segmented."""
        rest = [name for name in self.base.names if name != sequence]
        return next((subset for subset in self.rows if list(subset.names) == rest), None)


class LabelSet:
    """The label maps of one patient on one grid, cut to the part where any of them shows something.

    Args:
        maps: labels ``(I, J, K)`` of each combination.
        ijk_to_ras: 4x4, of their grid.
        truth: a reference segmentation ``(I, J, K)``, if there is one.

    Attributes:
        shape: of the whole grid.
        box: the part.
        truth: cut to the part.
        ijk_to_ras: of the part.

    Raises:
        ValueError: no map, or maps of different sizes.
    """

    def __init__(self, maps: Mapping[Subset, Labels], ijk_to_ras: Matrix, truth: Labels | None = None) -> None:
        every = [*maps.values(), *([] if truth is None else [truth])]
        if not maps:
            raise ValueError("There is nothing to compare: no combination of sequences was segmented.")
        if len({array.shape for array in every}) > 1:
            raise ValueError("Label maps of different sizes cannot be compared; bring them on one grid.")
        self.shape = every[0].shape
        shown = np.logical_or.reduce([array != 0 for array in every])
        boxes = ndimage.find_objects(shown.astype(np.uint8))
        self.box = boxes[0] if boxes else tuple(slice(0, 1) for _ in self.shape)
        self._maps = {subset: array[self.box] for subset, array in maps.items()}
        self.truth = None if truth is None else truth[self.box]
        start = [side.start for side in self.box]
        self.ijk_to_ras = ijk_to_ras.astype(float)
        self.ijk_to_ras[:3, 3] += ijk_to_ras[:3, :3] @ start

    @property
    def subsets(self) -> tuple[Subset, ...]:
        """The combinations, the fullest first."""
        return tuple(sorted(self._maps, key=len, reverse=True))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in mL."""
        return abs(float(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000

    @property
    def spacing(self) -> list[float]:
        """Voxel size in mm."""
        return [float(step) for step in np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)]

    def masks(self, region: Region) -> dict[Subset, Mask]:
        """The region in each map, in the part; the fullest first."""
        return {subset: self.mask(subset, region) for subset in self.subsets}

    def mask(self, subset: Subset, region: Region) -> Mask:
        """The region in one map, in the part."""
        return region_mask(self._maps[subset], region)

    def agreement(self, region: Region) -> NDArray[np.uint8]:
        """How many of the maps show the region at each voxel of the whole grid."""
        counts = np.zeros(self.shape, np.uint8)
        counts[self.box] = agreement_map(self.masks(region).values())
        return counts

    def disagreement(self) -> NDArray[np.uint16]:
        """How many pairs of the maps differ at each voxel of the whole grid."""
        pairs = np.zeros(self.shape, np.uint16)
        pairs[self.box] = disagreement_map(list(self._maps.values()))
        return pairs


def compare_case(labels: LabelSet, regions: Sequence[Region], base: Subset | None = None) -> Comparison:
    """Compare the results of one patient with each other, and with the truth if there is one.

    Args:
        labels: of each combination.
        regions: what to measure.
        base: the combination that the others are compared with; default the fullest.

    Raises:
        ValueError: a base that was not segmented.
    """
    truth = labels.truth
    base = labels.subsets[0] if base is None else base
    _check_known(base, labels)
    players = _players(labels.subsets)
    rows: dict[Subset, dict[str, RegionNumbers]] = {subset: {} for subset in labels.subsets}
    truths: dict[str, float] = {}
    agreement: dict[str, tuple[float, ...]] = {}
    for region in regions:
        masks = labels.masks(region)
        true_mask = None if truth is None else region_mask(truth, region)
        for subset, numbers in _region_numbers(labels, masks, base, true_mask).items():
            rows[subset][region.name] = numbers
        if true_mask is not None:
            truths[region.name] = float(true_mask.sum() * labels.voxel_ml)
        agreement[region.name] = agreement_volumes(agreement_map(masks.values()), len(masks), labels.voxel_ml)
    empty = [r.name for r in regions if not (truths[r.name] if truth is not None else rows[base][r.name].volume_ml)]
    return Comparison(
        base=base,
        players=players,
        regions=tuple(regions),
        rows=rows,
        truth_volumes_ml=truths if truth is not None else None,
        attributions={measure: _attributions(measure, rows, players, empty) for measure in MEASURES},
        agreement_ml=agreement,
        pairs=tuple(_find_pair(labels, regions, base, other) for other in _one_less(labels.subsets, base)),
    )


def find_pairs(labels: LabelSet, regions: Sequence[Region], pairs: Sequence[tuple[Subset, Subset]]) -> tuple[Pair, ...]:
    """Where the results of each two combinations differ most.

    Raises:
        ValueError: a combination that was not segmented.
    """
    for subset in (subset for pair in pairs for subset in pair):
        _check_known(subset, labels)
    return tuple(_find_pair(labels, regions, a, b) for a, b in pairs)


def _check_known(subset: Subset, labels: LabelSet) -> None:
    if subset not in labels.subsets:
        known = ", ".join(map(str, labels.subsets))
        raise ValueError(f"{subset} was not segmented, so it cannot be compared; there are {known}.")


def _find_pair(labels: LabelSet, regions: Sequence[Region], a: Subset, b: Subset) -> Pair:
    places = {}
    for region in regions:
        first, second = labels.mask(a, region), labels.mask(b, region)
        places[region.name] = largest_differences(first, second, labels.ijk_to_ras, MOST_PLACES)
    return Pair(a, b, places)


def _players(subsets: Sequence[Subset]) -> Subset:
    """All sequences of any result; in the order of the sequences wherever some result holds them all."""
    every = {modality.name: modality for subset in subsets for modality in subset}
    return Subset(tuple(every.values()))


def _one_less(subsets: Sequence[Subset], base: Subset) -> list[Subset]:
    return [subset for subset in subsets if subset <= base and len(subset) == len(base) - 1]


def _region_numbers(
    labels: LabelSet, masks: Mapping[Subset, Mask], base: Subset, truth: Mask | None
) -> dict[Subset, RegionNumbers]:
    surfaces = {subset: Surface(mask, labels.spacing) for subset, mask in masks.items()}
    true_surface = None if truth is None else Surface(truth, labels.spacing)
    base_ml = float(masks[base].sum() * labels.voxel_ml)
    numbers = {}
    for subset, mask in masks.items():
        volume = float(mask.sum() * labels.voxel_ml)
        change = volume - base_ml
        to_truth = None
        if truth is not None and true_surface is not None:
            to_truth = _overlap(mask, truth, surfaces[subset], true_surface)
        to_base = _overlap(mask, masks[base], surfaces[subset], surfaces[base])
        percent = 100 * change / base_ml if base_ml else None
        numbers[subset] = RegionNumbers(volume, change, percent, to_base, to_truth)
    return numbers


def _overlap(this: Mask, other: Mask, surface: Surface, other_surface: Surface) -> Overlap:
    here, there = bool(this.any()), bool(other.any())
    empty: Literal["none", "this", "other", "both"]
    empty = ("none" if there else "other") if here else ("this" if there else "both")
    return Overlap(dice(this, other), surface.distances_to(other_surface).hd95, empty)


def _attributions(
    measure: Measure, rows: Mapping[Subset, Mapping[str, RegionNumbers]], players: Subset, empty: Sequence[str]
) -> dict[str, Attribution]:
    names = next(iter(rows.values()))
    return {name: _attribution(measure, name, rows, players, name in empty) for name in names}


def _attribution(
    measure: Measure, region: str, rows: Mapping[Subset, Mapping[str, RegionNumbers]], players: Subset, empty: bool
) -> Attribution:
    if measure == "dice" and empty:
        return Attribution({}, None, "The region is empty in what the results are compared with.")
    values: dict[Coalition, float] = {frozenset(s.names): _value(measure, row[region]) for s, row in rows.items()}
    missing = sum(coalition not in values for coalition in coalitions(players.names))
    alone = leave_one_out(values, players.names)
    if missing:
        count = 2 ** len(players) - 1
        note = f"Shapley values need all {count} combinations of {players}; {missing} of them were not segmented."
        return Attribution(alone, None, note)
    return Attribution(alone, shapley(values, players.names))


def _value(measure: Measure, numbers: RegionNumbers) -> float:
    return numbers.volume_ml if measure == "volume_ml" else (numbers.to_truth or numbers.to_base).dice
