"""The masked transformer of M2FTrans: sequences attend to themselves, fusion tokens to what is present.

Its attention has a fixed pattern: a sequence's tokens see only each other, and the learned fusion
tokens see all present sequences and themselves. So it is computed in two streams without any mask:
the tokens of a sequence do not depend on the subset and are computed once; per subset, only the
fusion tokens run, over the keys and values of the sequences that are there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.module_lists import Modules
from DMAFTraining.networks.transformers import position_codes


class TwoStreamLayer(nn.Module):
    """A pre-norm attention and feed-forward layer whose parts are called one by one.

    Args:
        channels: width C of the tokens.
        heads: attention heads; divides C.
        hidden: hidden width of the feed-forward part.
        dropout: on attention weights, twice on the attention branch, twice in the feed-forward part.
    """

    def __init__(self, channels: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.projection = nn.Linear(channels, channels)
        self.norm_mlp = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )

    def project(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values of ``tokens (B, T, C)``: ``(B, 3, heads, T, C / heads)``."""
        return self.qkv(self.norm_attention(tokens)).unflatten(2, (3, self.heads, -1)).permute(0, 2, 3, 1, 4)

    def likeness(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attention weights of ``queries (..., T, d)`` on ``keys (..., N, d)``, without dropout."""
        return F.softmax(queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5, dim=-1)

    def drop(self, likeness: Tensor) -> Tensor:
        """Attention weights after dropout."""
        return F.dropout(likeness, self.dropout, self.training)

    def update(self, tokens: Tensor, mixed: Tensor) -> Tensor:
        """New ``tokens (B, T, C)`` from what they attended to, ``mixed (B, heads, T, C / heads)``."""
        twice = 1 - (1 - self.dropout) ** 2  # after the projection and around the branch
        found = self.projection(mixed.transpose(1, 2).flatten(2))
        tokens = tokens + F.dropout(found, twice, self.training)
        return tokens + self.mlp(self.norm_mlp(tokens))


class FusionTransformer(nn.Module):
    """Tokens of the coarsest level for every sequence, and fusion tokens for every subset.

    Args:
        channels: width C of the tokens.
        grid: token grid that the fusion tokens are learned for; they are resampled for another.
        depth: layers.
        heads: attention heads.
        hidden: hidden width of the feed-forward parts.
        dropout: of the layers.
        legacy_attention_weights: give out the attention sums as they are, attention dropout included.
    """

    def __init__(
        self,
        channels: int,
        grid: Sequence[int],
        depth: int,
        heads: int,
        hidden: int,
        dropout: float,
        legacy_attention_weights: bool,
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.legacy_attention_weights = legacy_attention_weights
        self.fusion = nn.Parameter(torch.randn(1, math.prod(grid), channels))
        self.position = nn.Parameter(torch.zeros(1, math.prod(grid), channels))
        self.layers: Modules[TwoStreamLayer] = Modules(
            TwoStreamLayer(channels, heads, hidden, dropout) for _ in range(depth)
        )

    def sequence(self, x: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of one sequence from its coarsest features.

        Args:
            x: ``(B, C, *S)``.
            position: codes of its tokens on the configured grid, ``(1, cells, C)``.

        Returns:
            The tokens as a map ``(B, C, *S)``, and the keys and values of each layer
            ``(B, depth, 2, heads, T, C / heads)``.
        """
        size = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2) + position_codes(position, self.grid, size)
        offered = []
        for layer in self.layers:
            queries, keys, values = layer.project(tokens).unbind(1)
            offered.append(torch.stack((keys, values), dim=1))
            tokens = layer.update(tokens, layer.drop(layer.likeness(queries, keys)) @ values)
        return tokens.transpose(1, 2).unflatten(2, size), torch.stack(offered, dim=1)

    def fuse(self, offered: Sequence[Tensor], size: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Fusion tokens of each row, from the sequences that it has.

        Args:
            offered: per row, keys and values ``(n, depth, 2, heads, T, C / heads)`` of its n sequences.
            size: token grid of the features, with T cells.

        Returns:
            The fusion tokens as maps ``(R, C, *size)``, and per row the weight ``(n, *size)`` of each
            cell of its sequences, see :meth:`weights`.
        """
        tokens = position_codes(self.fusion + self.position, self.grid, size).expand(len(offered), -1, -1)
        weights: list[Tensor] = []
        for depth, layer in enumerate(self.layers):
            mixed = []
            for row, (queries, *own) in zip(offered, (x.unbind(0) for x in layer.project(tokens)), strict=True):
                pairs = zip(row[:, depth].transpose(0, 1), own, strict=True)
                keys, values = (torch.cat((*given, mine), dim=1) for given, mine in pairs)
                likeness = layer.likeness(queries, keys)
                dropped = layer.drop(likeness)
                mixed.append(dropped @ values)
                if depth == 0:
                    weights.append(self.weights(likeness, dropped, len(row), size))
            tokens = layer.update(tokens, torch.stack(mixed))
        return tokens.transpose(1, 2).unflatten(2, tuple(size)), weights

    def weights(self, likeness: Tensor, dropped: Tensor, count: int, size: Sequence[int]) -> Tensor:
        """How much the fusion tokens look at each cell of the sequences, without gradient.

        Attention summed over heads and fusion tokens; divided by its mean, so that the scale of the
        features does not depend on how many sequences there are, and taken before dropout. The
        published sums are neither: under even attention they are heads / (count + 1).

        Args:
            likeness: attention ``(heads, T, (count + 1) T)`` on the sequences, then the fusion tokens.
            dropped: the same after dropout.
            count: number of sequences.
            size: token grid.

        Returns:
            ``(count, *size)``.
        """
        attention = dropped if self.legacy_attention_weights else likeness
        cells = count * math.prod(size)
        sums = attention.detach()[..., :cells].sum(dim=(0, 1)).unflatten(0, (count, *size))
        return sums if self.legacy_attention_weights else sums / sums.mean().clamp(min=torch.finfo(sums.dtype).tiny)
