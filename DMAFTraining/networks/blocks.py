"""Building blocks shared by every network, written once for two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2
_CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_POOLS: dict[int, Callable[..., Tensor]] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_INTERPOLATIONS = {2: "bilinear", 3: "trilinear"}


def convolution(dims: int, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d | nn.Conv3d:
    """Convolution with reflected borders, weights by Kaiming's normal rule."""
    if dims not in _CONVOLUTIONS:
        raise ValueError(f"Networks here have 2 or 3 dimensions, not {dims}.")
    padding = kernel // 2
    mode: Literal["reflect", "zeros"] = "reflect" if padding else "zeros"
    layer = _CONVOLUTIONS[dims](inputs, outputs, kernel, stride, padding, padding_mode=mode)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def instance_norm(x: Tensor) -> Tensor:
    """Instance normalization without parameters ``(B, C, ...)``, in its faster group-norm form."""
    return F.group_norm(x, x.shape[1])


def upsample(x: Tensor, scale: int = 2) -> Tensor:
    """Linear up-sampling of ``(B, C, *S)`` by a factor, corners aligned as in the reference networks."""
    return F.interpolate(x, scale_factor=scale, mode=_INTERPOLATIONS[x.dim() - 2], align_corners=True)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Linear resampling of ``(B, C, *S)`` to another grid over the same extent."""
    return F.interpolate(x, size=tuple(size), mode=_INTERPOLATIONS[x.dim() - 2], align_corners=False)


def adaptive_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """Average pooling of ``(B, C, *S)`` to a fixed grid."""
    return _POOLS[x.dim() - 2](x, list(size))


class NormActConv(nn.Module):
    """Instance norm, leaky ReLU, convolution: ``(B, inputs, *S)`` to ``(B, outputs, *S / stride)``."""

    def __init__(self, dims: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = convolution(dims, inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.leaky_relu(instance_norm(x), NEGATIVE_SLOPE))


class PatchPool(nn.Module):
    """Learned pooling of disjoint patches, channel by channel: ``(B, C, *S)`` to ``(B, C, *S / side)``.

    The same map as a depth-wise convolution with kernel = stride = ``side`` (and its weight shape),
    computed as one matrix product per channel, several times faster backward on a CPU.
    """

    def __init__(self, dims: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.weight = nn.Parameter(torch.empty(channels, 1, *(side,) * dims))
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, *size = x.shape
        cells = [n // self.side for n in size]
        split = x.reshape(batch, channels, *(n for cell in cells for n in (cell, self.side)))
        dims = len(size)
        order = [1, 0, *range(2, 2 + 2 * dims, 2), *range(3, 2 + 2 * dims, 2)]
        patches = split.permute(order).reshape(channels, -1, self.side**dims)  # (C, B * cells, voxels)
        pooled = torch.bmm(patches, self.weight.view(channels, -1, 1)).view(channels, batch, *cells)
        return pooled.transpose(0, 1) + self.bias.view(1, -1, *(1,) * dims)


class TransformerLayer(nn.Module):
    """Pre-norm self-attention and feed-forward layer over tokens ``(B, T, C)``.

    Args:
        channels: width C.
        heads: attention heads; must divide C.
        mlp_ratio: hidden width of the feed-forward part over C.
        dropout: on attention weights, on both residual branches and inside the feed-forward part.
    """

    def __init__(self, channels: int, heads: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.projection = nn.Linear(channels, channels)
        self.norm_mlp = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_ratio * channels, channels),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """Update ``tokens (B, T, C)``; only keys with ``keys (B, T)`` True are attended."""
        attended = self._attention(self.norm_attention(tokens), keys)
        tokens = tokens + F.dropout(self.projection(attended), self.dropout, self.training)
        return tokens + self.mlp(self.norm_mlp(tokens))

    def _attention(self, x: Tensor, keys: Tensor) -> Tensor:
        batch, count, channels = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=keys[:, None, None, :], dropout_p=dropout)
        return out.transpose(1, 2).reshape(batch, count, channels)


def check_input(images: Tensor, present: Tensor, modalities: int, dims: int, multiple: int) -> None:
    """Refuse what a network cannot segment.

    Raises:
        ValueError: wrong rank, channel count or presence shape, a case without any sequence, or a
            size that the down-sampling cannot halve evenly (or too small to reflect).
    """
    if images.dim() != dims + 2 or images.shape[1] != modalities:
        raise ValueError(f"Images should be (B, {modalities}, {dims} axes), not {tuple(images.shape)}.")
    if present.dtype != torch.bool or present.shape != images.shape[:2]:
        raise ValueError(
            f"Presence should be bool {tuple(images.shape[:2])}, not {present.dtype} {tuple(present.shape)}."
        )
    if not bool(present.any(dim=1).all()):
        raise ValueError("A case has no sequence at all; at least one must be present.")
    if any(size % multiple or size < 2 * multiple for size in images.shape[2:]):
        raise ValueError(
            f"Each side of the window should be a multiple of {multiple} from {2 * multiple} on, "
            f"not {tuple(images.shape[2:])}."
        )
