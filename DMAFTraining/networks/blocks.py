"""Building blocks shared by every network, written once for two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.lean import is_lean, normalizer, pool_patches, write_active
from DMAFTraining.networks.normactconv import NEGATIVE_SLOPE, border_conv, norm_act_conv, rows_at_once
from DMAFTraining.networks.phases import dense

Border = Literal["reflect", "zeros"]
_POOLS: dict[int, Callable[..., Tensor]] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
_INTERPOLATIONS = {2: "bilinear", 3: "trilinear"}


class _Conv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return _convolve(self, x) if self.groups == 1 else super().forward(x)


class _Conv3d(nn.Conv3d):
    def forward(self, x: Tensor) -> Tensor:
        return _convolve(self, x) if self.groups == 1 else super().forward(x)


_CONVOLUTIONS: dict[int, Any] = {2: _Conv2d, 3: _Conv3d}


def _convolve(layer: nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    return border_conv(x, layer.weight, layer.bias, layer.stride[0], layer.padding_mode == "reflect")


def convolution(
    dims: int,
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    border: Border = "reflect",
    groups: int = 1,
    bias: bool = True,
) -> nn.Conv2d | nn.Conv3d:
    """Convolution with reflected (or zero) borders, weights by Kaiming's normal rule."""
    if dims not in _CONVOLUTIONS:
        raise ValueError(f"Networks here have 2 or 3 dimensions, not {dims}.")
    padding = kernel // 2
    mode = border if padding else "zeros"
    layer = _CONVOLUTIONS[dims](inputs, outputs, kernel, stride, padding, groups=groups, bias=bias, padding_mode=mode)
    nn.init.kaiming_normal_(layer.weight)
    return layer


def instance_norm(x: Tensor) -> Tensor:
    """Instance normalization without parameters ``(B, C, ...)``, in its faster group-norm form."""
    # With channels innermost, PyTorch adds up a whole channel in one running sum: errors of 1e-3 in 80-cubed maps.
    return F.group_norm(x.contiguous(), x.shape[1])


def norm_act(x: Tensor) -> Tensor:
    """Instance norm and leaky ReLU of ``x (B, C, *S)``, whose memory may be used for the result."""
    if not is_lean(x):
        return F.leaky_relu(instance_norm(x), NEGATIVE_SLOPE, inplace=True)
    x = dense(x)
    write_active(x, normalizer(x), NEGATIVE_SLOPE, out=x)
    return x


def upsample(x: Tensor, scale: int = 2) -> Tensor:
    """Linear up-sampling of ``(B, C, *S)`` by a factor, corners aligned as in the reference networks."""
    return F.interpolate(x, scale_factor=scale, mode=_INTERPOLATIONS[x.dim() - 2], align_corners=True)


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Linear resampling of ``(B, C, *S)`` to another grid over the same extent."""
    return F.interpolate(x, size=tuple(size), mode=_INTERPOLATIONS[x.dim() - 2], align_corners=False)


def pair_rows(x: Tensor, pairs: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The ``(case, sequence)`` entries of ``(B, M, ...)``, each ``(1, ...)``, without a copy."""
    entries = x.flatten(0, 1).split(1)  # one gradient buffer for all entries, unlike indexing one by one
    return [entries[case * x.shape[1] + sequence] for case, sequence in pairs]


def subset_rows(x: Tensor, present: Tensor, rows: Sequence[int]) -> list[list[Tensor]]:
    """For each row of ``present (R, M)``, its entries ``(1, ...)`` of case ``rows[r]`` of ``x (B, M, ...)``.

    Raises:
        ValueError: a row without any sequence.
    """
    subsets = [[m for m, there in enumerate(flags) if there] for flags in present.tolist()]
    if not all(subsets):
        raise ValueError("A subset to decode has no sequence at all; at least one must be present.")
    pairs = [(case, m) for case, subset in zip(rows, subsets, strict=True) for m in subset]
    entries = iter(pair_rows(x, pairs))
    return [[next(entries) for _ in subset] for subset in subsets]


def select_pairs(x: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """The ``(case, sequence)`` entries of ``(B, M, ...)`` as ``(P, ...)``; all of them, in order, without a copy."""
    if [case * x.shape[1] + sequence for case, sequence in pairs] == list(range(x.shape[0] * x.shape[1])):
        return x.flatten(0, 1)
    return torch.cat(pair_rows(x, pairs))


def case_rows(features: Sequence[Tensor], present: Tensor) -> list[int]:
    """The case of each row of ``present (R, M)``: its own, or the only one there is."""
    return list(range(len(present))) if len(features[0]) > 1 else [0] * len(present)


def by_rows(work: Callable[..., Tensor], *maps: Sequence[Tensor]) -> list[Tensor]:
    """Apply ``work`` to rows ``(1, C, *S)``: small ones together, large ones one by one, to stay in the cache.

    Args:
        work: from one row of each of ``maps``, or several concatenated, to a map with as many rows.
        maps: row lists of equal length.
    """
    count = rows_at_once(maps[0][0])
    if count == 1:
        return [work(*row) for row in zip(*maps, strict=True)]
    done: list[Tensor] = []
    for first in range(0, len(maps[0]), count):
        done += work(*(torch.cat(list(rows[first : first + count])) for rows in maps)).split(1)
    return done


def pointwise(layer: nn.Conv2d | nn.Conv3d, rows: Sequence[Tensor]) -> Tensor:
    """Apply a convolution of side 1 to rows ``(1, C, *S)``; gives ``(R, O, *S)``."""
    return torch.cat([layer(x) for x in rows])


def adaptive_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    """Average pooling of ``(B, C, *S)`` to a fixed grid."""
    return _POOLS[x.dim() - 2](x, list(size))


class NormActConv(nn.Module):
    """Instance norm, leaky ReLU, convolution: ``(B, inputs, *S)`` to ``(B, outputs, *S / stride)``.

    Several maps are taken as if they were concatenated along channels, which they need not be.
    """

    def __init__(
        self, dims: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, border: Border = "reflect"
    ) -> None:
        super().__init__()
        self.conv = convolution(dims, inputs, outputs, kernel, stride, border)

    def forward(self, *maps: Tensor) -> Tensor:
        conv = self.conv
        return norm_act_conv(maps, conv.weight, conv.bias, conv.stride[0], conv.padding_mode == "reflect")


class ConvNormAct(nn.Module):
    """Convolution, instance norm, leaky ReLU: ``(B, inputs, *S)`` to ``(B, outputs, *S / stride)``."""

    def __init__(self, dims: int, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = convolution(dims, inputs, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return norm_act(self.conv(x))


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
        if is_lean(x):
            return pool_patches(dense(x), self.weight.to(x.dtype)) + self.bias.view(1, -1, *(1,) * (x.dim() - 2))
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
        bias: of queries, keys and values.
        branch_dropout: on the attention branch, where it differs from ``dropout``.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        mlp_ratio: int,
        dropout: float,
        bias: bool = True,
        branch_dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.branch_dropout = dropout if branch_dropout is None else branch_dropout
        self.norm_attention = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.projection = nn.Linear(channels, channels)
        self.norm_mlp = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_ratio * channels, channels),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor, keys: Tensor | None = None) -> Tensor:
        """Update ``tokens (B, T, C)``; only keys with ``keys (B, T)`` True are attended, all without it."""
        attended = self._attention(self.norm_attention(tokens), keys)
        tokens = tokens + F.dropout(self.projection(attended), self.branch_dropout, self.training)
        return tokens + self.mlp(self.norm_mlp(tokens))

    def _attention(self, x: Tensor, keys: Tensor | None) -> Tensor:
        batch, count, channels = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mask = None if keys is None else keys[:, None, None, :]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
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
