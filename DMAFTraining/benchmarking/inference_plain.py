"""The plain path: what inference in ordinary PyTorch does, to compare the fast path with.

Subset by subset, window by window, each encoded again, one row at a time, in fp32. Every layer is its
textbook composition of PyTorch's own functions (reflection padding, convolution, instance norm, leaky
ReLU); weights, windows and blending are those of the fast path.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.inference.tiles import cut_tiles, gaussian_weights
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.networks.blocks import instance_norm
from DMAFTraining.networks.normactconv import NEGATIVE_SLOPE, border_conv, norm_act_conv

_NETWORKS = "DMAFTraining.networks."


def segment_plainly(
    network: SegmentationNetwork,
    images: Tensor,
    subsets: Sequence[Sequence[bool]],
    window: Sequence[int],
    overlap: float,
    temperature: float = 1.0,
) -> Tensor:
    """Class probabilities ``(n, K, *S)`` of ``images (M, *S)`` for each of ``subsets``, rows of M.

    Raises:
        ValueError: every voxel is zero.
    """
    flags = torch.tensor(subsets, dtype=torch.bool)
    tiles = cut_tiles(images, flags.any(dim=0), window, overlap)
    weights = gaussian_weights(window).to(images.device)
    mass = tiles.mass.to(images.device)
    results = []
    with torch.no_grad(), plain_layers():
        for row in flags.split(1):
            total = torch.zeros(network.config.classes, *mass.shape, device=images.device)
            for place in tiles.places:
                logits = network(tiles.images[(slice(None), *place)][None], row)
                total[(slice(None), *place)] += F.softmax(logits[0] / temperature, dim=0) * weights
            total /= mass.clamp(min=torch.finfo(torch.float32).tiny)
            total[0][mass == 0] = 1
            results.append(tiles.whole(total))
    return torch.stack(results)


@contextmanager
def plain_layers() -> Iterator[None]:
    """While it lasts, the layers of all networks are compositions of PyTorch's functions."""
    swaps: dict[Any, Any] = {norm_act_conv: _norm_act_conv, border_conv: _border_conv, instance_norm: F.instance_norm}
    places = [
        (module, name, swaps[value])
        for key, module in list(sys.modules.items())
        if key.startswith(_NETWORKS)
        for name, value in vars(module).items()
        if isinstance(value, Callable) and value in swaps  # type: ignore[arg-type]
    ]
    with _replaced([*places, (nn.GroupNorm, "forward", _instance_norm)]):
        yield


@contextmanager
def _replaced(places: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    try:
        for owner, name, value in places:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _norm_act_conv(
    maps: Sequence[Tensor], weight: Tensor, bias: Tensor | None = None, stride: int = 1, reflect: bool = True
) -> Tensor:
    x = torch.cat(list(maps), dim=1) if len(maps) > 1 else maps[0]
    return _border_conv(F.leaky_relu(F.instance_norm(x), NEGATIVE_SLOPE), weight, bias, stride, reflect)


def _border_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, reflect: bool = True
) -> Tensor:
    dims = x.dim() - 2
    if weight.shape[-1] > 1:
        x = F.pad(x, (1, 1) * dims, mode="reflect" if reflect else "constant")
    convolve = F.conv3d if dims == 3 else F.conv2d
    return convolve(x, weight, bias, stride)


def _instance_norm(layer: nn.GroupNorm, x: Tensor) -> Tensor:
    """What ``layer`` does if it has one group per channel, as all of the networks here."""
    return F.instance_norm(x, weight=layer.weight, bias=layer.bias, eps=layer.eps)
