"""The convolutional encoder of one sequence, and how the encoders of a network run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from DMAFTraining.networks.blocks import NormActConv, convolution
from DMAFTraining.networks.lean import is_lean


class Encoder(nn.Module):
    """Five residual levels, each half the size and twice the width of the one before.

    Args:
        dims: 2 or 3.
        width: channels at full resolution.
        levels: number of resolutions.
        bottleneck: replaces the coarsest features by its own output of the same shape.
    """

    def __init__(self, dims: int, width: int, levels: int, bottleneck: nn.Module | None = None) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(levels)]
        self.entries = nn.ModuleList([convolution(dims, 1, width, 3)])
        for below, here in itertools.pairwise(channels):
            self.entries.append(NormActConv(dims, below, here, stride=2))
        self.residuals = nn.ModuleList(
            nn.Sequential(NormActConv(dims, c, c), NormActConv(dims, c, c)) for c in channels
        )
        self.bottleneck = bottleneck

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of ``(B, 1, *S)`` per level, ``(B, width * 2**l, *S / 2**l)``, finest first."""
        features = residual_levels(self.entries, self.residuals, x)
        if self.bottleneck is not None:
            features[-1] = self.bottleneck(features[-1])
        return features


def residual_levels(entries: nn.ModuleList, residuals: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """Features per level: each entry goes on from the level before, its residual block adds to it."""
    features = []
    for entry, residual in zip(entries, residuals, strict=True):
        x = entry(x)
        x = residual(x).add_(x) if is_lean(x) else x + residual(x)
        features.append(x)
    return features


def encode_present(
    encoders: Sequence[Callable[[Tensor], Sequence[Tensor]]], images: Tensor, present: Tensor
) -> list[Tensor]:
    """Run each sequence's encoder on the cases that have it.

    Args:
        encoders: one per sequence; turns ``(B', 1, *S)`` into tensors ``(B', ...)``.
        images: ``(B, M, *S)``; absent content is never read.
        present: ``(B, M)`` bool on the CPU, True at least once.

    Returns:
        Per tensor of the encoders, ``(B, M, ...)``, zero where absent.
    """
    if is_lean(images):
        return _encode_into_place(encoders, images, present)
    flags = present.tolist()
    encoded: dict[tuple[int, int], tuple[Tensor, ...]] = {}
    for m, encoder in enumerate(encoders):
        if cases := [b for b, row in enumerate(flags) if row[m]]:
            outputs = encoder(torch.stack([images[b, m : m + 1] for b in cases]))
            for b, levels in zip(cases, zip(*(level.split(1) for level in outputs), strict=True), strict=True):
                encoded[b, m] = levels
    zeros = [torch.zeros_like(level) for level in next(iter(encoded.values()))]
    places = [(b, m) for b in range(len(flags)) for m in range(len(flags[b]))]
    stacks = zip(*(encoded.get(place, zeros) for place in places), strict=True)
    return [torch.cat(entries).unflatten(0, present.shape) for entries in stacks]


def _encode_into_place(
    encoders: Sequence[Callable[[Tensor], Sequence[Tensor]]], images: Tensor, present: Tensor
) -> list[Tensor]:
    """:func:`encode_present` that never holds what it returns twice."""
    encoded: list[Tensor] = []
    for m, encoder in enumerate(encoders):
        if cases := present[:, m].nonzero().flatten().tolist():
            outputs = encoder(torch.stack([images[b, m : m + 1] for b in cases]))
            encoded = encoded or [_room(level, present.shape) for level in outputs]
            for whole, level in zip(encoded, outputs, strict=True):
                for b, own in zip(cases, level, strict=True):
                    whole[b, m] = own
    for whole, (b, m) in itertools.product(encoded, (~present).nonzero().tolist()):
        whole[b, m] = 0
    return encoded


def _room(level: Tensor, shape: Sequence[int]) -> Tensor:
    """Memory for ``(*shape, ...)`` tensors like each of ``level (B', ...)``, laid out like them."""
    cases, sequences, size = *shape, level[0].numel()
    strides = (sequences * size, size, *level.stride()[1:])
    return torch.empty_strided((cases, sequences, *level.shape[1:]), strides, dtype=level.dtype, device=level.device)
