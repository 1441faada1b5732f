"""Gradient scaling: Eq. (18) by hand, with gradients made to measure."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from DMAFTraining.balancing.monitor import MonitorSettings, gap_weights
from DMAFTraining.balancing.scaling import GradientScaling, ScalingSettings, gamma

BOTH = torch.ones(2, dtype=torch.bool)
HALF = torch.tensor([0.5, 0.5])


def encoders() -> nn.ModuleList:
    """Two encoders of three weights each, in two parameters."""
    return nn.ModuleList(
        nn.ParameterDict({"a": nn.Parameter(torch.zeros(2)), "b": nn.Parameter(torch.zeros(1))}) for _ in range(2)
    )


def set_gradient(encoder: nn.Module, values: tuple[float, float, float]) -> None:
    encoder["a"].grad, encoder["b"].grad = torch.tensor(values[:2]), torch.tensor(values[2:])


def gradient(encoder: nn.Module) -> list[float]:
    return torch.cat([encoder["a"].grad, encoder["b"].grad]).tolist()


def at_angle(cosine: float) -> tuple[float, float, float]:
    """A vector of length 2 whose cosine with the first axis is given."""
    return 2 * cosine, 0.0, 2 * math.sqrt(1 - cosine**2)


def test_gamma_of_the_worked_example() -> None:
    weights = gap_weights(torch.tensor([0.05, 0.1, 0.2, 0.4]), MonitorSettings())
    factors = gamma(weights, ScalingSettings())
    assert factors.tolist() == pytest.approx([1.875, 3.75, 7.5, 10.0], rel=1e-4)
    assert (weights * factors).tolist() == pytest.approx([1, 1, 1, 2 / 3], rel=1e-4)
    mean = gamma(weights, ScalingSettings(gamma_normalize="mean"))
    assert mean.tolist() == pytest.approx([value / 5.78125 for value in (1.875, 3.75, 7.5, 10.0)], rel=1e-4)


@pytest.mark.parametrize(("cosine", "factor"), [(-0.49, 2.0), (-0.51, 1.4), (0.9, 2.0), (-1.0, 1.4)])
def test_damping_when_the_direction_turns(cosine: float, factor: float) -> None:
    both, scaling = encoders(), GradientScaling(ScalingSettings(), encoders(), 2)
    set_gradient(both[0], (3.0, 0.0, 0.0))
    scaling.scale(both, HALF, BOTH)
    assert gradient(both[0]) == [6.0, 0.0, 0.0]  # no history: gamma = 1 / 0.5
    set_gradient(both[0], at_angle(cosine))
    scaling.scale(both, HALF, BOTH)
    assert scaling.similarity[0].item() == pytest.approx(cosine, abs=1e-6)
    assert gradient(both[0]) == pytest.approx([factor * value for value in at_angle(cosine)])
    assert scaling.curves()["damped"].tolist() == [int(factor == 1.4), 0]
    assert scaling.curves()["damped_rate"].tolist() == [0.5 if factor == 1.4 else 0.0, 0.0]


def test_the_history_is_raw_and_skips_steps_without_the_sequence() -> None:
    both, scaling = encoders(), GradientScaling(ScalingSettings(), encoders(), 2)
    set_gradient(both[0], (1.0, 0.0, 0.0))
    scaling.scale(both, HALF, BOTH)
    assert scaling.history_0.tolist() == [1.0, 0.0, 0.0]  # not the scaled one
    before = {name: value.clone() for name, value in scaling.state_dict().items()}
    set_gradient(both[0], (0.0, 0.0, 0.0))  # absent: zeros, as the reference gives
    set_gradient(both[1], (0.0, 5.0, 0.0))
    scaling.scale(both, HALF, torch.tensor([False, True]))
    after = scaling.state_dict()
    assert torch.equal(after["history_0"], before["history_0"])
    assert (after["steps"] - before["steps"]).tolist() == [0, 1]
    for encoder in both:
        encoder["a"].grad = encoder["b"].grad = None  # absent: no gradients at all
    scaling.scale(both, HALF, ~BOTH)
    assert both[0]["a"].grad is None
    set_gradient(both[0], (-1.0, 0.0, 0.0))
    scaling.scale(both, HALF, torch.tensor([True, False]))
    assert scaling.similarity.tolist() == [-1.0, 1.0]
    assert gradient(both[0]) == pytest.approx([-1.4, 0.0, 0.0])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_gradient_is_not_remembered(broken: float) -> None:
    both, scaling = encoders(), GradientScaling(ScalingSettings(), encoders(), 2)
    set_gradient(both[0], (1.0, 0.0, 0.0))
    scaling.scale(both, HALF, BOTH)
    set_gradient(both[0], (broken, 0.0, 0.0))
    scaling.scale(both, HALF, BOTH)
    assert scaling.history_0.tolist() == [1.0, 0.0, 0.0]
    assert scaling.similarity[0] == 1.0


def test_a_gradient_of_no_length_is_not_damped() -> None:
    both, scaling = encoders(), GradientScaling(ScalingSettings(), encoders(), 2)
    for values in ((1e-13, 0.0, 0.0), (-1.0, 0.0, 0.0)):
        set_gradient(both[0], values)
        scaling.scale(both, HALF, BOTH)
        assert scaling.similarity[0] == 1.0


def test_a_part_without_gradient_counts_as_zero() -> None:
    both, scaling = encoders(), GradientScaling(ScalingSettings(), encoders(), 2)
    both[0]["b"].grad = torch.tensor([4.0])
    scaling.scale(both, HALF, BOTH)
    assert scaling.history_0.tolist() == [0.0, 0.0, 4.0]


def test_learning_rates_instead_of_gradients() -> None:
    both, scaling = encoders(), GradientScaling(ScalingSettings(gamma_target="lr"), encoders(), 2)
    weights = torch.tensor([0.75, 0.25])  # gamma 4/3 and 4, their mean 8/3
    for values in ((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)):
        set_gradient(both[0], values)
        scaling.scale(both, weights, BOTH)
        assert gradient(both[0]) == list(values)
    assert scaling.factors(weights).tolist() == pytest.approx([0.7 * 0.5, 1.5])


@pytest.mark.parametrize("kept", [True, False])
def test_the_history_is_optional_in_checkpoints(kept: bool) -> None:
    scaling = GradientScaling(ScalingSettings(checkpoint_history=kept), encoders(), 2)
    names = [name for name in scaling.state_dict() if name.startswith("history")]
    assert names == (["history_0", "history_1"] if kept else [])
    GradientScaling(ScalingSettings(checkpoint_history=kept), encoders(), 2).load_state_dict(scaling.state_dict())


def test_no_factor_is_read_by_the_host() -> None:
    """On the meta device every read of a value fails."""
    both = encoders().to("meta")
    scaling = GradientScaling(ScalingSettings(), encoders(), 2).to("meta")
    for encoder in both:
        for parameter in encoder.parameters():
            parameter.grad = torch.zeros_like(parameter)
    weights: Tensor = HALF.to("meta")
    scaling.scale(both, weights, BOTH.to("meta"))
    assert scaling.factors(weights).shape == (2,)
