"""Segmentation loss against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from DMAFTraining.losses.segmentation import (
    cross_entropy,
    deep_supervision_loss,
    one_hot,
    segmentation_loss,
    soft_dice,
)


def test_perfect_background_costs_three_quarters() -> None:
    target = one_hot(torch.zeros(1, 2, 2, 2), 4)
    assert soft_dice(target, target).item() == pytest.approx(0.75, abs=1e-6)


def test_dice_by_hand() -> None:
    # Two voxels, two classes: truth (0, 1), p1 = (0.2, 0.6). Class 0: 2*0.8/(1.2+1); class 1: 2*0.6/(0.8+1).
    target = one_hot(torch.tensor([[0, 1]]), 2)
    p = torch.tensor([[[0.8, 0.4], [0.2, 0.6]]])
    assert soft_dice(p, target).item() == pytest.approx(1 - (1.6 / 2.2 + 1.2 / 1.8) / 2, abs=1e-6)


def test_cross_entropy_by_hand() -> None:
    # Three voxels of class 0, one of class 1, p(true) = 1/2 everywhere: weights 1/4 and 3/4.
    target = one_hot(torch.tensor([[0, 0, 0, 1]]), 2)
    logp = torch.full((1, 2, 4), math.log(0.5))
    assert cross_entropy(logp, target).item() == pytest.approx((3 * 0.25 + 0.75) / 4 * math.log(2), abs=1e-6)
    assert cross_entropy(logp, target, weighted=False).item() == pytest.approx(math.log(2), abs=1e-6)


def test_background_only_patch_has_no_weighted_cross_entropy() -> None:
    target = one_hot(torch.zeros(1, 3, 3), 4)
    assert cross_entropy(torch.full((1, 4, 3, 3), math.log(0.25)), target).item() == 0


def test_batch_is_a_mean_over_samples() -> None:
    logits = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    target = one_hot(torch.randint(0, 4, (3, 4, 4), generator=torch.Generator().manual_seed(1)), 4)
    apart = torch.stack([segmentation_loss(logits[i : i + 1], target[i : i + 1]) for i in range(3)])
    assert segmentation_loss(logits, target).item() == pytest.approx(apart.mean().item(), abs=1e-5)


def test_coarse_outputs_count_by_powers_of_one_half() -> None:
    target = one_hot(torch.zeros(1, 4, 4, 4), 4)
    logits = torch.zeros(1, 4, 4, 4, 4)
    single = segmentation_loss(logits, target).item()
    both = deep_supervision_loss(logits, [logits[..., :2, :2, :2], logits[..., :1, :1, :1]], target).item()
    assert both == pytest.approx(single * (1 + 0.5 + 0.25), abs=1e-5)


def test_loss_is_finite_and_has_gradient_in_bf16_extremes() -> None:
    logits = torch.tensor([[[90.0], [-90.0]]], requires_grad=True)
    loss = segmentation_loss(logits, one_hot(torch.tensor([[1]]), 2), weighted=False)
    loss.backward()
    assert loss.item() > 100
    assert logits.grad[0, 0].item() > 0.5  # no dead zone where the true class is hopeless
