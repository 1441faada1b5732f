"""Prototype alignment: by hand, bounds, and who learns from whom."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import literal_losses as literal
from DMAFTraining.losses.directions import unit
from DMAFTraining.losses.prototype import class_weights, prototype_distance, prototypes
from DMAFTraining.losses.segmentation import one_hot


def random_case(size: tuple[int, ...], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features of student and teacher ``(2, 5, *size)``, and weights of 3 classes that are all there."""
    generator = torch.Generator().manual_seed(seed)
    e, f = (torch.randn(2, 5, *size, generator=generator) for _ in range(2))
    labels = torch.randint(0, 3, (2, *(4 * n for n in size)), generator=generator)
    return e, f, class_weights(one_hot(labels, 3), size)


def test_class_weights_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, 1]]])
    assert class_weights(one_hot(labels, 2), (1, 2)).tolist() == [[[[0.75, 0]], [[0.25, 1]]]]


def test_prototypes_by_hand() -> None:
    # One channel with values 1, 2, 6 and weights 1, 1/2, 0 and 0, 1/4, 1/4.
    weights = torch.tensor([[[1.0, 0.5, 0.0], [0.0, 0.25, 0.25]]])
    found = prototypes(torch.tensor([[[1.0, 2.0, 6.0]]]), weights)
    assert found.flatten().tolist() == pytest.approx([2 / 1.5, 2 / 0.5], rel=1e-4)
    assert prototypes(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)).item() == 0


@pytest.mark.parametrize("size", [(2, 3), (2, 3, 1)])
def test_pooled_weights_equal_features_repeated_to_full_resolution(size: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 5, *size, generator=generator)
    target = one_hot(torch.randint(0, 3, (1, *(4 * n for n in size)), generator=generator), 3)
    full = features
    for axis in range(2, features.dim()):
        full = full.repeat_interleave(4, axis)
    expected = prototypes(full, target, epsilon=0)
    torch.testing.assert_close(prototypes(features, class_weights(target, size), epsilon=0), expected)


def test_distance_by_hand() -> None:
    # Class 0 averages the first two places, class 1 has the third to itself, class 2 is nowhere.
    weights = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]]])
    e = torch.tensor([[[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]]])  # prototypes (1, 0) and (0, 3)
    f = torch.tensor([[[3.0, 3.0, 0.0], [4.0, 4.0, -1.0]]])  # prototypes (3, 4) and (0, -1)
    distance, valid = prototype_distance(e, f, weights, tau=0.5)
    assert distance[0].tolist() == pytest.approx([(1 - 0.6) / 0.5, 2 / 0.5, 0], abs=1e-6)
    assert valid.tolist() == [[True, True, False]]


@pytest.mark.parametrize("size", [(2, 3), (2, 3, 2)])
def test_equals_the_formula(size: tuple[int, ...]) -> None:
    e, f, weights = random_case(size)
    e.requires_grad_()
    found, valid = prototype_distance(e, f, weights, 0.7)
    expected = literal.prototype_distance(e, f, weights, 0.7)
    assert valid.all()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(loss.sum(), e)[0] for loss in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tau=st.floats(0.05, 20), scale=st.floats(0.01, 100))
def test_bounds_and_independence_of_scale(seed: int, tau: float, scale: float) -> None:
    e, f, weights = random_case((2, 2), seed)
    distance, _ = prototype_distance(e, f, weights, tau)
    assert (distance >= 0).all()
    assert (distance <= 2 / tau * (1 + 1e-5)).all()
    torch.testing.assert_close(prototype_distance(scale * e, f, weights, tau)[0], distance, rtol=1e-4, atol=1e-5 / tau)


def test_equal_features_have_no_distance_and_opposite_ones_the_largest() -> None:
    e, _, weights = random_case((2, 3))
    assert prototype_distance(e, e, weights, 1.0)[0].tolist() == [[0] * 3] * 2
    torch.testing.assert_close(prototype_distance(e, -e, weights, 0.5)[0], torch.full((2, 3), 4.0))


def test_the_student_learns_only_from_classes_that_are_there() -> None:
    e, f, weights = random_case((2, 3))
    weights[:, 1] = 0
    e.requires_grad_()
    distance, valid = prototype_distance(e, f, weights, 1.0)
    assert valid.tolist() == [[True, False, True]] * 2
    assert distance[:, 1].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(distance[:, 1].sum(), e, retain_graph=True)
    assert not gradient.any()
    distance.sum().backward()
    assert e.grad.isfinite().all()
    assert e.grad.abs().sum() > 0


def test_features_that_are_all_zero_break_nothing() -> None:
    e, f, weights = random_case((2, 3))
    zero = torch.zeros_like(e, requires_grad=True)
    distance, _ = prototype_distance(zero, f, weights, 1.0)
    distance.sum().backward()
    assert not zero.grad.any()
    assert distance.isfinite().all()


def test_unit_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    found = unit(x, 1)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    found.sum().backward()
    # d(u_1 + u_2)/dx = (I - u u^T)(1, 1) / 5 = ((0.16, -0.12) ...)
    torch.testing.assert_close(x.grad, torch.tensor([[(1 - 0.6 * 1.4) / 5, (1 - 0.8 * 1.4) / 5], [0, 0]]))
    assert unit(torch.tensor([[torch.nan, 1.0]]), 1).isnan().any()


def test_temperature_must_be_positive() -> None:
    e, f, weights = random_case((2, 2))
    with pytest.raises(ValueError, match="above 0"):
        prototype_distance(e, f, weights, 0.0)


def test_autocast_does_not_lower_the_precision() -> None:
    e, f, weights = random_case((2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = prototype_distance(e, f, weights, 1.0)
    assert found.equal(prototype_distance(e, f, weights, 1.0)[0])
