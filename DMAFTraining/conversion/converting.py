"""Recognize a published state dict and turn it into the weights of our network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from DMAFTraining.conversion.m2ftrans import M2FTRANS
from DMAFTraining.conversion.mmformer import MMFORMER
from DMAFTraining.conversion.published import Published, Source, Weights
from DMAFTraining.conversion.reading import ConversionError
from DMAFTraining.conversion.rfnet import RFNET
from DMAFTraining.networks import build_network
from DMAFTraining.networks.base import NetworkConfig

PUBLISHED = (MMFORMER, RFNET, M2FTRANS)
_SHOWN = 3


@dataclass(frozen=True)
class Converted:
    """Published weights as ours.

    Attributes:
        published: where they come from.
        config: of our network.
        weights: its whole state dict in fp32, without heads of training.
        left_out: published names that a bundle does not need.
    """

    published: Published
    config: NetworkConfig
    weights: dict[str, Tensor]
    left_out: tuple[str, ...]

    @property
    def rounding(self) -> float:
        """Largest change of a weight when it is stored in half precision."""
        return max(float((weight - weight.half().float()).abs().max()) for weight in self.weights.values())


def convert(weights: Weights) -> Converted:
    """Our network with published weights.

    Raises:
        ConversionError: an unknown network, or one with missing, unexpected or ill-shaped weights.
    """
    published = recognize(weights)
    try:
        config = published.configure(weights)
        expected = _expected_shapes(config)
        sources = published.sources(config, expected)
        left_out = tuple(name for name in weights if name.startswith(published.left_out))
        _check_names(sources.values(), weights, left_out)
        ours = {name: _build(sources[name], weights, shape) for name, shape in expected.items()}
    except ConversionError as error:
        raise ConversionError(f"The checkpoint looks like {published.title}, but {error}.") from error
    return Converted(published, config, ours, left_out)


def recognize(weights: Weights) -> Published:
    """The network that a state dict belongs to, by its names.

    Raises:
        ConversionError: none that is known.
    """
    for published in PUBLISHED:
        if any(name.startswith(published.mark) for name in weights):
            return published
    known = ", ".join(published.title for published in PUBLISHED)
    raise ConversionError(
        f"The checkpoint is of no known network: its first weights are {_listed(list(weights))}. Known are {known}."
    )


def _expected_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            network = build_network(config, training_heads=False)
    except (RuntimeError, ValueError, ZeroDivisionError) as error:
        raise ConversionError(f"no such network can be built ({error})") from error
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


def _check_names(sources: Iterable[Source], weights: Weights, left_out: Sequence[str]) -> None:
    wanted = list(dict.fromkeys(name for source in sources for name in source.names))
    if missing := [name for name in wanted if name not in weights]:
        raise ConversionError(f"it lacks {_listed(missing)}")
    known = {*wanted, *left_out}
    if unexpected := [name for name in weights if name not in known]:
        raise ConversionError(f"it has unexpected weights: {_listed(unexpected)}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _build(source: Source, weights: Weights, shape: tuple[int, ...]) -> Tensor:
    parts = [weights[name] for name in source.names]
    try:
        made = source.make(*parts)
    except (IndexError, RuntimeError):  # blocks that cannot be told apart
        made = None
    if made is None or tuple(made.shape) != shape:
        shapes = " and ".join(str(tuple(part.shape)) for part in parts)
        raise ConversionError(f"{', '.join(source.names)} of shape {shapes} does not fit its other weights")
    return made.detach().float()
