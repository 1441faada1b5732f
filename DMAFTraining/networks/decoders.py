"""The convolutional decoder, used on fused features and, in training, on single sequences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from DMAFTraining.networks.blocks import NormActConv, by_rows, convolution, upsample

RowMaps = Sequence[Tensor]
"""Maps ``(1, C, *S)``, one per row: the largest ones are never joined in one tensor."""


class Decoder(nn.Module):
    """From features of every level to class logits at full resolution.

    Args:
        dims: 2 or 3.
        width: channels at full resolution.
        levels: number of resolutions of the features.
        classes: output classes including background.
    """

    def __init__(self, dims: int, width: int, levels: int, classes: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in reversed(range(levels - 1))]
        self.raise_ = nn.ModuleList(NormActConv(dims, 2 * c, c) for c in channels)
        self.merge = nn.ModuleList(NormActConv(dims, 2 * c, c) for c in channels)
        self.mix = nn.ModuleList(NormActConv(dims, c, c, kernel=1) for c in channels)
        self.head = convolution(dims, width, classes, 1)

    def forward(self, features: Sequence[RowMaps]) -> list[RowMaps]:
        """Decoded maps per level, finest first, of ``features`` (finest first); the coarsest are the input's."""
        decoded = [features[-1]]
        for step, skips in enumerate(reversed(features[:-1])):
            decoded.append(by_rows(partial(self._step, step), skips, decoded[-1]))
        return decoded[::-1]

    def _step(self, step: int, skip: Tensor, x: Tensor) -> Tensor:
        raised = _raised(self.raise_[step], x)
        return self.mix[step](self.merge[step](skip, raised))


def _raised(block: nn.Module, x: Tensor) -> Tensor:
    """``block(upsample(x))`` that keeps ``x`` for the backward pass, not the several times larger up-sampled map."""
    fine, coarse = upsample(x), x.detach()
    address, shape = fine.data_ptr(), fine.shape

    def pack(tensor: Tensor) -> Tensor | None:
        return None if tensor.data_ptr() == address and tensor.shape == shape else tensor

    def unpack(kept: Tensor | None) -> Tensor:
        return upsample(coarse) if kept is None else kept

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        y: Tensor = block(fine)
    return y
