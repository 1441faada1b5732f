"""Instance norm and leaky ReLU where no gradient is wanted, in few passes over memory.

On a CPU a map with channels innermost is a stack of lines of ``W * C`` numbers. What belongs to a
channel is repeated once along such a line; then every operation runs over whole lines, several times
faster than over C numbers at a time. And a map is worked on plane by plane, as many planes at once as
the cache of a core holds, so that it is read from memory once for its statistics and once to be written.

All of this only in ``torch.inference_mode()``; training and other devices never come here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-5
_IN_CACHE = 2**19
"""Numbers that fit the cache of one core together with what is made of them."""


class Affine(NamedTuple):
    """``x * scale + shift`` along lines, each ``(B, 1, ..., W * C)``."""

    scale: Tensor
    shift: Tensor


def is_lean(x: Tensor) -> bool:
    """Whether ``x`` may be worked on in place and without a thought for gradients."""
    return torch.is_inference_mode_enabled() and x.device.type == "cpu"


def exact_type(x: Tensor) -> torch.dtype:
    """What sums over ``x`` are made in."""
    return torch.promote_types(x.dtype, torch.float32)


def normalizer(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Affine:
    """Instance norm of ``x (B, C, *S)``, channels innermost, and the scale and shift ``(C,)`` behind it, as one map."""
    mean, variance = _moments(x)  # (B, C)
    scale = torch.rsqrt(variance + EPSILON)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (len(x), *(1 for _ in x.shape[2:-1]), 1, x.shape[1])
    along = [n.view(shape).expand(*shape[:-2], x.shape[-1], -1).flatten(-2) for n in (scale, shift)]
    return Affine(*along)


def write_active(x: Tensor, affine: Affine, slope: float, out: Tensor) -> None:
    """``leaky_relu(x * scale + shift)`` to ``out (B, C, *S)``, which may be ``x``; both channels innermost."""
    for source, target in zip(_slabs(x), _slabs(out), strict=True):
        direct = target.dtype == affine.scale.dtype == source.dtype
        made = torch.addcmul(affine.shift, source.to(affine.scale.dtype), affine.scale, out=target if direct else None)
        F.leaky_relu_(made, slope)
        if not direct:
            target.copy_(made)


def weighted_sum(weights: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """Sum of maps ``(B, C, *S)``, channels innermost, each times its weights ``(B, 1, *S)``."""
    out = torch.empty_like(maps[0])
    planes = _planes(out)
    places = [x.movedim(1, -1).split(planes, dim=1) for x in (*maps, *weights, out)]
    for parts in zip(*places, strict=True):
        values, shares, target = parts[: len(maps)], parts[len(maps) : -1], parts[-1]
        total = values[0].to(exact_type(out)) * shares[0]
        for value, share in zip(values[1:], shares[1:], strict=True):
            total.addcmul_(value.to(total.dtype), share)
        target.copy_(total)
    return out


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Linear resampling of ``(B, C, *S)`` from a small grid: one matrix product per axis."""
    for axis, (side, wanted) in enumerate(zip(x.shape[2:], size, strict=True), start=2):
        unit = torch.eye(side, dtype=x.dtype, device=x.device)
        matrix = F.interpolate(unit[None], size=wanted, mode="linear", align_corners=False)[0]  # (side, wanted)
        x = (x.movedim(axis, -1) @ matrix).movedim(-1, axis)
    return x


def pool_patches(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums over disjoint patches of ``x (B, C, *S)``, channels innermost, ``weight (C, 1, *sides)``."""
    side, width = weight.shape[-1], x.shape[-1]
    lines = x.movedim(1, -1).flatten(-2)  # (B, *S', W * C)
    along = weight[:, 0].movedim(0, -1).repeat(*(1,) * (x.dim() - 3), width // side, 1).flatten(-2)
    if x.dim() == 4:  # a plane with one row of lines
        lines, along = lines.unsqueeze(2), along.unsqueeze(1)
    rows = [
        (slab.unflatten(2, (-1, along.shape[1])) * along[:, None]).sum(1).sum(2) for slab in lines.split(side, dim=1)
    ]
    pooled = torch.stack(rows, dim=1).unflatten(-1, (width // side, side, -1)).sum(-2)  # (B, *cells, C)
    return (pooled.squeeze(2) if x.dim() == 4 else pooled).movedim(-1, 1)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance ``(B, C)``, put together from those of each slab (Chan, Golub and LeVeque, 1979)."""
    means, squares, counts = [], [], []
    for slab in _slabs(x):
        lines = slab.flatten(1, -2).to(exact_type(x))
        mean = lines.mean(1, keepdim=True)
        means.append(mean)
        squares.append((lines - mean).square_().sum(1))
        counts.append(lines.shape[1])
    channels = (x.shape[-1], x.shape[1])
    each = torch.cat(means, dim=1).unflatten(-1, channels)  # (B, slabs, W, C)
    count = each.new_tensor(counts)[:, None, None]
    total = math.prod(x.shape[2:])
    mean = (each * count).sum((1, 2), keepdim=True) / total
    between = ((each - mean).square_() * count).sum((1, 2))
    within = torch.stack(squares).sum(0).unflatten(-1, channels).sum(1)
    return mean.flatten(1), (within + between) / total


def _slabs(x: Tensor) -> Iterator[Tensor]:
    """Lines ``(B, n, ..., W * C)`` of a few planes of ``x (B, C, *S)`` after the other, without a copy."""
    return iter(x.movedim(1, -1).flatten(-2).split(_planes(x), dim=1))


def _planes(x: Tensor) -> int:
    """How many planes of ``x (B, C, *S)`` to work on at once."""
    return max(1, _IN_CACHE * torch.get_num_threads() // (x.numel() // x.shape[2]))
