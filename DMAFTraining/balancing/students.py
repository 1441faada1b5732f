"""Students of self-distillation: the fused decoder on one sequence of a case alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.checkpoint import checkpoint

from DMAFTraining.balancing.base import StrategySettings
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.networks.base import Decoded, Features, SegmentationNetwork


@dataclass(frozen=True)
class StudentSettings(StrategySettings):
    """Of strategies with students.

    Attributes:
        resident_students: how many students' maps memory holds until the backward pass; the others
            are decoded again there, one at a time. null keeps all: more memory, less time.
    """

    resident_students: int | None = None

    def __post_init__(self) -> None:
        if self.resident_students is not None and self.resident_students < 1:
            raise ValueError(f"resident_students should be at least 1 or null, not {self.resident_students}.")


def decode_students(
    network: SegmentationNetwork, features: Features, table: PairTable, resident: int | None
) -> Decoded:
    """The fused prediction from each pair's sequence alone, P rows.

    Args:
        network: the backbone.
        features: of the batch.
        table: its pairs.
        resident: see ``resident_students``. It is the last ones that stay: backward meets them first
            and has freed their maps when it decodes the others again.
    """
    alone, rows = table.alone, table.rows
    again = 0 if resident is None else max(0, len(rows) - resident)
    each: list[Decoded] = [
        checkpoint(network.decode_training, features, alone[i : i + 1], rows[i : i + 1], use_reentrant=False)
        for i in range(again)
    ]
    each.append(network.decode_training(features, alone[again:], rows[again:]))
    if len(each) == 1:
        return each[0]
    return Decoded(
        torch.cat([student.logits for student in each]),
        tuple(torch.cat(level) for level in zip(*(student.deep for student in each), strict=True)),
        torch.cat([student.embedding for student in each]),
        torch.cat([student.bottleneck for student in each]),
    )
