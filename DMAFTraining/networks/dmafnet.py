"""DMAF-Net (arXiv:2506.11691): one encoder per sequence, DMAF at every level, one fused decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from DMAFTraining.networks.base import Features, NetworkOutput, SegmentationNetwork
from DMAFTraining.networks.blocks import check_input, convolution
from DMAFTraining.networks.decoders import Decoder
from DMAFTraining.networks.encoder import Encoder
from DMAFTraining.networks.fusion import DMAF


@dataclass(frozen=True)
class DMAFNetConfig:
    """Shape of the network; the defaults are the published setting at PASSION's width."""

    modalities: int = 4
    classes: int = 4  # with background
    dims: int = 3
    width: int = 8  # channels at full resolution
    levels: int = 5
    grid: tuple[int, ...] = (5, 5, 5)  # tokens per sequence and level
    layers: int = 4  # transformer layers of each DMAF block
    channels_per_head: int = 16
    mlp_ratio: int = 4
    dropout: float = 0.1


class DMAFNet(SegmentationNetwork):
    """The network. ``encode`` and ``decode`` are apart so that many subsets share one encoding.

    Args:
        config: shape of the network.
        training_heads: build the uni-modal decoder and the deep-supervision heads, which only
            training uses; a bundle does not carry them.

    Raises:
        ValueError: the token grid does not fit ``dims``.
    """

    config_class = DMAFNetConfig

    def __init__(self, config: DMAFNetConfig, training_heads: bool = True) -> None:
        super().__init__()
        if len(config.grid) != config.dims:
            raise ValueError(
                f"A network of {config.dims} dimensions needs {config.dims} grid sizes, not {config.grid}."
            )
        self.config = config
        channels = [config.width * 2**level for level in range(config.levels)]
        shape = (config.dims, config.width, config.levels)
        self.encoders = nn.ModuleList(Encoder(*shape) for _ in range(config.modalities))
        self.fusions = nn.ModuleList(self._fusion(level, c) for level, c in enumerate(channels))
        self.decoder = Decoder(*shape, config.classes)
        self.unimodal_decoder = Decoder(*shape, config.classes) if training_heads else None
        self.deep_heads = (
            nn.ModuleList(convolution(config.dims, c, config.classes, 1) for c in channels[1:])
            if training_heads
            else None
        )

    def _fusion(self, level: int, channels: int) -> DMAF:
        config = self.config
        heads = max(1, channels // config.channels_per_head)
        stride = 2 ** (config.levels - 1 - level)
        shape = (config.dims, channels, config.modalities, config.grid, stride)
        return DMAF(*shape, config.layers, heads, config.mlp_ratio, config.dropout)

    def encode(self, images: Tensor, present: Tensor) -> Features:
        check_input(images, present, self.config.modalities, self.config.dims, 2 ** (self.config.levels - 1))
        flags = present.cpu()
        encoded = [self._encode_one(m, images[:, m : m + 1], flags[:, m]) for m in range(images.shape[1])]
        shapes = next(levels for levels in encoded if levels is not None)
        zeros = [torch.zeros_like(level) for level in shapes]
        return [
            torch.stack([zeros[i] if levels is None else levels[i] for levels in encoded], dim=1)
            for i in range(len(shapes))
        ]

    def _encode_one(self, m: int, images: Tensor, flags: Tensor) -> list[Tensor] | None:
        """Features of one sequence for all rows, zero where absent; None if absent in every row."""
        if not flags.any():
            return None
        if flags.all():
            return self.encoders[m](images)
        rows = flags.nonzero().flatten().to(images.device)
        batch = len(flags)
        return [
            level.new_zeros(batch, *level.shape[1:]).index_copy(0, rows, level)
            for level in self.encoders[m](images.index_select(0, rows))
        ]

    def fuse(self, features: Features, present: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Fused features ``(B, C_l, *S_l)`` and weights ``(B, M, *S_l)`` per level."""
        pairs = [fusion(level, present) for fusion, level in zip(self.fusions, features, strict=True)]
        return [fused for fused, _ in pairs], [weights for _, weights in pairs]

    def decode(self, features: Features, present: Tensor) -> Tensor:
        return self.decoder(self.fuse(features, present)[0])[0]

    def forward(self, images: Tensor, present: Tensor, unimodal: bool = True) -> NetworkOutput:
        """Segment ``images (B, M, *S)`` of which ``present (B, M)`` exist.

        In training mode the uni-modal decoder runs too, unless ``unimodal`` is False.
        """
        features = self.encode(images, present)
        fused, _ = self.fuse(features, present)
        logits, decoded = self.decoder(fused)
        if not self.training or self.deep_heads is None or self.unimodal_decoder is None:
            return NetworkOutput(logits)
        deep = tuple(head(level) for head, level in zip(self.deep_heads, decoded[1:], strict=True))
        if not unimodal:
            return NetworkOutput(logits, deep, features=features, fused=fused)
        pairs = present.nonzero()
        alone = [level[pairs[:, 0], pairs[:, 1]] for level in features]
        return NetworkOutput(logits, deep, self.unimodal_decoder(alone)[0], pairs, features, fused)
