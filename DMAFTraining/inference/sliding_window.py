"""Sliding window over a case for many subsets at once: each window is encoded a single time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from DMAFTraining.networks.base import SegmentationNetwork

_SIGMA = 0.125  # of the window side
_SUBSETS_PER_DECODE = 4


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First voxels of the windows along one axis; the last window ends with the axis."""
    if size <= window:
        return [0]
    stride = max(1, int(window * (1 - overlap)))
    return [*range(0, size - window, stride), size - window]


def gaussian_weights(window: Sequence[int]) -> Tensor:
    """Blending weight of each voxel of a window ``(*window)``: a Gaussian of 1/8 of its side."""
    weights = torch.ones(())
    for side in window:
        x = torch.arange(side) - (side - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (x / (_SIGMA * side)) ** 2)
    return weights.clamp(min=max(float(weights.min()), 1e-3))


@torch.inference_mode()
def segment_subsets(
    network: SegmentationNetwork,
    images: Tensor,
    subsets: Sequence[Sequence[bool]],
    window: Sequence[int],
    overlap: float,
    temperature: float = 1.0,
    on_tile: Callable[[float], None] | None = None,
) -> Tensor:
    """Class probabilities of one case for every subset.

    Windows without any brain are left out (background). Blending is in fp32.

    Args:
        network: the model, in eval mode.
        images: ``(M, *S)`` on the working grid, zero where absent.
        subsets: presence flags, one row of M per subset.
        window: window size in voxels.
        overlap: share of the window that neighbors have in common.
        temperature: divides the logits.
        on_tile: told the finished fraction after each piece of work; may raise to stop.

    Returns:
        Probabilities ``(n, K, *S)``.
    """
    size = images.shape[1:]
    padded = _pad(images, window)
    flags = torch.tensor(subsets, dtype=torch.bool)
    available = flags.any(dim=0, keepdim=True)
    weights = gaussian_weights(window).to(images.device)
    places = [p for p in _places(padded.shape[1:], window, overlap) if bool(padded[_tile(p)].any())]
    chunks = [slice(i, i + _SUBSETS_PER_DECODE) for i in range(0, len(flags), _SUBSETS_PER_DECODE)]
    total: Tensor | None = None
    mass = torch.zeros(padded.shape[1:], device=images.device)
    for done, place in enumerate(places):
        features = network.encode(padded[_tile(place)][None], available)
        for n, chunk in enumerate(chunks):
            logits = network.decode(features, flags[chunk]).float() / temperature
            if total is None:
                total = torch.zeros(len(flags), logits.shape[1], *padded.shape[1:], device=images.device)
            total[(chunk, *_tile(place))] += F.softmax(logits, dim=1) * weights
            if on_tile:
                on_tile((done + (n + 1) / len(chunks)) / len(places))
        mass[place] += weights
    if total is None:
        raise ValueError("There is no brain to segment: every voxel is zero.")
    total /= mass.clamp(min=torch.finfo(torch.float32).tiny)
    total[:, 0][:, mass == 0] = 1
    return _unpad(total, size)


def _places(size: Sequence[int], window: Sequence[int], overlap: float) -> Iterator[tuple[slice, ...]]:
    axes = [window_starts(n, w, overlap) for n, w in zip(size, window, strict=True)]
    for corner in itertools.product(*axes):
        yield tuple(slice(start, start + w) for start, w in zip(corner, window, strict=True))


def _tile(place: tuple[slice, ...]) -> tuple[slice, ...]:
    return (slice(None), *place)


def _pad(images: Tensor, window: Sequence[int]) -> Tensor:
    """Surround with zeros, evenly, up to the size of one window."""
    missing = [max(0, w - n) for n, w in zip(images.shape[1:], window, strict=True)]
    widths = [(m // 2, m - m // 2) for m in missing]
    return F.pad(images, [int(n) for pair in reversed(widths) for n in pair]) if np.any(missing) else images


def _unpad(volume: Tensor, size: Sequence[int]) -> Tensor:
    for axis, part in enumerate(size, start=volume.dim() - len(size)):
        volume = volume.narrow(axis, (volume.shape[axis] - part) // 2, part)
    return volume
