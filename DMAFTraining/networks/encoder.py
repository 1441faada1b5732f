"""The convolutional encoder of one sequence (science: residual streams, mmFormer layout)."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from DMAFTraining.networks.blocks import NormActConv, convolution


class Encoder(nn.Module):
    """Five residual levels, each half the size and twice the width of the one before.

    Args:
        dims: 2 or 3.
        width: channels at full resolution.
        levels: number of resolutions.
    """

    def __init__(self, dims: int, width: int, levels: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(levels)]
        self.entries = nn.ModuleList([convolution(dims, 1, width, 3)])
        for below, here in itertools.pairwise(channels):
            self.entries.append(NormActConv(dims, below, here, stride=2))
        self.residuals = nn.ModuleList(
            nn.Sequential(NormActConv(dims, c, c), NormActConv(dims, c, c)) for c in channels
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of ``(B, 1, *S)`` per level, ``(B, width * 2**l, *S / 2**l)``, finest first."""
        features = []
        for entry, residual in zip(self.entries, self.residuals, strict=True):
            x = entry(x)
            x = x + residual(x)
            features.append(x)
        return features
