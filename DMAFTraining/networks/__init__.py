"""Networks by name; a network is built from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from DMAFTraining.networks.base import NetworkConfig, SegmentationNetwork
from DMAFTraining.networks.dmafnet import DMAFNet
from DMAFTraining.networks.m2ftrans import M2FTrans
from DMAFTraining.networks.mmformer import MMFormer
from DMAFTraining.networks.rfnet import RFNet
from DMAFTraining.networks.unet import UNet

NETWORKS: dict[str, type[SegmentationNetwork]] = {
    "dmafnet": DMAFNet,
    "mmformer": MMFormer,
    "rfnet": RFNet,
    "m2ftrans": M2FTrans,
    "unet": UNet,
}


def network_config(name: str, values: Mapping[str, Any]) -> NetworkConfig:
    """The configuration of a registered network from plain values, as a bundle stores them.

    Raises:
        ValueError: an unknown network or an unknown field of its configuration.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known are {', '.join(NETWORKS)}")
    config_class = NETWORKS[name].config_class
    if unknown := sorted(set(values) - {f.name for f in fields(config_class)}):
        raise ValueError(f"network {name!r} has no setting {', '.join(unknown)}")
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return config_class(**arguments)


def network_name(config: NetworkConfig) -> str:
    """The registered name of the network that a configuration belongs to."""
    return next(name for name, network in NETWORKS.items() if network.config_class is type(config))


def build_network(config: NetworkConfig, training_heads: bool = True) -> SegmentationNetwork:
    """The network of a configuration.

    Args:
        config: of a registered network.
        training_heads: build the parts that only training uses.
    """
    return NETWORKS[network_name(config)](config, training_heads)
