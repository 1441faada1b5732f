"""The convolutional decoder, used on fused features and, in training, on single sequences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from DMAFTraining.networks.blocks import NormActConv, convolution, upsample


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

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Decode ``features`` (finest first).

        Returns:
            Logits ``(B, K, *S)`` and the decoded features per level, finest first, the last being
            the untouched coarsest input.
        """
        x = features[-1]
        decoded = [x]
        for skip, raise_, merge, mix in zip(reversed(features[:-1]), self.raise_, self.merge, self.mix, strict=True):
            x = raise_(upsample(x))
            x = mix(merge(torch.cat((skip, x), dim=1)))
            decoded.append(x)
        return self.head(x), decoded[::-1]
