"""What a training step receives."""

from __future__ import annotations

from dataclasses import dataclass

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

    def pin_memory(self) -> Batch:
        """The same batch with images and labels in page-locked memory (a DataLoader calls this)."""
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.available, self.present)
