"""Learning rates and parameter groups."""

from __future__ import annotations

import pytest
import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.base import Task
from DMAFTraining.balancing.dmaf import DMAFBalancing
from DMAFTraining.networks.dmafnet import DMAFNet
from DMAFTraining.training.config import OptimizerConfig
from DMAFTraining.training.optimizer import build_optimizer, learning_rate
from tiny import TINY


def test_published_schedule_changes_once_per_epoch() -> None:
    config = OptimizerConfig()
    rates = {epoch: learning_rate(config, epoch * 219, 219, 300) for epoch in (0, 100, 200, 299)}
    assert rates == pytest.approx({0: 2e-4, 100: 1.3885e-4, 200: 7.441e-5, 299: 1.18e-6}, rel=1e-3)
    assert learning_rate(config, 100 * 219 + 218, 219, 300) == rates[100]


def test_schedule_by_step_and_warm_up() -> None:
    config = OptimizerConfig(learning_rate=1.0, schedule="poly-step", power=1.0, warmup_steps=3)
    assert [learning_rate(config, step, 5, 2) for step in range(3)] == [0.25, 0.5, 0.75]
    assert learning_rate(config, 5, 5, 2) == pytest.approx(0.5)
    assert learning_rate(OptimizerConfig(learning_rate=0.1, schedule="constant"), 9, 5, 2) == 0.1


def test_every_parameter_is_in_one_group_and_alpha_does_not_decay() -> None:
    network = DMAFNet(TINY)
    strategy = build_strategy(DMAFBalancing(), Task(4, (1.0,) * 4, 1), network)
    groups = build_optimizer(OptimizerConfig(weight_decay=0.3), network, strategy).param_groups
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for module in (network, strategy) for p in module.parameters())
    for group, encoder in zip(groups, network.encoders, strict=False):
        assert {id(p) for p in group["params"]} == {id(p) for p in encoder.parameters()}
    assert strategy.distillation is not None
    free = [p for group in groups if group["weight_decay"] == 0 for p in group["params"]]
    assert [id(p) for p in free] == [id(strategy.distillation.alpha)]


def test_fused_step_is_skipped_on_the_device_when_gradients_are_not_finite() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, amsgrad=True, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    for value in (float("nan"), float("inf")):
        scaler.scale(weight.sum())
        weight.grad = torch.tensor([1.0, value, 1.0])
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert weight.tolist() == [1, 1, 1]
    weight.grad = torch.ones(3)
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert (weight < 1).all()
