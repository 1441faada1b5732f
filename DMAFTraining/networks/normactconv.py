"""Instance norm, leaky ReLU and convolution as one differentiable step that keeps only its input.

Written with plain operations the three keep four copies of every map for the backward pass: what
the norm reads, what the activation reads, what the padding reads and what the convolution reads.
Here only the input and its statistics (mean and scale per channel) are kept; the activation is
computed again in the backward pass, which is cheap beside a convolution. Values and gradients are
those of the plain operations up to rounding. Inference on a CPU keeps nothing and has passes of its own, see ``lean``.

A convolution is a sum over its input channels. So several maps are convolved as if they were
concatenated without ever being so, and large maps are worked on in groups of rows and channels
small enough that what a group needs for a moment stays in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from DMAFTraining.networks.lean import EPSILON, is_lean, normalizer, write_active
from DMAFTraining.networks.phases import convolve, dense, dense_empty, input_gradient, weight_gradient

NEGATIVE_SLOPE = 0.2
_PIECE = 2**22
"""Elements of a map to work on at once."""
_FEWEST_CHANNELS = 8
"""Smaller groups of channels make convolutions slow."""


def norm_act_conv(
    maps: Sequence[Tensor], weight: Tensor, bias: Tensor | None = None, stride: int = 1, reflect: bool = True
) -> Tensor:
    """Convolve ``leaky_relu(instance_norm(x))``, x being the maps one after the other along channels.

    Args:
        maps: ``(B, C_i, *S)``.
        weight: ``(O, sum C_i, *k)``, all sides 1 or all sides 3.
        bias: ``(O,)``.
        stride: of the convolution.
        reflect: where the kernel has side 3, continue the map by one voxel by reflection, else by zeros.
    """
    return _convolution(_Settings(True, stride, reflect), weight, bias, maps)


def border_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, reflect: bool = True) -> Tensor:
    """Convolve ``x (B, C, *S)`` as :func:`norm_act_conv` does, without norm and activation."""
    return _convolution(_Settings(False, stride, reflect), weight, bias, [x])


def rows_at_once(x: Tensor) -> int:
    """How many rows of ``x (B, C, *S)`` to work on together: on a CPU many small ones or one large one."""
    return max(1, _PIECE // math.prod(x.shape[1:])) if x.device.type == "cpu" else len(x)


class _Settings(NamedTuple):
    activate: bool
    stride: int
    reflect: bool


class _Piece(NamedTuple):
    """Some channels of one of several maps, and their place in the kernel."""

    source: int
    channels: slice
    kernel: slice


_Prepare = Callable[[Tensor, slice, _Piece], Tensor]
"""From a piece of some rows to what the convolution reads."""


def _convolution(settings: _Settings, weight: Tensor, bias: Tensor | None, maps: Sequence[Tensor]) -> Tensor:
    if not is_lean(maps[0]):
        y: Tensor = _Convolution.apply(settings, weight, bias, *maps)
        return y
    kernel = weight.to(_compute_dtype(maps[0]))
    return _sum_of_pieces(maps, kernel, bias, settings.stride, lambda part, *_: _prepare_lean(part, kernel, settings))


def _sum_of_pieces(
    maps: Sequence[Tensor], kernel: Tensor, bias: Tensor | None, stride: int, prepare: _Prepare
) -> Tensor:
    outputs = []
    for rows in _row_groups(maps):
        products: list[Tensor] = []
        for piece in _pieces(maps):
            ready = prepare(dense(maps[piece.source][rows, piece.channels]), rows, piece)
            product = convolve(ready, kernel[:, piece.kernel], None if products else bias, stride)
            products = [products[0].add_(product) if products else product]
        outputs += products
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: _Settings, weight: Tensor, bias: Tensor | None, *maps: Tensor) -> Tensor:
        kernel = weight.to(_compute_dtype(maps[0]))
        statistics = [_room_for_statistics(x) for x in maps]

        def prepare(part: Tensor, rows: slice, piece: _Piece) -> Tensor:
            if settings.activate:
                statistics[piece.source][:, rows, piece.channels] = _statistics(part)
            return _prepare(part, statistics[piece.source][:, rows, piece.channels], kernel, settings)

        y = _sum_of_pieces(maps, kernel, bias, settings.stride, prepare)
        ctx.settings = settings
        ctx.save_for_backward(kernel, *maps, *statistics)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        kernel, *saved = ctx.saved_tensors
        maps, statistics = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        for_weight, for_bias, *for_maps = ctx.needs_input_grad[1:]
        inputs: list[Tensor | None] = [None for _ in maps]
        weights = torch.zeros_like(kernel, dtype=_exact(kernel))
        for rows in _row_groups(maps):
            g = dense(gradient[rows])
            for piece in _pieces(maps):
                part = dense(maps[piece.source][rows, piece.channels])
                numbers = statistics[piece.source][:, rows, piece.channels]
                ready = _prepare(part, numbers, kernel, ctx.settings)
                window = kernel[:, piece.kernel]
                if for_weight:
                    weights[:, piece.kernel] += weight_gradient(ready, g, window, ctx.settings.stride)
                if for_maps[piece.source]:
                    of_ready = input_gradient(ready, g, window, ctx.settings.stride)
                    found = _through(part, numbers, ready, of_ready, ctx.settings)
                    _put(inputs, piece, rows, found, like=maps[piece.source])
        bias = gradient.sum([0, *_spatial(gradient)], dtype=_exact(gradient)) if for_bias else None
        return None, weights if for_weight else None, bias, *inputs


def _compute_dtype(x: Tensor) -> torch.dtype:
    device = x.device.type
    autocast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if autocast else x.dtype


def _row_groups(maps: Sequence[Tensor]) -> Iterator[slice]:
    count = rows_at_once(maps[0])
    return (slice(first, first + count) for first in range(0, len(maps[0]), count))


def _pieces(maps: Sequence[Tensor]) -> Iterator[_Piece]:
    before = 0
    for source, x in enumerate(maps):
        channels, size = x.shape[1], _channels_at_once(x)
        for first in range(0, channels, size):
            last = min(first + size, channels)
            yield _Piece(source, slice(first, last), slice(before + first, before + last))
        before += channels


def _channels_at_once(x: Tensor) -> int:
    channels = x.shape[1]
    if x.device.type != "cpu":
        return channels
    groups = min(math.ceil(math.prod(x.shape[1:]) / _PIECE), max(1, channels // _FEWEST_CHANNELS))
    return math.ceil(channels / groups)


def _put(inputs: list[Tensor | None], piece: _Piece, rows: slice, found: Tensor, like: Tensor) -> None:
    """Enter the gradient of a piece of a map, which may be all of it."""
    if found.shape == like.shape:
        inputs[piece.source] = found
        return
    whole = inputs[piece.source]
    whole = torch.empty_like(like) if whole is None else whole
    whole[rows, piece.channels] = found
    inputs[piece.source] = whole


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def _exact(x: Tensor) -> torch.dtype:
    """What sums over ``x`` are made in."""
    return torch.promote_types(x.dtype, torch.float32)


def _room_for_statistics(x: Tensor) -> Tensor:
    return x.new_empty((2, *x.shape[:2], *(1 for _ in _spatial(x))), dtype=_exact(x))


def _statistics(x: Tensor) -> Tensor:
    """Mean and inverse standard deviation of each row and channel ``(2, B, C, 1, ...)``."""
    x = x.to(_exact(x))
    mean = x.mean(_spatial(x), keepdim=True)
    variance = (x - mean).square_().mean(_spatial(x), keepdim=True)
    return torch.stack((mean, torch.rsqrt(variance + EPSILON)))


def _prepare(x: Tensor, statistics: Tensor, kernel: Tensor, settings: _Settings) -> Tensor:
    """What the convolution reads: ``x`` normalized and activated, with a border if the kernel needs one."""
    bordered = kernel.shape[-1] > 1
    if not bordered and not settings.activate:
        return x.to(kernel.dtype)
    ready = dense_empty(x, [side + 2 * bordered for side in x.shape[2:]], kernel.dtype)
    inner = _inner(ready) if bordered else ready
    if settings.activate:
        mean, scale = statistics
        exact = inner if inner.dtype == scale.dtype else None  # no rounding on the way: write to the border's inside
        active = F.leaky_relu_(torch.addcmul(-mean * scale, x.to(scale.dtype), scale, out=exact), NEGATIVE_SLOPE)
        if exact is None:
            inner.copy_(active)
    else:
        inner.copy_(x)
    if bordered:
        _fill_border(ready, settings.reflect)
    return ready


def _prepare_lean(x: Tensor, kernel: Tensor, settings: _Settings) -> Tensor:
    """What :func:`_prepare` gives, without keeping the statistics."""
    bordered = kernel.shape[-1] > 1
    if not settings.activate:
        return _prepare(x, x, kernel, settings)
    ready = dense_empty(x, [side + 2 * bordered for side in x.shape[2:]], kernel.dtype)
    write_active(x, normalizer(x), NEGATIVE_SLOPE, _inner(ready) if bordered else ready)
    if bordered:
        _fill_border(ready, settings.reflect)
    return ready


def _fill_border(ready: Tensor, reflect: bool) -> None:
    for axis in _spatial(ready):
        for border, source in ((0, 2), (-1, -3)):
            face = ready.select(axis, border)
            face.copy_(ready.select(axis, source)) if reflect else face.zero_()


def _through(x: Tensor, statistics: Tensor, ready: Tensor, gradient: Tensor, settings: _Settings) -> Tensor:
    """Gradient of ``x`` from that of ``ready = _prepare(x)``, in whose memory it is worked out."""
    if ready.shape != x.shape:
        for axis in reversed(_spatial(x)) if settings.reflect else ():
            for border, source in ((0, 2), (-1, -3)):
                gradient.select(axis, source).add_(gradient.select(axis, border))
        ready, gradient = _inner(ready), _inner(gradient)
    if not settings.activate:
        return gradient
    exact = statistics.dtype
    # the activation has the sign of what it was made from, which is all that its gradient asks for
    of_norm = torch.ops.aten.leaky_relu_backward(gradient.to(exact), ready.to(exact), NEGATIVE_SLOPE, True)
    return _through_norm(x.to(exact), statistics, of_norm).to(x.dtype)


def _through_norm(x: Tensor, statistics: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of ``x`` from that of its normalized map: for a single row, instance norm is batch norm."""
    rows = [
        torch.ops.aten.native_batch_norm_backward(
            g, row, None, None, None, mean.flatten(), scale.flatten(), True, EPSILON, [True, False, False]
        )[0]
        for g, row, mean, scale in zip(gradient.split(1), x.split(1), *statistics, strict=True)
    ]
    return torch.cat(rows) if len(rows) > 1 else rows[0]


def _inner(bordered: Tensor) -> Tensor:
    for axis in _spatial(bordered):
        bordered = bordered.narrow(axis, 1, bordered.shape[axis] - 2)
    return bordered
