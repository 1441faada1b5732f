"""mmFormer at PASSION's size: a transformer per sequence, one over all, and convolutional fusion.

Source: mmFormer (Zhang et al., MICCAI 2022) as PASSION (arXiv:2407.14796) trains it: width 8, tokens
of 512 channels. One deviation: the fused tokens go back to the grid they came from. The published
code lays them out in another order than it reads them, so that most cells of its bottleneck see one
sequence only, at wrong places; ``legacy_token_layout`` brings that back for published weights. Which
cell sees which sequence then depends on their order, so it names the published one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from DMAFTraining.networks.base import Features, NetworkConfig
from DMAFTraining.networks.blocks import NormActConv, by_rows, check_input, convolution, subset_rows
from DMAFTraining.networks.decoders import RowMaps
from DMAFTraining.networks.encoder import Encoder, encode_present
from DMAFTraining.networks.level_fusion import LevelFusionNetwork
from DMAFTraining.networks.module_lists import Modules
from DMAFTraining.networks.normactconv import norm_act_conv
from DMAFTraining.networks.transformers import TOKEN_FACTOR, IntraFormer, former_layer, position_codes

LEVELS = 5


@dataclass(frozen=True)
class MMFormerConfig(NetworkConfig):
    """Shape of the network; the defaults are PASSION's.

    Attributes:
        window: tokens per axis for which positions are learned: the window's sides over 16. Other
            sizes resample them.
        dropout: of the transformers.
        legacy_token_layout: the sequences in the order of published weights, to lay the fused tokens
            out as the published code does; empty for the layout that keeps each token in its place.
    """

    window: tuple[int, ...] = (5, 5, 5)
    dropout: float = 0.1
    legacy_token_layout: tuple[int, ...] = ()


class SequenceEncoder(Encoder):
    """Convolutions and transformer of one sequence: five levels of features, then its tokens."""

    def __init__(self, dims: int, width: int, dropout: float) -> None:
        super().__init__(dims, width, LEVELS)
        self.transformer = IntraFormer(dims, width * 2 ** (LEVELS - 1), dropout)

    def forward(self, x: Tensor, position: Tensor) -> list[Tensor]:  # type: ignore[override]
        levels = super().forward(x)
        return [*levels, self.transformer(levels[-1], position)]


class RegionFusion(nn.Module):
    """Three pre-norm convolutions (1, 3 with zero border, 1) that merge maps of the same level.

    The first is point-wise, so on concatenated maps it is a sum of one product per map; what a
    sequence adds is computed once for all subsets, and a missing one adds nothing: zeros stay zero
    through normalization and activation.

    Args:
        dims: 2 or 3.
        parts: maps to merge.
        channels: of each map and of the result.
    """

    def __init__(self, dims: int, parts: int, channels: int) -> None:
        super().__init__()
        self.parts = parts
        self.gather = NormActConv(dims, parts * channels, channels, kernel=1)
        self.blocks = nn.Sequential(
            NormActConv(dims, channels, channels, border="zeros"), NormActConv(dims, channels, channels, kernel=1)
        )

    def product(self, x: Tensor, part: int) -> Tensor:
        """What map ``x (B, C, *S)`` in place ``part`` of the concatenation adds to the first convolution."""
        conv = self.gather.conv
        # Each product carries the bias: however often a sum has it, the norm behind takes constants away.
        return norm_act_conv([x], conv.weight.chunk(self.parts, dim=1)[part], conv.bias)

    def merge(self, products: Tensor) -> Tensor:
        """The result ``(R, C, *S)`` from the sum of the products of each row."""
        return self.blocks(products)

    def forward(self, x: Tensor) -> Tensor:
        """The result from maps ``(R, parts * C, *S)`` that are already concatenated."""
        return self.blocks(self.gather(x))


class MMFormer(LevelFusionNetwork):
    """The network. Features are five levels, the tokens ``(B, M, T, D)`` of each sequence, and per
    level but the coarsest what each sequence adds to the fusion.

    Raises:
        ValueError: ``window`` does not fit ``dims``, or ``legacy_token_layout`` is no order of the sequences.
    """

    config: MMFormerConfig
    config_class = MMFormerConfig

    def __init__(self, config: MMFormerConfig, training_heads: bool = True) -> None:
        super().__init__(config, LEVELS, training_heads)
        if len(config.window) != config.dims:
            raise ValueError(
                f"A network of {config.dims} dimensions needs {config.dims} window sizes, not {config.window}."
            )
        order = config.legacy_token_layout
        if order and sorted(order) != list(range(config.modalities)):
            raise ValueError(f"The legacy layout should name each of {config.modalities} sequences once, not {order}.")
        dims, width, sequences = config.dims, config.width, config.modalities
        wide = TOKEN_FACTOR * self.bottleneck_channels
        self.encoders = nn.ModuleList(SequenceEncoder(dims, width, config.dropout) for _ in range(sequences))
        # not inside the encoders: the common transformer reads the positions of absent sequences, too
        self.positions = nn.Parameter(torch.zeros(sequences, math.prod(config.window), wide))
        self.transformer = former_layer(wide, config.dropout)
        self.restore = convolution(dims, sequences * wide, sequences * self.bottleneck_channels, 1)
        self.fusions: Modules[RegionFusion] = Modules(RegionFusion(dims, sequences, c) for c in self.channels)

    def encode(self, images: Tensor, present: Tensor) -> Features:
        check_input(images, present, self.config.modalities, self.config.dims, 2 ** (LEVELS - 1))
        positions = self._positions([side // 2 ** (LEVELS - 1) for side in images.shape[2:]])
        encoders = [partial(self._encode_one, m, positions[m : m + 1]) for m in range(len(self.encoders))]
        return encode_present(encoders, images, present)

    def _encode_one(self, m: int, position: Tensor, images: Tensor) -> list[Tensor]:
        features = self.encoders[m](images, position)
        levels = zip(self.fusions, features[: LEVELS - 1], strict=False)
        return [*features, *(fusion.product(level, m) for fusion, level in levels)]

    def _positions(self, size: Sequence[int]) -> Tensor:
        return position_codes(self.positions, self.config.window, size)

    def fuse(self, features: Features, present: Tensor, rows: Sequence[int]) -> list[RowMaps]:
        fused: list[RowMaps] = []
        for fusion, products in zip(self.fusions, features[LEVELS + 1 :], strict=False):
            sums = [sum(row[1:], row[0]) for row in subset_rows(products, present, rows)]
            fused.append(by_rows(fusion.merge, sums))
        bottleneck = self._bottleneck(features[LEVELS], present, rows, features[LEVELS - 1].shape[3:])
        return [*fused, bottleneck.split(1)]

    def _bottleneck(self, tokens: Tensor, present: Tensor, rows: Sequence[int], size: Sequence[int]) -> Tensor:
        """Coarsest fused features: all tokens see each other, absent ones (zeros) included."""
        cases = tokens.unbind(0)
        there = present.to(tokens.device, non_blocking=True)[:, :, None, None]
        # never multiplied: absent tokens may be anything
        seen = torch.stack([cases[case] for case in rows]).masked_fill(~there, 0)  # (R, M, T, D)
        mixed = self.transformer((seen + self._positions(size)).flatten(1, 2))
        return self.fusions[-1](self.restore(self.layout(mixed, present.shape[1], size)))

    def layout(self, tokens: Tensor, sequences: int, size: Sequence[int]) -> Tensor:
        """Tokens ``(R, M * T, D)`` of M sequences as a grid ``(R, M * D, *size)``, each at the place it came from."""
        each = tokens.unflatten(1, (sequences, -1))
        if order := self.config.legacy_token_layout:
            published = torch.stack([each[:, m] for m in order], dim=1)
            return published.reshape(len(tokens), *size, -1).movedim(-1, 1)
        return each.transpose(2, 3).reshape(len(tokens), -1, *size)
