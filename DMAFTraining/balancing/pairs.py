"""The (case, sequence) pairs of a batch: indices on the device, sums per sequence, means per case."""

from __future__ import annotations

import torch
from torch import Tensor

from DMAFTraining.balancing.reduce import all_reduce_sum
from DMAFTraining.data.batch import Batch


class PairTable:
    """Everything a strategy asks about the pairs of a batch, prepared once.

    Small index tensors are built on the CPU and sent to the device; nothing is read back. Sums are
    products with a table of zeros and ones, not scatters or matrix products: their order is fixed on
    every device and autocast leaves them in fp32.

    Attributes:
        pairs: (case, sequence) of everything available, P of them.
        case: case of each pair ``(P,)`` on the device.
        modality: sequence of each pair ``(P,)`` on the device.
        siblings: number of pairs of the same case ``(P,)``, |M| of the papers, on the device.
        counts: the same as Python numbers.
        fused: number of sequences that the fused prediction of the pair's case sees ``(P,)``.
        cases: number of cases B.
    """

    def __init__(self, sample: Batch) -> None:
        device = sample.images.device
        self.pairs = sample.pairs
        self.cases, self.modalities = sample.available.shape
        case = torch.tensor([b for b, _ in self.pairs])
        modality = torch.tensor([m for _, m in self.pairs])
        siblings = sample.available.sum(1)[case]
        self.counts: list[int] = siblings.tolist()
        self.case = case.to(device, non_blocking=True)
        self.modality = modality.to(device, non_blocking=True)
        self.siblings = siblings.to(device, torch.float32, non_blocking=True)
        self.fused = sample.present.sum(1)[case].to(device, non_blocking=True)
        self._by_modality = torch.eye(self.modalities)[modality].to(device, non_blocking=True)
        self._by_case = (case[:, None] == case[None]).float().to(device, non_blocking=True)

    @property
    def rows(self) -> list[int]:
        """Case of each pair, as Python numbers."""
        return [b for b, _ in self.pairs]

    @property
    def sequences(self) -> list[int]:
        """Sequence of each pair, as Python numbers."""
        return [m for _, m in self.pairs]

    @property
    def alone(self) -> Tensor:
        """Presence ``(P, M)`` bool on the CPU in which each pair's sequence is the only one."""
        return torch.eye(self.modalities, dtype=torch.bool)[self.sequences]

    def sum_per_modality(self, values: Tensor) -> Tensor:
        """``(V, P)`` finite values to their sums over the pairs of each sequence ``(V, M)``."""
        return (values.unsqueeze(-1) * self._by_modality).sum(-2)

    def shared_sums(self, values: Tensor) -> Tensor:
        """Sums of ``(V, P)`` per sequence over all ranks ``(V, M)``; pairs that are not finite are left out."""
        return all_reduce_sum(self.sum_per_modality(values.where(values.isfinite().all(0), 0)))

    def mean_per_case(self, values: Tensor) -> Tensor:
        """``(P,)`` finite values to their mean over the pairs of the same case ``(P,)``."""
        return (values * self._by_case).sum(-1) / self.siblings
