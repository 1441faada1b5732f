"""The transformer of one sequence at the coarsest level (mmFormer's IntraFormer)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from DMAFTraining.networks.blocks import TransformerLayer, convolution, resize

TOKEN_FACTOR = 4
"""Width of a token over the channels of the coarsest level: 512 over 128, as published."""
HEADS = 8
MLP_RATIO = 8


def position_codes(table: Tensor, grid: Sequence[int], size: Sequence[int]) -> Tensor:
    """Learned codes ``(N, prod(grid), C)`` of a token grid, resampled to ``(N, prod(size), C)``."""
    if tuple(size) == tuple(grid):
        return table
    return resize(table.transpose(1, 2).unflatten(2, tuple(grid)), size).flatten(2).transpose(1, 2)


def former_layer(channels: int, dropout: float) -> TransformerLayer:
    """mmFormer's layer over tokens of ``channels``; its attention branch is dropped out twice in a row."""
    return TransformerLayer(channels, HEADS, MLP_RATIO, dropout, bias=False, branch_dropout=1 - (1 - dropout) ** 2)


class IntraFormer(nn.Module):
    """Turn the coarsest features of one sequence into tokens that have seen each other.

    Args:
        dims: 2 or 3.
        channels: of the coarsest level, C.
        dropout: of the transformer layer.
    """

    def __init__(self, dims: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.project = convolution(dims, channels, TOKEN_FACTOR * channels, 1)
        self.layer = former_layer(TOKEN_FACTOR * channels, dropout)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """Tokens ``(B, T, 4 C)`` of ``(B, C, *S)``, ``position (1, T, 4 C)`` added first."""
        return self.layer(self.project(x).flatten(2).transpose(1, 2) + position)


class TokenBottleneck(nn.Module):
    """An :class:`IntraFormer` with its own position codes, projected back: ``(B, C, *S)`` to the same.

    Args:
        dims: 2 or 3.
        channels: C.
        grid: token grid that the position codes are made for; resampled for another.
        dropout: of the transformer layer.
    """

    def __init__(self, dims: int, channels: int, grid: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.position = nn.Parameter(torch.zeros(1, math.prod(grid), TOKEN_FACTOR * channels))
        self.transformer = IntraFormer(dims, channels, dropout)
        self.restore = convolution(dims, TOKEN_FACTOR * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        tokens = self.transformer(x, position_codes(self.position, self.grid, size))
        return self.restore(tokens.transpose(1, 2).unflatten(2, size))
