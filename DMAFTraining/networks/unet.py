"""The plain baseline: a U-Net in the manner of nnU-Net that takes all sequences as channels.

Source: nnU-Net (Isensee et al., Nature Methods 2021): two convolutions per level, strided convolutions
down, transposed convolutions up, instance norm with scale and shift, leaky ReLU, deep supervision. An
absent sequence is a channel of zeros; with modality dropout in training this is the field's baseline.

The first convolution over all channels is a sum of one convolution per sequence, so an absent
sequence is left out of the sum, exactly as if its channel were zero (its border is padded with zeros,
and a bias, which the norm behind it would cancel, is left out). Everything after it depends on the
subset and runs once for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.base import Decoded, Features, NetworkConfig, SegmentationNetwork
from DMAFTraining.networks.blocks import case_rows, check_input, convolution, select_pairs
from DMAFTraining.networks.encoder import encode_present
from DMAFTraining.networks.lean import EPSILON, is_lean, normalizer, write_active
from DMAFTraining.networks.phases import dense
from DMAFTraining.networks.subsets import Rows

NEGATIVE_SLOPE = 0.01


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """Shape of the network; nnU-Net itself begins with a width of 32.

    Attributes:
        levels: number of resolutions.
        max_channels: no level has more channels; nnU-Net allows 320 in 3-D and 512 in 2-D.
    """

    levels: int = 5
    max_channels: int = 320


class NormAct(nn.Sequential):
    """Instance norm with scale and shift (in the form of group norm or batch norm, whichever is faster), leaky ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.GroupNorm(channels, channels, EPSILON), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Of ``x (B, C, *S)``."""
        norm, activation = self
        weight, bias = norm.get_parameter("weight"), norm.get_parameter("bias")
        if not is_lean(x):
            return activation(_normalize(x, weight, bias) if x.device.type == "cpu" else norm(x))
        x = dense(x)
        affine = normalizer(x, weight, bias)
        out = torch.empty_like(x)
        write_active(x, affine, NEGATIVE_SLOPE, out)
        return out


def _normalize(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Instance norm row by row as batch norm, which a CPU does ten times faster where channels are innermost."""
    rows = [F.batch_norm(row, None, None, weight, bias, training=True, eps=EPSILON) for row in x.split(1)]
    return torch.cat(rows) if len(rows) > 1 else rows[0]


class Block(nn.Sequential):
    """Convolution (3), instance norm, leaky ReLU: ``(B, inputs, *S)`` to ``(B, outputs, *S / stride)``."""

    def __init__(self, dims: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(convolution(dims, inputs, outputs, 3, stride, border="zeros", bias=False), NormAct(outputs))


class Step(nn.Module):
    """One step up: double the size by a transposed convolution, join the skip connection, two convolutions."""

    def __init__(self, dims: int, below: int, channels: int) -> None:
        super().__init__()
        transposed = nn.ConvTranspose3d if dims == 3 else nn.ConvTranspose2d
        self.up = transposed(below, channels, 2, stride=2)
        self.blocks = nn.Sequential(Block(dims, 2 * channels, channels), Block(dims, channels, channels))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.blocks(torch.cat((self.up(x), skip), dim=1))


class UNet(SegmentationNetwork):
    """The network. Features are only the first convolutions ``(B, M, width, *S)``; decoding runs the rest.

    There is no separate uni-modal decoder: a single sequence is decoded by the network itself, and its
    bottleneck is the network's own with that sequence alone.
    """

    config: UNetConfig
    config_class = UNetConfig
    training_only: ClassVar[tuple[str, ...]] = ("deep_heads.",)

    def __init__(self, config: UNetConfig, training_heads: bool = True) -> None:
        super().__init__(config, training_heads)
        dims = config.dims
        channels = [min(config.width * 2**level, config.max_channels) for level in range(config.levels)]
        self.bottleneck_channels = channels[-1]
        self.encoders = nn.ModuleList(
            convolution(dims, 1, channels[0], 3, border="zeros", bias=False) for _ in range(config.modalities)
        )
        self.entry = nn.Sequential(NormAct(channels[0]), Block(dims, channels[0], channels[0]))
        self.down = nn.ModuleList(
            nn.Sequential(Block(dims, a, b, stride=2), Block(dims, b, b)) for a, b in itertools.pairwise(channels)
        )
        self.up = nn.ModuleList(Step(dims, b, a) for a, b in reversed(list(itertools.pairwise(channels))))
        self.head = convolution(dims, channels[0], config.classes, 1)
        if training_heads:
            self.deep_heads = nn.ModuleList(convolution(dims, c, config.classes, 1) for c in channels[1:-1])

    def encode(self, images: Tensor, present: Tensor) -> Features:
        check_input(images, present, self.config.modalities, self.config.dims, 2 ** (self.config.levels - 1))
        return encode_present([partial(_encode_one, stem) for stem in self.encoders], images, present)

    def _contract(self, stem: Tensor) -> list[Tensor]:
        """Features per level, finest first, from the summed first convolution ``(R, width, *S)``."""
        levels = [self.entry(stem)]
        for step in self.down:
            levels.append(step(levels[-1]))
        return levels

    def _expand(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Decoded features per level, finest first, without the coarsest."""
        decoded = [levels[-1]]
        for step, skip in zip(self.up, reversed(levels[:-1]), strict=True):
            decoded.append(step(decoded[-1], skip))
        return decoded[:0:-1]

    def decode(self, features: Features, present: Tensor) -> Tensor:
        rows = Rows(present, case_rows(features, present))
        return self._segment(rows.total(rows.gather(features[0])))

    def _segment(self, stem: Tensor) -> Tensor:
        return self.head(self._expand(self._contract(stem))[0])

    def decode_training(self, features: Features, present: Tensor, rows: Sequence[int]) -> Decoded:
        self.require_training_heads()
        subsets = Rows(present, rows)
        levels = self._contract(subsets.total(subsets.gather(features[0])))
        finest, *coarser = self._expand(levels)
        deep = tuple(head(x) for head, x in zip(self.deep_heads, coarser, strict=True))
        return Decoded(self.head(finest), deep, finest, levels[-1])

    def decode_unimodal(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        return self._segment(select_pairs(features[0], pairs))

    def bottleneck(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        return self._contract(select_pairs(features[0], pairs))[-1]


def _encode_one(stem: nn.Module, images: Tensor) -> list[Tensor]:
    return [stem(images)]
