"""Networks by name; every one has ``encode``, ``decode`` and a ``config_class``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.networks.dmafnet import DMAFNet

NETWORKS = {"dmafnet": DMAFNet}

TRAINING_ONLY = ("unimodal_decoder.", "deep_heads.")
"""Name prefixes of weights that only training uses; a bundle does not carry them."""


def build_network(name: str, config: Mapping[str, Any], training_heads: bool = True) -> SegmentationNetwork:
    """A network from its registered name and a plain configuration.

    Raises:
        ValueError: an unknown network or an unknown field of its configuration.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known are {', '.join(NETWORKS)}")
    network = NETWORKS[name]
    known = {f.name for f in fields(network.config_class)}
    if unknown := sorted(set(config) - known):
        raise ValueError(f"network {name!r} has no setting {', '.join(unknown)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    return network(network.config_class(**values), training_heads=training_heads)
