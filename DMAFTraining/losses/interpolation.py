"""Linear up-sampling as one small matrix per axis.

Interpolating a grid is a matrix product along each axis. On a CPU these products are several times
faster than the direct kernels, above all backward, where they are the transposed products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def linear_weights(coarse: int, fine: int, like: Tensor) -> Tensor:
    """Matrix ``(fine, coarse)`` that interpolates linearly between ``coarse`` samples, corners aligned.

    Fine sample i lies at ``i (coarse - 1) / (fine - 1)``; the weight of coarse sample j is one minus
    its distance, not below 0. Numerators are integers, so each weight is rounded once.
    """
    steps = max(fine - 1, 1)
    position = torch.arange(fine, device=like.device)[:, None] * (coarse - 1)
    sample = torch.arange(coarse, device=like.device) * steps
    return (steps - (position - sample).abs()).clamp(min=0).to(like.dtype) / steps


class LinearUpsampling:
    """Up-sampling of maps ``(K, *coarse)`` to ``(K, *fine)``, as ``networks.blocks.upsample`` does it.

    Args:
        coarse: grid of the input.
        fine: grid of the output, with as many axes.
        like: gives device and precision.

    Attributes:
        shares: ``(*coarse)``, the sum of each sample's weights: what it adds to the sum over the fine grid.
    """

    def __init__(self, coarse: Sequence[int], fine: Sequence[int], like: Tensor) -> None:
        sizes = list(zip(coarse, fine, strict=True))
        self.weights = {axis: linear_weights(n, m, like) for axis, (n, m) in enumerate(sizes) if n != m}
        self.shares = torch.ones(tuple(coarse), device=like.device, dtype=like.dtype)
        for axis, weight in self.weights.items():
            self.shares *= weight.sum(0).view(-1, *(1,) * (len(sizes) - 1 - axis))

    def __call__(self, x: Tensor) -> Tensor:
        for axis in reversed(self.weights):  # the last one first: then the large products run along memory
            x = _along(x, self.weights[axis], axis + 1)
        return x


def _along(x: Tensor, weight: Tensor, dim: int) -> Tensor:
    if dim == x.dim() - 1:
        return x @ weight.T
    return (weight @ x.flatten(dim + 1)).unflatten(-1, x.shape[dim + 1 :])
