"""Starting from a model file: everything it has is taken, the rest stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from DMAFTraining.inference.bundle import load_bundle
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from DMAFTraining.networks.unet import UNet, UNetConfig
from DMAFTraining.training.initial import start_from
from tiny import TINY, write_tiny_bundle


def test_a_model_gives_its_weights_and_training_heads_keep_theirs(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path / "tiny.safetensors", seed=3)
    torch.manual_seed(1)
    network = DMAFNet(TINY)
    heads = {name: w.clone() for name, w in network.state_dict().items() if name.startswith(network.training_only)}
    start_from(network, path)
    stored, now = load_bundle(path).network.state_dict(), network.state_dict()
    assert len(heads) > 0
    assert set(stored) | set(heads) == set(now)
    assert all(torch.equal(now[name], weight) for name, weight in {**stored, **heads}.items())


def test_a_model_of_another_network_is_refused(tmp_path: Path) -> None:
    path = write_tiny_bundle(tmp_path / "tiny.safetensors")
    wider = DMAFNet(DMAFNetConfig(width=4, grid=(2, 2, 2), layers=1, channels_per_head=2))
    with pytest.raises(ValueError, match="a network of another shape"):
        start_from(wider, path)
    with pytest.raises(ValueError, match="of another network"):
        start_from(UNet(UNetConfig(width=2)), path)
