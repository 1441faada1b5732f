"""M2FTrans (Shi et al., IEEE JBHI 2024) at PASSION's size: fusion tokens and cross-attention between channels.

Each sequence has its own convolutional encoder. On the coarsest level a masked transformer gathers
what is present in learned fusion tokens; where these look also weighs the features of every level.
The decoder fuses the two coarsest levels by attention between channels, the others by convolution.

One deviation: the weights from attention are scaled to a mean of 1 over what is present. In the
published code their mean is about heads / (present + 1), so the scale of all features tells how many
sequences there are, and attention dropout leaks into them; ``legacy_attention_weights`` brings that
back for published weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.base import Decoded, Features, NetworkConfig, SegmentationNetwork
from DMAFTraining.networks.blocks import ConvNormAct, case_rows, check_input, convolution, select_pairs
from DMAFTraining.networks.channel_attention import ChannelAttention
from DMAFTraining.networks.encoder import encode_present
from DMAFTraining.networks.fusion_transformer import FusionTransformer
from DMAFTraining.networks.module_lists import Modules
from DMAFTraining.networks.postnorm import CoarseHead, ConcatFusion, DecoderStage, PostNormEncoder, UnimodalDecoder
from DMAFTraining.networks.subsets import Rows

ATTENTION_LEVELS = 2
"""The coarsest levels, which are fused by attention between channels."""
ATTENTION_LAYERS = 2


@dataclass(frozen=True)
class M2FTransConfig(NetworkConfig):
    """Shape of the network; the defaults are PASSION's, the paper's own width is 16.

    Attributes:
        levels: number of resolutions.
        window: tokens per axis for which positions and fusion tokens are learned: the window's sides
            over 2^(levels - 1). Other sizes resample them.
        depth: layers of the transformer.
        heads: attention heads of the transformer.
        hidden: hidden width of its feed-forward parts.
        dropout: of the transformer and of the attention between channels.
        legacy_attention_weights: weigh features by the published code's unscaled attention sums.
    """

    levels: int = 5
    window: tuple[int, ...] = (5, 5, 5)
    depth: int = 3
    heads: int = 8
    hidden: int = 4096
    dropout: float = 0.1
    legacy_attention_weights: bool = False


class SequenceEncoder(PostNormEncoder):
    """Convolutional levels of one sequence, and the position codes ``(1, tokens, C)`` of its tokens."""

    def __init__(self, dims: int, width: int, levels: int, tokens: int) -> None:
        super().__init__(dims, width, levels)
        self.position = nn.Parameter(torch.zeros(1, tokens, width * 2 ** (levels - 1)))


class M2FDecoder(nn.Module):
    """The fused decoder.

    Args:
        config: shape of the network.
        training_heads: build the heads of deep supervision.
    """

    def __init__(self, config: M2FTransConfig, training_heads: bool) -> None:
        super().__init__()
        dims, modalities, classes = config.dims, config.modalities, config.classes
        channels = [config.width * 2**level for level in reversed(range(config.levels))]  # coarse to fine
        coarsest = channels[0]
        self.merge = ConvNormAct(dims, 2 * coarsest, coarsest)
        self.mix = ConvNormAct(dims, coarsest, coarsest, kernel=1)
        self.attentions = nn.ModuleList(
            ChannelAttention(dims, modalities, c, ATTENTION_LAYERS, config.dropout) for c in channels[:ATTENTION_LEVELS]
        )
        self.fusions: Modules[ConcatFusion] = Modules(
            ConcatFusion(dims, modalities, c, c, c) for c in channels[ATTENTION_LEVELS:]
        )
        self.stages: Modules[DecoderStage] = Modules(DecoderStage(dims, c) for c in channels[1:])
        self.head = convolution(dims, config.width, classes, 1)
        self.deep_heads = nn.ModuleList(CoarseHead(dims, c, classes) for c in channels if training_heads)

    def products(self, levels: Sequence[Tensor], m: int) -> list[Tensor]:
        """What sequence m adds to the first convolution of each level (finest first) fused by convolution."""
        return [fuse.product(x, m) for fuse, x in zip(reversed(self.fusions), levels, strict=True)]

    def forward(self, fusion: Tensor, maps: Sequence[Tensor], weights: Sequence[Tensor], rows: Rows) -> Decoded:
        """Predict each row; ``deep`` starts at full resolution and is empty without training heads.

        Args:
            fusion: fusion tokens as maps ``(R, C_L, *S_L)``.
            maps: ``(P, C_l, *S_l)`` of ``rows.pairs``, finest first: what sequences add to the
                fusion by convolution, or features where attention fuses.
            weights: per row, the weight of each of its sequences, ``(n, *S_L)``.
            rows: the sequences of each row.
        """
        attended = self.attentions[0](fusion, _weighted(maps[-1], weights, rows), rows.sequences)
        x = bottleneck = self.mix(self.merge(torch.cat((attended, fusion), dim=1)))
        seen = [fusion]
        for index, stage in enumerate(self.stages, start=1):
            x = stage.up(x)
            seen.append(x)
            parts = _weighted(maps[-1 - index], weights, rows)
            if index < ATTENTION_LEVELS:
                fused = self.attentions[index](x, parts, rows.sequences)
            else:
                summed = torch.stack([sum(row[1:], row[0]) for row in parts])
                fused = self.fusions[index - ATTENTION_LEVELS].finish(summed)
            x = stage.join(fused, x)
        deep = [head(level) for head, level in zip(self.deep_heads, seen, strict=False)]
        return Decoded(self.head(x), tuple(reversed(deep)), x, bottleneck)


def _weighted(maps: Tensor, weights: Sequence[Tensor], rows: Rows) -> list[list[Tensor]]:
    """Per row, the maps ``(C, *S)`` of its sequences times their weights, each cell's weight on all its voxels."""
    size = maps.shape[2:]
    spread = [F.interpolate(weight[:, None], size=size, mode="nearest") for weight in weights]
    return [
        [x * w for x, w in zip(row, row_weights, strict=True)]
        for row, row_weights in zip(rows.parts(maps), spread, strict=True)
    ]


class M2FTrans(SegmentationNetwork):
    """The network. Features are the levels; then, for each sequence, its tokens as a map, their keys and
    values for the fusion tokens, and what it adds to the fusion of each level fused by convolution.

    Raises:
        ValueError: ``window`` does not fit ``dims``, or ``heads`` does not divide the coarsest channels.
    """

    config: M2FTransConfig
    config_class = M2FTransConfig
    training_only = ("unimodal_decoder.", "decoder.deep_heads.")

    def __init__(self, config: M2FTransConfig, training_heads: bool = True) -> None:
        super().__init__(config, training_heads)
        dims, shape, coarsest = config.dims, (config.width, config.levels), config.width * 2 ** (config.levels - 1)
        if len(config.window) != dims:
            raise ValueError(f"A network of {dims} dimensions needs {dims} window sizes, not {config.window}.")
        if coarsest % config.heads:
            raise ValueError(f"{config.heads} heads cannot share the {coarsest} channels of the coarsest level.")
        self.bottleneck_channels = coarsest
        tokens = math.prod(config.window)
        self.encoders = nn.ModuleList(SequenceEncoder(dims, *shape, tokens) for _ in range(config.modalities))
        self.transformer = FusionTransformer(
            coarsest,
            config.window,
            config.depth,
            config.heads,
            config.hidden,
            config.dropout,
            config.legacy_attention_weights,
        )
        self.decoder = M2FDecoder(config, training_heads)
        if training_heads:
            self.unimodal_decoder = UnimodalDecoder(dims, *shape, config.classes)

    def encode(self, images: Tensor, present: Tensor) -> Features:
        check_input(images, present, self.config.modalities, self.config.dims, 2 ** (self.config.levels - 1))
        return encode_present([partial(self._encode_one, m) for m in range(len(self.encoders))], images, present)

    def _encode_one(self, m: int, images: Tensor) -> list[Tensor]:
        levels = self.encoders[m](images)
        tokens = self.transformer.sequence(levels[-1], self.encoders[m].get_parameter("position"))
        return [*levels, *tokens, *self.decoder.products(levels[:-ATTENTION_LEVELS], m)]

    def _decode(self, features: Features, rows: Rows) -> Decoded:
        levels, (tokens, offered), products = _split(features, self.config.levels)
        fusion, weights = self.transformer.fuse(rows.stacks(rows.gather(offered)), tokens.shape[3:])
        maps = [rows.gather(x) for x in (*products, *levels[-ATTENTION_LEVELS:-1], tokens)]
        return self.decoder(fusion, maps, weights, rows)

    def decode(self, features: Features, present: Tensor) -> Tensor:
        return self._decode(features, Rows(present, case_rows(features, present))).logits

    def decode_training(self, features: Features, present: Tensor, rows: Sequence[int]) -> Decoded:
        self.require_training_heads()
        return self._decode(features, Rows(present, rows))

    def decode_unimodal(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        self.require_training_heads()
        return self.unimodal_decoder([select_pairs(level, pairs) for level in features[: self.config.levels]])

    def bottleneck(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        return select_pairs(features[self.config.levels - 1], pairs)


def _split(features: Features, levels: int) -> tuple[Features, Features, Features]:
    """Levels, what the transformer made of the sequences, and products, see :class:`M2FTrans`."""
    return features[:levels], features[levels : levels + 2], features[levels + 2 :]
