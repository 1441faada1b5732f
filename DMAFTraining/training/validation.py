"""Dice on whole cases with the sliding window that inference uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from DMAFTraining.data.store import PatchStore
from DMAFTraining.inference.comparison import region_dice
from DMAFTraining.inference.sliding_window import segment_subsets
from DMAFTraining.modalities import Subset
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training import distributed


@dataclass(frozen=True)
class Score:
    """Dice of each region: mean over cases, by subset and over subsets."""

    by_subset: dict[str, dict[str, float]]
    mean: dict[str, float]

    @property
    def overall(self) -> float:
        """Mean over regions and subsets; what "best" means."""
        return float(np.mean(list(self.mean.values())))


def validate(
    network: SegmentationNetwork,
    store: PatchStore,
    cases: Sequence[int],
    subsets: Sequence[Subset],
    window: Sequence[int],
    overlap: float,
) -> Score:
    """Segment every case from every subset and compare with its labels.

    Ranks share the cases; each gets the same score. A subset is scored on the cases that have all
    its sequences.

    Raises:
        ValueError: no case has the sequences of some subset.
    """
    regions = store.spec.regions
    device = next(network.parameters()).device
    total = torch.zeros(len(subsets), len(regions) + 1, dtype=torch.float64)
    was_training = network.training
    network.eval()
    for case in cases[distributed.rank() :: distributed.world()]:
        for row, values in _case_dice(network, store, case, subsets, window, overlap):
            total[row] += torch.tensor([*values, 1.0])
    network.train(was_training)
    total = distributed.mean(total.float().to(device)).cpu() if distributed.world() > 1 else total
    if not bool((total[:, -1] > 0).all()):
        raise ValueError("No validation case has all sequences of some subset; give complete validation cases.")
    table = (total[:, :-1] / total[:, -1:]).tolist()
    names = [region.name for region in regions]
    by_subset = {str(s): dict(zip(names, row, strict=True)) for s, row in zip(subsets, table, strict=True)}
    return Score(by_subset, {n: float(np.mean([row[n] for row in by_subset.values()])) for n in names})


def _case_dice(
    network: SegmentationNetwork,
    store: PatchStore,
    case: int,
    subsets: Sequence[Subset],
    window: Sequence[int],
    overlap: float,
) -> list[tuple[int, list[float]]]:
    """(row of ``subsets``, Dice of each region) for the subsets this case can show."""
    images, labels = store.read_case(case)
    have = store.available[case]
    flags = [store.spec.modalities.flags(subset) for subset in subsets]
    rows = [row for row, flag in enumerate(flags) if all(have[np.array(flag)])]
    device = next(network.parameters()).device
    volume = torch.from_numpy(images).to(device)
    probabilities = segment_subsets(network, volume, [flags[row] for row in rows], window, overlap)
    predicted = _labels(probabilities, volume, [flags[row] for row in rows])
    regions = store.spec.regions
    return [
        (row, list(region_dice(found, labels, regions).values())) for row, found in zip(rows, predicted, strict=True)
    ]


def _labels(probabilities: Tensor, images: Tensor, flags: Sequence[Sequence[bool]]) -> list[np.ndarray]:
    """Most probable label inside the brain that a subset shows, background outside."""
    found = probabilities.argmax(dim=1).to(torch.uint8)
    return [
        (labels * (images[torch.tensor(flag)] != 0).any(dim=0)).cpu().numpy()
        for labels, flag in zip(found, flags, strict=True)
    ]
