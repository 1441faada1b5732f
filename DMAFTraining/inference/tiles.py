"""The windows of a case: where they lie, how they are weighted, and how their results come back together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Place = tuple[slice, ...]

_SIGMA = 0.125  # of the window side
_MARGIN = 4  # voxels around the brain


@dataclass(frozen=True)
class Tiles:
    """A case cut into windows.

    Attributes:
        images: ``(M, *P)``, the part of the case that shows brain, at least one window large.
        places: of the windows with brain in them, in ``images``.
        mass: ``(*P)``, the sum of the blending weights of those windows.
        box: the same part in the whole case.
        size: of the whole case.
    """

    images: Tensor
    places: tuple[Place, ...]
    mass: Tensor
    box: Place
    size: tuple[int, ...]

    def whole(self, part: Tensor) -> Tensor:
        """``part (K, *P)`` on the grid of the whole case ``(K, *S)``; background, the first class, around it."""
        inner = _unpad(part, [place.stop - place.start for place in self.box])
        if inner.shape[1:] == self.size:
            return inner
        result = part.new_zeros(len(part), *self.size)
        result[0] = 1
        result[(slice(None), *self.box)] = inner
        return result

    def part(self, whole: Tensor) -> Tensor:
        """``(C, *P)``, the part of ``whole (C, *S)`` that the windows lie in; zeros around the case."""
        return _pad(whole[(slice(None), *self.box)], self.mass.shape)


def cut_tiles(images: Tensor, available: Tensor, window: Sequence[int], overlap: float) -> Tiles:
    """Lay windows over the brain that any sequence of a case shows, whichever of them are read.

    Windows without any brain in those that are read are left out.

    Args:
        images: ``(M, *S)`` on the working grid, zero where absent.
        available: ``(M,)`` bool, the sequences that are read.
        window: window size in voxels.
        overlap: share of the window that neighbors have in common.

    Raises:
        ValueError: every voxel is zero.
    """
    shown = images != 0
    brain = shown[available.to(images.device)].any(dim=0).cpu()
    if not bool(brain.any()):
        raise ValueError("There is no brain to segment: every voxel is zero.")
    box = _brain_box(shown.any(dim=0).cpu(), window)
    part, brain = _pad(images[(slice(None), *box)], window), _pad(brain[box][None], window)[0]
    places = tuple(place for place in _places(brain.shape, window, overlap) if bool(brain[place].any()))
    weights = gaussian_weights(window)
    mass = torch.zeros(brain.shape)
    for place in places:
        mass[place] += weights
    return Tiles(part, places, mass, box, tuple(images.shape[1:]))


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


def _brain_box(brain: Tensor, window: Sequence[int]) -> Place:
    """The non-zero part of ``brain (*S)`` with a margin; where that is less than a window, a window."""
    box = []
    for axis, (size, side) in enumerate(zip(brain.shape, window, strict=True)):
        hit = brain.movedim(axis, 0).flatten(1).any(dim=1).nonzero()
        first, last = max(0, int(hit[0]) - _MARGIN), min(size, int(hit[-1]) + 1 + _MARGIN)
        lacking = max(0, min(side, size) - (last - first))
        first = min(max(0, first - lacking // 2), size - (last - first + lacking))
        box.append(slice(first, max(last, first + min(side, size))))
    return tuple(box)


def _places(size: Sequence[int], window: Sequence[int], overlap: float) -> Iterator[Place]:
    axes = [window_starts(n, w, overlap) for n, w in zip(size, window, strict=True)]
    for corner in itertools.product(*axes):
        yield tuple(slice(start, start + w) for start, w in zip(corner, window, strict=True))


def _pad(images: Tensor, window: Sequence[int]) -> Tensor:
    """Surround with zeros, evenly, up to the size of one window."""
    missing = [max(0, w - n) for n, w in zip(images.shape[1:], window, strict=True)]
    widths = [(m // 2, m - m // 2) for m in missing]
    return F.pad(images, [n for pair in reversed(widths) for n in pair]) if any(missing) else images


def _unpad(volume: Tensor, size: Sequence[int]) -> Tensor:
    for axis, part in enumerate(size, start=volume.dim() - len(size)):
        volume = volume.narrow(axis, (volume.shape[axis] - part) // 2, part)
    return volume
