"""Sliding window over a case for many subsets at once, all results together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from DMAFTraining.inference.engine import Engine
from DMAFTraining.networks.base import SegmentationNetwork


def segment_subsets(
    network: SegmentationNetwork,
    images: Tensor,
    subsets: Sequence[Sequence[bool]],
    window: Sequence[int],
    overlap: float,
    temperature: float | Sequence[float] = 1.0,
    on_tile: Callable[[float], None] | None = None,
) -> Tensor:
    """Class probabilities ``(n, K, *S)`` of one case for every subset, in fp32, where ``images`` are.

    See :meth:`~DMAFTraining.inference.engine.Engine.probabilities` for the arguments and errors.
    """
    found = Engine(network).probabilities(images, subsets, window, overlap, temperature, on_tile)
    return torch.stack([part.to(images.device) for part in found])
