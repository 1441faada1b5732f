"""What RFNet and M2FTrans share: encoder, decoder and fusion made of post-norm blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.blocks import ConvNormAct, convolution, norm_act, upsample
from DMAFTraining.networks.encoder import residual_levels
from DMAFTraining.networks.module_lists import Modules

HEAD_CHANNELS = 16


class PostNormEncoder(nn.Module):
    """Residual levels of one sequence, each half the size and twice the width of the one before.

    Args:
        dims: 2 or 3.
        width: channels at full resolution.
        levels: number of resolutions.
    """

    def __init__(self, dims: int, width: int, levels: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(levels)]
        below = [1, *channels[:-1]]
        self.entries = nn.ModuleList(
            ConvNormAct(dims, a, b, stride=1 if level == 0 else 2)
            for level, (a, b) in enumerate(zip(below, channels, strict=True))
        )
        self.residuals = nn.ModuleList(
            nn.Sequential(ConvNormAct(dims, c, c), ConvNormAct(dims, c, c)) for c in channels
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of ``(B, 1, *S)`` per level, ``(B, width * 2**l, *S / 2**l)``, finest first."""
        return residual_levels(self.entries, self.residuals, x)


class DecoderStage(nn.Module):
    """One step of a decoder: up to the resolution with ``channels``, then joined with features there."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        self.raise_ = ConvNormAct(dims, 2 * channels, channels)
        self.merge = ConvNormAct(dims, 2 * channels, channels)
        self.mix = ConvNormAct(dims, channels, channels, kernel=1)

    def up(self, x: Tensor) -> Tensor:
        """``(R, 2 C, *S)`` to ``(R, C, *2S)``."""
        return self.raise_(upsample(x))

    def join(self, first: Tensor, second: Tensor) -> Tensor:
        """Two maps ``(R, C, *S)`` to one."""
        return self.mix(self.merge(torch.cat((first, second), dim=1)))


class UnimodalDecoder(nn.Module):
    """The decoder of a single sequence, shared by all sequences: ``(P, C_l, *S_l)`` per level to logits."""

    def __init__(self, dims: int, width: int, levels: int, classes: int) -> None:
        super().__init__()
        self.stages: Modules[DecoderStage] = Modules(
            DecoderStage(dims, width * 2**level) for level in reversed(range(levels - 1))
        )
        self.head = convolution(dims, width, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        for stage, skip in zip(self.stages, reversed(features[:-1]), strict=True):
            x = stage.join(stage.up(x), skip)
        return self.head(x)


class CoarseHead(nn.Sequential):
    """Logits of an intermediate map: a point-wise block to 16 channels, then to the classes."""

    def __init__(self, dims: int, inputs: int, classes: int) -> None:
        super().__init__(
            ConvNormAct(dims, inputs, HEAD_CHANNELS, kernel=1), convolution(dims, HEAD_CHANNELS, classes, 1)
        )


class ConcatFusion(nn.Module):
    """Three post-norm blocks (point-wise, 3, point-wise) on the concatenation of several maps.

    The first convolution is point-wise, so on a concatenation it is a sum of one product per map,
    ``sum_i W_i x_i + b``, and maps that are zero need no product. The caller forms that sum.

    Args:
        dims: 2 or 3.
        parts: number of maps.
        channels: of each map.
        hidden: channels between the blocks.
        outputs: channels of the result.
    """

    def __init__(self, dims: int, parts: int, channels: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.parts = parts
        self.first = convolution(dims, parts * channels, hidden, 1)
        self.blocks = nn.Sequential(ConvNormAct(dims, hidden, hidden), ConvNormAct(dims, hidden, outputs, kernel=1))

    def matrices(self) -> tuple[Tensor, ...]:
        """``W_i (hidden, channels)`` of each map."""
        return self.first.weight.flatten(1).chunk(self.parts, dim=1)

    def product(self, x: Tensor, part: int) -> Tensor:
        """``W_i x`` of the map ``x (B, channels, *S)`` in place ``part`` of the concatenation."""
        convolve = F.conv3d if x.dim() == 5 else F.conv2d
        return convolve(x, self.first.weight.chunk(self.parts, dim=1)[part])

    def finish(self, summed: Tensor) -> Tensor:
        """The rest of the blocks on ``sum_i W_i x_i (R, hidden, *S)``: ``(R, outputs, *S)``."""
        biased = summed + self.first.get_parameter("bias").view(-1, *(1 for _ in summed.shape[2:]))
        return self.blocks(norm_act(biased))
