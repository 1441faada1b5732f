"""RFNet (Ding et al., ICCV 2021): region-aware fusion, guided by probability maps on every level.

Each level predicts where the regions (classes) are, weighs the sequences separately in every region,
and hands the result to a decoder. The widths and levels are the published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.base import Decoded, Features, NetworkConfig, SegmentationNetwork
from DMAFTraining.networks.blocks import NEGATIVE_SLOPE, case_rows, check_input, convolution, select_pairs
from DMAFTraining.networks.encoder import encode_present
from DMAFTraining.networks.module_lists import Modules
from DMAFTraining.networks.postnorm import CoarseHead, ConcatFusion, DecoderStage, PostNormEncoder, UnimodalDecoder
from DMAFTraining.networks.subsets import Rows

HIDDEN = 128
"""Hidden width of the network that weighs the sequences in a region, as published."""
_EPSILON = 1e-7


@dataclass(frozen=True)
class RFNetConfig(NetworkConfig):
    """Shape of the network; the paper's own width is 16, PASSION's 8.

    Attributes:
        levels: number of resolutions.
    """

    levels: int = 4


class RegionFusion(nn.Module):
    """Fuse the sequences of one level, weighing them apart in every region.

    Half of the output comes from the regions, half from a shortcut that sees the features as they are.

    Args:
        dims: 2 or 3.
        modalities: number of sequences M.
        channels: of the features, C.
        classes: regions K.
    """

    def __init__(self, dims: int, modalities: int, channels: int, classes: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.weighing = nn.ModuleList(_weighing(modalities, channels) for _ in range(classes))
        self.regions = ConcatFusion(dims, classes, channels, channels, channels // 2)
        self.shortcut = ConcatFusion(dims, modalities, channels, channels, channels // 2)

    def forward(self, features: Tensor, products: Tensor, regions: Tensor, rows: Rows) -> Tensor:
        """Fused features ``(R, C, *S)``.

        Args:
            features: ``(P, C, *S)`` of ``rows.pairs``.
            products: ``(P, C, *S)``, what each adds to the first convolution of the shortcut.
            regions: probability ``(R, K, *S)`` of each region, without gradient.
            rows: the sequences of each row.
        """
        shares = self.shares(features, regions, rows)
        stacks = rows.stacks(features)
        summed = torch.stack(
            [
                self._regions_sum(stack, region, share[:, subset])
                for stack, region, share, subset in zip(stacks, regions, shares, rows.sequences, strict=True)
            ]
        )
        return torch.cat((self.regions.finish(summed), self.shortcut.finish(rows.total(products))), dim=1)

    def shares(self, features: Tensor, regions: Tensor, rows: Rows) -> Tensor:
        """Weight ``(R, K, M)`` in 0..1 of each sequence in each region, from its mean features there."""
        sizes = regions.flatten(2).mean(-1) + _EPSILON  # (R, K)
        absent = features.new_zeros(features.shape[1], regions.shape[1])
        means = []
        for parts, subset, region, size in zip(rows.parts(features), rows.sequences, regions, sizes, strict=True):
            flat = region.flatten(1).T / region[0].numel()  # (voxels, K)
            there = {m: part.flatten(1) @ flat / size for m, part in zip(subset, parts, strict=True)}
            means.append(torch.cat([there.get(m, absent) for m in range(self.modalities)]))  # (M C, K)
        told = torch.cat((torch.stack(means), sizes[:, None]), dim=1)  # (R, M C + 1, K)
        return torch.stack([weigh(told[:, :, k]) for k, weigh in enumerate(self.weighing)], dim=1).sigmoid()

    def _regions_sum(self, stack: Tensor, regions: Tensor, shares: Tensor) -> Tensor:
        """First convolution on the regions' features: ``sum_k V_k (p_k sum_m w_km x_m)``, ``(C, *S)``.

        ``p_k`` is a number per voxel, so this is ``sum_k p_k [w_km V_k]_m x``: one product per region
        of a matrix ``(C, n C)`` with the stacked sequences, and no map per region and sequence.
        """
        flat = stack.flatten(0, 1).flatten(1)  # (n C, voxels)
        terms = [
            region * (torch.cat([weight * matrix for weight in share], dim=1) @ flat).unflatten(1, region.shape)
            for matrix, region, share in zip(self.regions.matrices(), regions, shares, strict=True)
        ]
        return sum(terms[1:], terms[0])


def _weighing(modalities: int, channels: int) -> nn.Sequential:
    first, last = nn.Linear(modalities * channels + 1, HIDDEN), nn.Linear(HIDDEN, modalities)
    for layer in (first, last):
        nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(first, nn.LeakyReLU(NEGATIVE_SLOPE), last)


class RegionDecoder(nn.Module):
    """The fused decoder: per level a probability map, region-aware fusion and one step up.

    Args:
        dims: 2 or 3.
        modalities: number of sequences M.
        width: channels at full resolution.
        levels: number of resolutions.
        classes: regions K.
    """

    def __init__(self, dims: int, modalities: int, width: int, levels: int, classes: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in reversed(range(levels))]  # coarse to fine, as all below
        self.embeddings: Modules[ConcatFusion] = Modules(
            ConcatFusion(dims, modalities, c, max(1, c // 4), c) for c in channels
        )
        self.maps = nn.ModuleList(
            CoarseHead(dims, c if level == 0 else 2 * c, classes) for level, c in enumerate(channels)
        )
        self.fusions: Modules[RegionFusion] = Modules(RegionFusion(dims, modalities, c, classes) for c in channels)
        self.stages: Modules[DecoderStage] = Modules(DecoderStage(dims, c) for c in channels[1:])
        self.head = convolution(dims, width, classes, 1)

    def products(self, levels: Sequence[Tensor], m: int) -> list[Tensor]:
        """What sequence m adds to the first convolutions: per level (finest first) of embedding, of shortcut."""
        embeddings = [embed.product(x, m) for embed, x in zip(reversed(self.embeddings), levels, strict=True)]
        return embeddings + [
            fuse.shortcut.product(x, m) for fuse, x in zip(reversed(self.fusions), levels, strict=True)
        ]

    def forward(self, features: Features, rows: Rows) -> Decoded:
        """Predict each row; ``deep`` holds the logits of the probability maps, full resolution first.

        Args:
            features: ``(B, M, ...)``, features per level followed by their :meth:`products`.
            rows: the sequences of each row.
        """
        count = len(self.maps)
        levels = list(zip(*(features[i : i + count][::-1] for i in (0, count, 2 * count)), strict=True))
        maps: list[Tensor] = []
        x = bottleneck = self._fuse(0, levels[0], None, rows, maps)
        for level, stage in enumerate(self.stages, start=1):
            x = stage.up(x)
            x = stage.join(self._fuse(level, levels[level], x, rows, maps), x)
        return Decoded(self.head(x), tuple(reversed(maps)), x, bottleneck)

    def _fuse(
        self, level: int, tensors: Sequence[Tensor], decoded: Tensor | None, rows: Rows, maps: list[Tensor]
    ) -> Tensor:
        """Fused features ``(R, C, *S)`` of a level; adds the logits of its probability map to ``maps``."""
        features, embeddings, products = (rows.gather(tensor) for tensor in tensors)
        embedding = self.embeddings[level].finish(rows.total(embeddings))
        maps.append(self.maps[level](embedding if decoded is None else torch.cat((decoded, embedding), dim=1)))
        return self.fusions[level](features, products, F.softmax(maps[-1], dim=1).detach(), rows)


class RFNet(SegmentationNetwork):
    """The network. Its probability maps are needed for every prediction, so a bundle carries them.

    Features are the levels, then per level what each sequence adds to the first convolution of the
    embedding, then likewise of the shortcut: those convolutions are done once for all subsets.

    Raises:
        ValueError: an odd width, whose regions and shortcut would not be equal halves.
    """

    config: RFNetConfig
    config_class = RFNetConfig
    training_only: ClassVar[tuple[str, ...]] = ("unimodal_decoder.",)

    def __init__(self, config: RFNetConfig, training_heads: bool = True) -> None:
        super().__init__(config, training_heads)
        shape = (config.width, config.levels)
        if config.width % 2:
            raise ValueError(f"RFNet needs an even width, not {config.width}.")
        self.bottleneck_channels = config.width * 2 ** (config.levels - 1)
        self.encoders = nn.ModuleList(PostNormEncoder(config.dims, *shape) for _ in range(config.modalities))
        self.decoder = RegionDecoder(config.dims, config.modalities, *shape, config.classes)
        if training_heads:
            self.unimodal_decoder = UnimodalDecoder(config.dims, *shape, config.classes)

    def encode(self, images: Tensor, present: Tensor) -> Features:
        check_input(images, present, self.config.modalities, self.config.dims, 2 ** (self.config.levels - 1))
        return encode_present([partial(self._encode_one, m) for m in range(len(self.encoders))], images, present)

    def _encode_one(self, m: int, images: Tensor) -> list[Tensor]:
        levels = self.encoders[m](images)
        return [*levels, *self.decoder.products(levels, m)]

    def decode(self, features: Features, present: Tensor) -> Tensor:
        return self.decoder(features, Rows(present, case_rows(features, present))).logits

    def decode_training(self, features: Features, present: Tensor, rows: Sequence[int]) -> Decoded:
        self.require_training_heads()
        return self.decoder(features, Rows(present, rows))

    def decode_unimodal(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        self.require_training_heads()
        return self.unimodal_decoder([select_pairs(level, pairs) for level in features[: self.config.levels]])

    def bottleneck(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        return select_pairs(features[self.config.levels - 1], pairs)
