"""How much work one window is: operations and bytes that no implementation can do without."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from DMAFTraining.benchmarking.inference_plain import plain_layers
from DMAFTraining.networks.base import SegmentationNetwork

_PRODUCTS = ("convolution", "mm", "addmm", "bmm", "baddbmm")


def count_work(network: SegmentationNetwork, images: Tensor, rows: Tensor, itemsize: int) -> tuple[float, float]:
    """Operations and bytes of one window, encoded once and decoded for each of ``rows (R, M)``.

    Counted on the plain layers, so that what the fast ones do on top counts as loss. Bytes: the
    images and the weights once, and what every convolution and matrix product gives, written once
    and read once.

    Args:
        network: in eval mode; afterwards its parameters have no gradients.
        images: ``(1, M, *window)``.
        rows: presence flags.
        itemsize: bytes per number.
    """
    network.requires_grad_(False)  # the counter's hooks fail on parameters that are passed on without a graph
    products = _ProductSizes()
    with torch.no_grad(), plain_layers(), FlopCounterMode(display=False) as flops, products:
        features = network.encode(images, rows.any(dim=0, keepdim=True))
        for row in rows.split(1):
            network.decode(features, row)
    weights = sum(p.numel() for p in network.parameters())
    return float(flops.get_total_flops()), float(itemsize * (images.numel() + weights + 2 * products.numbers))


class _ProductSizes(TorchDispatchMode):
    """Adds up how many numbers convolutions and matrix products give."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in _PRODUCTS:
            self.numbers += result.numel()
        return result
