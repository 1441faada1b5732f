"""Any backbone trains with any strategy: optimizer steps with 1 to M sequences, in 2-D and 3-D."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from DMAFTraining.balancing import STRATEGY_NAMES, build_strategy
from DMAFTraining.data.batch import Batch
from DMAFTraining.data.config import DataConfig
from DMAFTraining.networks import NETWORKS
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training.config import OptimizerConfig, TrainingConfig
from DMAFTraining.training.stepper import Stepper
from tiny_training import tiny_sample, tiny_task

CLASSES = 4
RATE = 1e-3
SMALL: dict[str, dict[str, Any]] = {
    "dmafnet": {"grid": 2, "layers": 1, "channels_per_head": 2, "dropout": 0.0},
    "mmformer": {"window": 2, "dropout": 0.0},
    "rfnet": {},
    "m2ftrans": {"window": 2, "depth": 1, "hidden": 16, "dropout": 0.0},
    "unet": {},
}
TERMS = {
    "none": {"fuse", "sep"},
    "moddrop": {"fuse", "sep"},
    "pmr": {"fuse", "sep", "prototype"},
    "passion": {"fuse", "sep", "pixel", "semantic"},
    "dmaf": {"fuse", "sep", "covariance", "attention", "relation", "prototype"},
}
EVERY = [(network, strategy) for network in NETWORKS for strategy in STRATEGY_NAMES]
MATRIX = pytest.mark.parametrize(("network", "strategy"), EVERY, ids=[f"{n}-{s}" for n, s in EVERY])


def _stepper(network: str, strategy: str, dims: int, modalities: int) -> Stepper:
    """A tiny backbone and a strategy in training; without weight decay only gradients move weights."""
    torch.manual_seed(0)
    small = {key: (value,) * dims if key in ("grid", "window") else value for key, value in SMALL[network].items()}
    backbone_class = NETWORKS[network]
    config = backbone_class.config_class(modalities=modalities, classes=CLASSES, dims=dims, width=2, **small)
    backbone = backbone_class(config).train()
    balancing = build_strategy(STRATEGY_NAMES[strategy](), tiny_task(modalities, CLASSES), backbone).train()
    run = TrainingConfig(Path(), DataConfig(root=Path()), optimizer=OptimizerConfig(weight_decay=0.0), precision="fp32")
    return Stepper(run, backbone, balancing, torch.device("cpu"))


def _check_step(stepper: Stepper, strategy: str, sample: Batch) -> None:
    """Loss and terms are finite; encoders of what exists learn, the others are left alone."""
    network = stepper.network
    before = [copy.deepcopy(encoder.state_dict()) for encoder in network.encoders]
    shared = _shared_weights(network)
    stepper.step([sample], RATE)
    values = stepper.meter.take()
    assert set(values) == TERMS[strategy] | {"loss", "gradient_norm", "patches_per_second"}
    assert all(map(math.isfinite, values.values()))
    assert values["fuse"] > 0
    assert not stepper.skipped
    for m, (encoder, old) in enumerate(zip(network.encoders, before, strict=True)):
        gradients = [p.grad for p in encoder.parameters()]
        same = [torch.equal(value, old[name]) for name, value in encoder.state_dict().items()]
        if sample.available[:, m].any():
            assert any(g is not None and g.any() for g in gradients)
            assert not all(same)
        else:
            assert all(g is None for g in gradients)
            assert all(same)
    assert not torch.equal(_shared_weights(network), shared)


def _shared_weights(network: SegmentationNetwork) -> Tensor:
    """A copy of everything outside the encoders."""
    return torch.cat([p.detach().flatten() for name, p in network.named_parameters() if "encoders." not in name])


@MATRIX
def test_every_subset_in_two_dimensions(network: str, strategy: str) -> None:
    """One, two and three sequences, one case after another; encoders that already moved stand still when absent."""
    stepper = _stepper(network, strategy, 2, 3)
    for number, flags in enumerate(itertools.product("01", repeat=3)):
        if "1" in flags:
            _check_step(stepper, strategy, tiny_sample(["".join(flags)], dims=2, seed=number))


@MATRIX
def test_mixed_cases_and_hidden_sequences(network: str, strategy: str) -> None:
    """Cases with different sequences in one batch; sequences that exist and that the fused prediction does not see."""
    stepper = _stepper(network, strategy, 2, 4)
    _check_step(stepper, strategy, tiny_sample(["1010", "0010"], dims=2))
    _check_step(stepper, strategy, tiny_sample(["1110"], ["0100"], dims=2, seed=1))


@MATRIX
def test_a_task_with_one_sequence(network: str, strategy: str) -> None:
    """Nothing to balance, nothing to fuse: still a step like any other."""
    _check_step(_stepper(network, strategy, 2, 1), strategy, tiny_sample(["1"], dims=2))


@MATRIX
def test_one_to_all_sequences_in_three_dimensions(network: str, strategy: str) -> None:
    stepper = _stepper(network, strategy, 3, 2)
    for number, flags in enumerate(("11", "01")):
        _check_step(stepper, strategy, tiny_sample([flags], seed=number))


@pytest.mark.parametrize("strategy", [name for name in STRATEGY_NAMES if name != "moddrop"])  # its loss is that of none
@pytest.mark.parametrize("network", NETWORKS)
def test_steps_lower_the_fused_loss_of_their_sample(network: str, strategy: str) -> None:
    """Not the total: its gates are decided anew at each step, and its teachers, which have no gradient, move."""
    stepper, sample = _stepper(network, strategy, 2, 3), tiny_sample(["111"], dims=2)
    losses = []
    for _ in range(3):
        stepper.step([sample], RATE)
        losses.append(stepper.meter.take()["fuse"])
    assert losses[-1] < losses[0]
