"""Sums over all ranks, so that what a strategy measures does not depend on how a batch is split."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all ranks; the tensor itself where nothing is distributed."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total
