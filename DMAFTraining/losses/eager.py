"""Losses whose gradient is ready before backward starts, so that nothing of full resolution is kept.

Autograd keeps every intermediate of a loss until backward, for all rows of the batch at once. But a
loss is one number per row: its gradient can be computed row by row during forward and is all that has
to be kept. Peak memory is then that of one row, the working set stays in the processor's cache, and
backward is one multiplication.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RowLoss = Callable[..., Tensor]
"""``loss(row, *inputs)``: a scalar from row number ``row`` of every input, each without the row axis."""


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` in fp32, or as it is where it is more precise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def eager_rows(loss: RowLoss, *inputs: Tensor) -> Tensor:
    """Apply ``loss`` to each row of ``inputs`` in order, with its gradient computed on the way.

    ``loss`` gets detached rows in fp32 (or fp64) with autocast off; whatever else it reads is a
    constant. Without gradient mode, or where no input needs a gradient, only values are computed.

    Args:
        loss: the loss of a row.
        inputs: tensors ``(R, ...)``.

    Returns:
        One value per row ``(R,)``, differentiable once.
    """
    return _EagerRows.apply(loss, torch.is_grad_enabled(), *inputs)


class _EagerRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: RowLoss, differentiate: bool, *inputs: Tensor) -> Tensor:
        needed = [differentiate and needs for needs in ctx.needs_input_grad[2:]]
        gradients = [_room_for_gradient(x) if needs else None for x, needs in zip(inputs, needed, strict=True)]
        values = at_least_float32(inputs[0].new_empty(len(inputs[0])))
        for row in range(len(values)):
            leaves = [at_least_float32(x[row].detach()) for x in inputs]
            values[row], found = _value_and_gradients(loss, row, leaves, needed)
            for gradient, of_row in zip((g for g in gradients if g is not None), found, strict=True):
                gradient[row] = of_row
        ctx.save_for_backward(*gradients)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if g is None else _scale_rows(g, weights) for g in ctx.saved_tensors)


def _value_and_gradients(
    loss: RowLoss, row: int, leaves: Sequence[Tensor], needed: Sequence[bool]
) -> tuple[Tensor, Sequence[Tensor]]:
    """Detached value of a row, and the gradients that are ``needed``."""
    wanted = [x.requires_grad_() for x, needs in zip(leaves, needed, strict=True) if needs]
    with torch.set_grad_enabled(bool(wanted)), torch.autocast(leaves[0].device.type, enabled=False):
        value = loss(row, *leaves)
        return value.detach(), torch.autograd.grad(value, wanted) if wanted else ()


def _room_for_gradient(x: Tensor) -> Tensor:
    """Empty tensor for the gradient of ``x``, in its precision; but not fp16: loss scaling comes only in backward."""
    return torch.empty_like(x, dtype=torch.float32 if x.dtype == torch.float16 else x.dtype)


def _scale_rows(gradient: Tensor, weights: Tensor) -> Tensor:
    return gradient * weights.to(gradient.dtype).view(-1, *(1,) * (gradient.dim() - 1))
