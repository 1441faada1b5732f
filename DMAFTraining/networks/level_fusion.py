"""What DMAF-Net and mmFormer share: features fused level by level, then one convolutional decoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from DMAFTraining.networks.base import Decoded, Features, NetworkConfig, SegmentationNetwork
from DMAFTraining.networks.blocks import case_rows, convolution, pair_rows, pointwise, select_pairs
from DMAFTraining.networks.decoders import Decoder, RowMaps


class LevelFusionNetwork(SegmentationNetwork):
    """A network that says how it fuses each level; decoding is the same for all.

    Args:
        config: shape of the network.
        levels: number of resolutions.
        training_heads: build the uni-modal decoder and the heads for deep supervision.

    Attributes:
        channels: of each level.
    """

    def __init__(self, config: NetworkConfig, levels: int, training_heads: bool) -> None:
        super().__init__(config, training_heads)
        self.channels = [config.width * 2**level for level in range(levels)]
        self.bottleneck_channels = self.channels[-1]
        self.decoder = Decoder(config.dims, config.width, levels, config.classes)
        if training_heads:
            self.unimodal_decoder = Decoder(config.dims, config.width, levels, config.classes)
            self.deep_heads = nn.ModuleList(convolution(config.dims, c, config.classes, 1) for c in self.channels[1:])

    @abstractmethod
    def fuse(self, features: Features, present: Tensor, rows: Sequence[int]) -> list[RowMaps]:
        """Fused features ``(1, C_l, *S_l)`` per level and row: case ``rows[r]`` seen through ``present[r]``."""

    def decode(self, features: Features, present: Tensor) -> Tensor:
        decoded = self.decoder(self.fuse(features, present, case_rows(features, present)))
        return pointwise(self.decoder.head, decoded[0])

    def decode_training(self, features: Features, present: Tensor, rows: Sequence[int]) -> Decoded:
        self.require_training_heads()
        finest, *coarser = (torch.cat(list(rows)) for rows in self.decoder(self.fuse(features, present, rows)))
        deep = tuple(head(level) for head, level in zip(self.deep_heads, coarser, strict=True))
        return Decoded(self.decoder.head(finest), deep, finest, coarser[-1])

    def decode_unimodal(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        self.require_training_heads()
        alone = [pair_rows(level, pairs) for level in features[: len(self.channels)]]
        return pointwise(self.unimodal_decoder.head, self.unimodal_decoder(alone)[0])

    def bottleneck(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        return select_pairs(features[len(self.channels) - 1], pairs)
