"""Weights that a run starts from in place of random ones."""

from __future__ import annotations

from pathlib import Path

from DMAFTraining.inference.bundle import load_bundle
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training.checkpoint import load_checkpoint


def start_from(network: SegmentationNetwork, path: Path) -> None:
    """Give a network the weights of a checkpoint, or those of a model file.

    A model file lacks the parts that only training uses; these keep what they have.

    Raises:
        ValueError: the file cannot be used, or is of another network.
    """
    if path.suffix != ".safetensors":
        network.load_state_dict(load_checkpoint(path, next(network.parameters()).device)["result"])
        return
    weights = load_bundle(path).network.state_dict()
    try:
        lacking, strange = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{path} is of a network of another shape than this run's; start without it.") from error
    if strange or not all(name.startswith(type(network).training_only) for name in lacking):
        raise ValueError(f"{path} is of another network than this run's; start without it.")
