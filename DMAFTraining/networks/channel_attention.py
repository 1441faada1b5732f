"""Cross-attention between channels, as M2FTrans uses it on its two coarsest levels.

A map of the decoder asks, channel by channel, which channels of the sequences look alike over the
whole grid, and takes their mixture. Sequences that are absent have no channels to offer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.blocks import convolution

NORM_EPSILON = 1e-6
EXPANSION = 4

Entries = list[tuple[int, int]]
"""(sequence, row) of each map in a stack, ascending."""


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of ``(B, C, *S)``, at each place."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1).contiguous()


class DepthwiseBlock(nn.Sequential):
    """Point-wise, depth-wise (3) and point-wise convolution, each followed by a norm: ``(B, C, *S)`` to the same."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__(
            convolution(dims, channels, channels, 1),
            ChannelNorm(channels),
            nn.GELU(),
            convolution(dims, channels, channels, 3, border="zeros", groups=channels),
            ChannelNorm(channels),
            nn.GELU(),
            convolution(dims, channels, channels, 1),
            ChannelNorm(channels),
        )


class GroupBlock(nn.Module):
    """The feed-forward part: every channel becomes four, which see their neighborhood and shrink to one again."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.blocks = nn.Sequential(
            convolution(dims, channels, wide, 1),
            ChannelNorm(wide),
            nn.GELU(),
            convolution(dims, wide, wide, 3, border="zeros", groups=channels),
            ChannelNorm(wide),
            nn.GELU(),
            convolution(dims, wide, channels, 1),
            ChannelNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x + self.blocks(x))


class ChannelAttentionLayer(nn.Module):
    """One layer.

    Args:
        dims: 2 or 3.
        modalities: number of sequences M; each has its own keys and values.
        channels: of the query and of every map, C.
        dropout: on the attended map.
        last: do not update the maps, for nobody reads them.
    """

    def __init__(self, dims: int, modalities: int, channels: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.dropout = dropout
        self.query = DepthwiseBlock(dims, channels)
        self.keys = nn.ModuleList(DepthwiseBlock(dims, channels) for _ in range(modalities))
        self.values = nn.ModuleList(DepthwiseBlock(dims, channels) for _ in range(modalities))
        self.restore = DepthwiseBlock(dims, channels)
        self.feed_query = GroupBlock(dims, channels)
        self.feed_maps = None if last else GroupBlock(dims, channels)

    def forward(self, query: Tensor, maps: Tensor, entries: Entries) -> tuple[Tensor, Tensor]:
        """Update ``query (R, C, *S)`` and ``maps (E, C, *S)``; a row asks the maps that ``entries`` give it."""
        keys, values = (self._each(blocks, maps, entries) for blocks in (self.keys, self.values))
        asked = self.query(query).flatten(2)
        attended = torch.stack([self._attend(row, r, keys, values, entries) for r, row in enumerate(asked)])
        found = self.restore(attended.view_as(query))
        query = self.feed_query(query + F.dropout(found, self.dropout, self.training))
        return query, maps if self.feed_maps is None else self.feed_maps(maps)

    @staticmethod
    def _each(blocks: nn.ModuleList, maps: Tensor, entries: Entries) -> tuple[Tensor, ...]:
        """Each map through the block of its sequence, ``(C, places)``."""
        sequences = [m for m, _ in entries]
        present = sorted(set(sequences))
        stacks = maps.split([sequences.count(m) for m in present])
        done = [blocks[m](stack).flatten(2) for m, stack in zip(present, stacks, strict=True)]
        return torch.cat(done).unbind(0)

    @staticmethod
    def _attend(query: Tensor, row: int, keys: Sequence[Tensor], values: Sequence[Tensor], entries: Entries) -> Tensor:
        """Mixture ``(C, places)`` of the channels of the row's own maps, by their likeness with ``query``."""
        own = [place for place, (_, r) in enumerate(entries) if r == row]
        likeness = query @ torch.cat([keys[place] for place in own]).T * query.shape[-1] ** -0.5
        return F.softmax(likeness, dim=-1) @ torch.cat([values[place] for place in own])


class ChannelAttention(nn.Module):
    """Layers of cross-attention between the channels of a query map and those of the sequences.

    Args:
        dims: 2 or 3.
        modalities: number of sequences M.
        channels: C.
        layers: number of layers.
        dropout: on attended maps.
    """

    def __init__(self, dims: int, modalities: int, channels: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ChannelAttentionLayer(dims, modalities, channels, dropout, last=index == layers - 1)
            for index in range(layers)
        )

    def forward(self, query: Tensor, maps: Sequence[Sequence[Tensor]], sequences: Sequence[Sequence[int]]) -> Tensor:
        """Enrich ``query (R, C, *S)``.

        Args:
            query: one map per row.
            maps: per row, the maps ``(C, *S)`` of its sequences.
            sequences: per row, which sequences these are.
        """
        found = {(m, r): x for r, row in enumerate(maps) for m, x in zip(sequences[r], row, strict=True)}
        entries = sorted(found)
        stack = torch.stack([found[entry] for entry in entries])
        for layer in self.layers:
            query, stack = layer(query, stack, entries)
        return query
