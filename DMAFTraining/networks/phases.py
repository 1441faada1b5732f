"""Convolution without border and its two gradients, in the forms that are fast on a CPU.

A CPU works on as many output channels at once as fill a vector register; with 8 channels half of it
is idle. So two neighbors along the last axis ("phases") are computed as 16 channels of one: by a
kernel one voxel longer that moves on by two. With channels innermost in memory the result needs no
rearranging. A single input channel has no fast kernel at all: there eight neighbors are computed at
once by a matrix product over the windows that they read. (In inference the neighbors that an output
reads become input channels, which is faster, but adds up in another order.) And a small single map is
convolved as two halves, since PyTorch uses its fast kernels only for several maps or large ones.

All forms give the same sums. On other devices the plain operation is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from DMAFTraining.networks.lean import is_lean

_LANES = 16
"""fp32 numbers in a vector register."""
_SLOW_BELOW = 20480
"""PyTorch gives a single map with fewer elements, last axis not counted, to a slow kernel; not so two halves."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """Convolve ``x (B, C, *S)`` with ``weight (O, C, *k)`` where the kernel fits."""
    bias = None if bias is None else bias.to(x.dtype)
    if is_lean(x) and weight.shape[1] == 1 and weight.shape[-1] > 1 and stride == 1:
        return _convolve_single(x, weight, bias)
    phases = _phases(x, weight, stride)
    bias = None if bias is None else bias.repeat(phases)
    kernel = _phased(weight, phases)
    if _is_product(weight, stride, x):
        y = F.linear(_windows(x, weight, phases), _flat(kernel), bias).movedim(-1, 1)
        return _split_last(y, phases)
    return _split_last(_by_halves(x, kernel, bias, stride, _strides(x, stride, phases)), phases)


def _convolve_single(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """:func:`convolve` of a single channel: neighbors along the last axis are the channels of what is convolved."""
    phases = 2 if x.shape[-1] % 2 == 0 and 2 * len(weight) <= _LANES else 1
    kernel = _phased(weight, phases)
    neighbors = x[:, 0].unfold(-1, kernel.shape[-1], phases).movedim(-1, 1)
    kernel = kernel[:, 0].movedim(-1, 1).unsqueeze(-1)
    bias = None if bias is None else bias.repeat(phases)
    return _split_last(_by_halves(dense(neighbors), kernel, bias, 1, [1] * (x.dim() - 2)), phases)


def _by_halves(x: Tensor, kernel: Tensor, bias: Tensor | None, stride: int, strides: list[int]) -> Tensor:
    operation = F.conv3d if x.dim() == 5 else F.conv2d
    half = _half(x, kernel, stride)
    return _joined(operation(_halves(x, kernel, stride, half), dense(kernel), bias, strides), half)


def input_gradient(x: Tensor, gradient: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient of ``x`` from that of ``convolve(x, weight)``; of ``x`` only the shape is read."""
    if stride == 1 and weight.shape[1] < _LANES and x.device.type == "cpu":
        wide = dense(F.pad(gradient, [weight.shape[-1] - 1] * (2 * (x.dim() - 2))))
        return convolve(wide, weight.flip(list(range(2, x.dim()))).transpose(0, 1))
    half = _half(x, weight, stride)
    parts = _halves(x, weight, stride, half)
    found = _backward(_parted(gradient, half), parts, weight, _strides(x, stride, 1), (True, False, False))[0]
    if not half:
        return found
    total = dense(torch.zeros_like(x))
    for part, first in zip(found.split(1), (0, half * stride), strict=True):
        total.narrow(2, first, part.shape[2]).add_(part)
    return total


def weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient of ``weight`` from that of ``convolve(x, weight)``; of ``weight`` only the shape is read."""
    phases = _phases(x, weight, stride)
    kernel = _phased(weight, phases)
    merged = _merged(gradient, phases)
    if _is_product(weight, stride, x):
        rows = merged.flatten(0, -2).t() @ _windows(x, weight, phases).flatten(0, -2)
        found = rows.view(len(kernel), *kernel.shape[2:], -1).movedim(-1, 1)
    else:
        half = _half(x, weight, stride)
        x, g = _halves(x, weight, stride, half), _parted(merged.movedim(-1, 1), half)
        found = _backward(g, x, kernel, _strides(x, stride, phases), (False, True, False))[1]
    parts = [part.narrow(-1, p, weight.shape[-1]) for p, part in enumerate(found.chunk(phases))]
    return sum(parts[1:], parts[0])


def _half(x: Tensor, weight: Tensor, stride: int) -> int:
    """Outputs along the first axis that half of a small single map gives; 0 where the map stays whole."""
    outputs = (x.shape[2] - weight.shape[2]) // stride + 1
    small = len(x) == 1 and x.device.type == "cpu" and x[..., 0].numel() <= _SLOW_BELOW
    return outputs // 2 if small and outputs % 2 == 0 else 0


def _halves(x: Tensor, weight: Tensor, stride: int, half: int) -> Tensor:
    """What each half of the outputs reads of ``x (1, C, *S)``, as two rows; they overlap."""
    if not half:
        return x
    read = (half - 1) * stride + weight.shape[2]
    return dense(torch.cat([x.narrow(2, first, read) for first in (0, half * stride)]))


def _parted(y: Tensor, half: int) -> Tensor:
    """``(1, O, 2 * half, ...)`` as two rows ``(2, O, half, ...)``."""
    return y.movedim(1, -1).unflatten(1, (2, half)).squeeze(0).movedim(-1, 1) if half else y


def _joined(y: Tensor, half: int) -> Tensor:
    """``(2, O, half, ...)`` as one row ``(1, O, 2 * half, ...)``."""
    return y.movedim(1, -1).flatten(0, 1).unsqueeze(0).movedim(-1, 1) if half else y


def dense(x: Tensor) -> Tensor:
    """``x (B, C, *S)`` with channels innermost on a CPU, where convolutions are fastest; elsewhere first."""
    return x.contiguous(memory_format=_layout(x))


def dense_empty(like: Tensor, size: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Memory for ``(B, C, *size)`` in the layout of ``dense(like)``."""
    return torch.empty((*like.shape[:2], *size), dtype=dtype, device=like.device, memory_format=_layout(like))


def _layout(x: Tensor) -> torch.memory_format:
    if x.device.type != "cpu":
        return torch.contiguous_format
    return torch.channels_last_3d if x.dim() == 5 else torch.channels_last


def _is_product(weight: Tensor, stride: int, x: Tensor) -> bool:
    """Whether to convolve by a matrix product over windows: those of one voxel or one channel are small."""
    return stride == 1 and (weight.shape[-1] == 1 or (weight.shape[1] == 1 and x.device.type == "cpu"))


def _phases(x: Tensor, weight: Tensor, stride: int) -> int:
    """How many neighbors along the last axis to compute as channels of one."""
    if x.device.type != "cpu" or stride != 1:
        return 1
    outputs = x.shape[-1] - weight.shape[-1] + 1
    most = 4 * _LANES if weight.shape[1] == 1 else _LANES
    return next(p for p in (8, 4, 2, 1) if p == 1 or (p * weight.shape[0] <= most and outputs % p == 0))


def _phased(weight: Tensor, phases: int) -> Tensor:
    """Kernel ``(phases * O, C, ..., k + phases - 1)`` that gives neighbors as channels."""
    return torch.cat([F.pad(weight, (p, phases - 1 - p)) for p in range(phases)]) if phases > 1 else weight


def _strides(x: Tensor, stride: int, phases: int) -> list[int]:
    return [stride] * (x.dim() - 3) + [stride * phases]


def _flat(kernel: Tensor) -> Tensor:
    """Kernel ``(O, C, *k)`` as ``(O, prod(k) * C)``, in the order of :func:`_windows`."""
    return kernel.movedim(1, -1).flatten(1)


def _windows(x: Tensor, weight: Tensor, phases: int) -> Tensor:
    """What each output reads of ``x (B, C, *S)``: ``(B, *S', prod(k) * C)``."""
    if weight.shape[-1] == 1:
        return _merged(x, phases)
    windows = x.movedim(1, -1)
    for axis, side in enumerate(weight.shape[2:], start=1):
        last = axis == x.dim() - 2
        windows = windows.unfold(axis, side + (phases - 1) * last, phases if last else 1)
    return windows.movedim(x.dim() - 1, -1).flatten(x.dim() - 1)


def _split_last(y: Tensor, phases: int) -> Tensor:
    """``(B, phases * O, ..., N)`` to ``(B, O, ..., phases * N)``."""
    return y.movedim(1, -1).unflatten(-1, (phases, -1)).flatten(-3, -2).movedim(-1, 1) if phases > 1 else y


def _merged(y: Tensor, phases: int) -> Tensor:
    """``(B, O, ..., phases * N)`` to ``(B, ..., N, phases * O)``: channels last, neighbors as channels."""
    return y.movedim(1, -1).unflatten(-2, (-1, phases)).flatten(-2)


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: list[int], wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    none, one = [0] * len(stride), [1] * len(stride)
    return torch.ops.aten.convolution_backward(
        gradient, x, dense(weight), None, stride, none, one, False, none, 1, wanted
    )
