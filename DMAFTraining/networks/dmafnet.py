"""DMAF-Net (arXiv:2506.11691): one encoder per sequence, DMAF at every level, one fused decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from DMAFTraining.networks.base import Features, NetworkConfig
from DMAFTraining.networks.blocks import case_rows, check_input, subset_rows
from DMAFTraining.networks.decoders import RowMaps
from DMAFTraining.networks.encoder import Encoder, encode_present
from DMAFTraining.networks.fusion import DMAF
from DMAFTraining.networks.lean import is_lean
from DMAFTraining.networks.level_fusion import LevelFusionNetwork
from DMAFTraining.networks.module_lists import Modules
from DMAFTraining.networks.transformers import TokenBottleneck


@dataclass(frozen=True)
class DMAFNetConfig(NetworkConfig):
    """Shape of the network; the defaults are the published setting at PASSION's width.

    Attributes:
        levels: number of resolutions.
        grid: tokens per sequence and level, one size per axis.
        layers: transformer layers of each DMAF block.
        channels_per_head: of the attention.
        mlp_ratio: hidden width of the feed-forward parts over the channels.
        dropout: of the transformers.
        bottleneck_transformer: "none" as drawn in the paper, or "intra": mmFormer's transformer per
            sequence at the coarsest level.
    """

    levels: int = 5
    grid: tuple[int, ...] = (5, 5, 5)
    layers: int = 4
    channels_per_head: int = 16
    mlp_ratio: int = 4
    dropout: float = 0.1
    bottleneck_transformer: Literal["none", "intra"] = "none"


class DMAFNet(LevelFusionNetwork):
    """The network. In inference on a CPU the tokens ``(B, M, cells, C)`` of each level follow the features.

    Raises:
        ValueError: the token grid does not fit ``dims``, or an unknown ``bottleneck_transformer``.
    """

    config: DMAFNetConfig
    config_class = DMAFNetConfig

    def __init__(self, config: DMAFNetConfig, training_heads: bool = True) -> None:
        super().__init__(config, config.levels, training_heads)
        if len(config.grid) != config.dims:
            raise ValueError(
                f"A network of {config.dims} dimensions needs {config.dims} grid sizes, not {config.grid}."
            )
        if config.bottleneck_transformer not in ("none", "intra"):
            raise ValueError(f"bottleneck_transformer is 'none' or 'intra', not {config.bottleneck_transformer!r}.")
        shape = (config.dims, config.width, config.levels)
        self.encoders = nn.ModuleList(Encoder(*shape, self._bottleneck()) for _ in range(config.modalities))
        self.fusions: Modules[DMAF] = Modules(self._fusion(level, c) for level, c in enumerate(self.channels))

    def _bottleneck(self) -> TokenBottleneck | None:
        config = self.config
        if config.bottleneck_transformer == "none":
            return None
        return TokenBottleneck(config.dims, self.bottleneck_channels, config.grid, config.dropout)

    def _fusion(self, level: int, channels: int) -> DMAF:
        config = self.config
        heads = max(1, channels // config.channels_per_head)
        stride = 2 ** (config.levels - 1 - level)
        shape = (config.dims, channels, config.modalities, config.grid, stride)
        return DMAF(*shape, config.layers, heads, config.mlp_ratio, config.dropout)

    def encode(self, images: Tensor, present: Tensor) -> Features:
        check_input(images, present, self.config.modalities, self.config.dims, 2 ** (self.config.levels - 1))
        features = encode_present(list(self.encoders), images, present)
        if is_lean(images):  # of use to every subset that is decoded
            features += [fusion.tokens(level, present) for fusion, level in zip(self.fusions, features, strict=True)]
        return features

    def fuse(self, features: Features, present: Tensor, rows: Sequence[int]) -> list[RowMaps]:
        levels = len(self.channels)
        tokens: Sequence[Tensor | None] = features[levels:] or [None] * levels
        return [
            fusion(level, present, rows, made)
            for fusion, level, made in zip(self.fusions, features[:levels], tokens, strict=True)
        ]

    def fusion_weights(self, features: Features, present: Tensor) -> Tensor:
        """Weight of each sequence at every voxel of the finest level ``(R, M, *S)``: a^m of Eq. (3).

        Args:
            features: from :meth:`encode`.
            present: ``(R, M)`` bool on the CPU.

        Returns:
            0 where a sequence is absent, 1 in sum.
        """
        rows = case_rows(features, present)
        return self.fusions[0].weights(subset_rows(features[0], present, rows), present, rows)
