"""What a name map is made of: where each of our tensors comes from in a published state dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from DMAFTraining.conversion.reading import ConversionError
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks.base import NetworkConfig

Weights = Mapping[str, Tensor]

SEQUENCES = ("flair", "t1ce", "t1", "t2")
"""The sequences in the order that all published networks have them in."""
PLACES = tuple(SEQUENCES.index(name) for name in BRATS.names)
"""For each sequence of ours its place among the published ones."""


def _same(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Source:
    """Where one of our tensors comes from.

    Attributes:
        names: published tensors it is made of.
        make: makes it of them.
    """

    names: tuple[str, ...]
    make: Callable[..., Tensor] = _same


@dataclass(frozen=True)
class Published:
    """A published network.

    Attributes:
        title: what a person reads.
        mark: beginning of names that only this network has.
        left_out: beginnings of names that a bundle does not need: heads of training, unused layers.
        configure: our configuration, from the shapes of the weights.
        sources: for a configuration and our names, where each of them comes from.
        window: sides of the window that the network was trained on, in voxels.
        citation: of the paper.
    """

    title: str
    mark: str
    left_out: tuple[str, ...]
    configure: Callable[[Weights], NetworkConfig]
    sources: Callable[[NetworkConfig, Iterable[str]], dict[str, Source]]
    window: Callable[[NetworkConfig], tuple[int, ...]]
    citation: str


def by_module(names: Iterable[str], modules: Iterable[tuple[str, str]]) -> dict[str, Source]:
    """Sources of the tensors in modules that differ in nothing but the name of the module.

    Args:
        names: ours.
        modules: our and the published name of each module; none lies inside another.
    """
    published = dict(modules)
    found = {}
    for name in names:
        words = name.split(".")
        heads = (".".join(words[:count]) for count in range(1, len(words)))
        if module := next((head for head in heads if head in published), None):
            found[name] = Source((published[module] + name.removeprefix(module),))
    return found


def reordered(source: Source, dim: int = 1) -> Source:
    """The source with its blocks along ``dim``, one per sequence, in our order."""
    return Source(source.names, partial(in_our_order, dim=dim))


def in_our_order(tensor: Tensor, dim: int) -> Tensor:
    """A published tensor whose axis ``dim`` is one block per sequence, with the blocks in our order."""
    blocks = tensor.unflatten(dim, (len(SEQUENCES), -1)).unbind(dim)
    return torch.cat([blocks[place] for place in PLACES], dim)


def size(weights: Weights, name: str, axis: int = 0) -> int:
    """Length of a published tensor along an axis.

    Raises:
        ConversionError: there is no such tensor, or it has no such axis.
    """
    if name not in weights:
        raise ConversionError(f"it lacks {name}")
    if weights[name].dim() <= axis:
        raise ConversionError(f"{name} has the shape {tuple(weights[name].shape)}")
    return weights[name].shape[axis]


def cube_side(weights: Weights, name: str, grids: int = 1) -> int:
    """Tokens per axis of one or several cubic grids, whose positions are axis 1 of a published tensor.

    Raises:
        ConversionError: there is no such tensor, or its length is not that of such grids.
    """
    tokens = size(weights, name, axis=1)
    side = round((tokens / grids) ** (1 / 3))
    if not tokens or grids * side**3 != tokens:
        raise ConversionError(f"{name} has {tokens} positions, which are not those of {grids} cubic grids")
    return side
