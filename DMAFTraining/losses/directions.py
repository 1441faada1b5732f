"""Vectors of length one."""

from __future__ import annotations

import torch
from torch import Tensor

_SHORTEST = 1e-8


def unit(x: Tensor, dim: int) -> Tensor:
    """``x`` over its length along ``dim``; a vector without direction becomes zero and has no gradient."""
    return x * inverse_length(x, dim)


def inverse_length(x: Tensor, dim: int) -> Tensor:
    """One over the length of ``x`` along ``dim``, which stays as an axis of size 1; 0 for a vector of none."""
    squared = x.square().sum(dim, keepdim=True)
    return torch.where(squared <= _SHORTEST**2, 0, squared.clamp(min=_SHORTEST**2).rsqrt())
