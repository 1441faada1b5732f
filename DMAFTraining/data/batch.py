"""What a training step receives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Crops of B cases.

    Attributes:
        images: ``(B, M, *S)`` float32, zero where a sequence is not available.
        labels: ``(B, *S)`` uint8.
        available: ``(B, M)`` bool on the CPU, what exists: it is encoded and has a uni-modal pass.
        present: ``(B, M)`` bool on the CPU, what the fused prediction sees; part of ``available``.
    """

    images: Tensor
    labels: Tensor
    available: Tensor
    present: Tensor

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """(case, sequence) of everything available, case by case."""
        return [(int(b), int(m)) for b, m in self.available.nonzero()]

    def to(self, device: torch.device) -> Batch:
        """The same batch with images and labels on a device; what exists stays on the CPU."""
        images, labels = (tensor.to(device, non_blocking=True) for tensor in (self.images, self.labels))
        return Batch(images, labels, self.available, self.present)

    def pin_memory(self) -> Batch:
        """The same batch with images and labels in page-locked memory (a DataLoader calls this)."""
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.available, self.present)
