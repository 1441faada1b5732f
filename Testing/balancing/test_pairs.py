"""Bookkeeping of (case, sequence) pairs."""

from __future__ import annotations

import torch

from DMAFTraining.balancing.pairs import PairTable
from tiny_training import tiny_sample


def test_sums_and_means_by_hand() -> None:
    table = PairTable(tiny_sample(["1101", "0100"], dims=2))
    assert table.pairs == [(0, 0), (0, 1), (0, 3), (1, 1)]
    assert table.counts == table.siblings.tolist() == [3, 3, 3, 1]
    values = torch.tensor([1.0, 2.0, 6.0, 5.0])
    assert table.sum_per_modality(values[None]).tolist() == [[1.0, 7.0, 0.0, 6.0]]
    assert table.mean_per_case(values).tolist() == [3.0, 3.0, 3.0, 5.0]
    assert table.alone.int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]


def test_what_the_fused_prediction_sees_is_counted_apart() -> None:
    table = PairTable(tiny_sample(["111", "111"], present=["100", "011"], dims=2))
    assert table.siblings.tolist() == [3.0] * 6
    assert table.fused.tolist() == [1, 1, 1, 2, 2, 2]
