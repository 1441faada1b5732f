"""Segmentation loss against values worked out by hand and against the formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import literal_losses as literal
from DMAFTraining.losses.segmentation import (
    cross_entropy_weights,
    deep_supervision_loss,
    dice_loss,
    one_hot,
    segmentation_loss,
    upsampled_segmentation_loss,
)


def random_case(size: tuple[int, ...], rows: int = 3, classes: int = 4) -> tuple[Tensor, list[Tensor], Tensor]:
    """Logits, two coarse logits and a target in which the last row lacks the last class."""
    generator = torch.Generator().manual_seed(0)
    logits, half, quarter = (
        (2 * torch.randn(rows, classes, *(n // k for n in size), generator=generator)).requires_grad_()
        for k in (1, 2, 4)
    )
    labels = torch.randint(0, classes, (rows, *size), generator=generator)
    labels[-1].clamp_(max=classes - 2)
    return logits, [half, quarter], one_hot(labels, classes)


def assert_same(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    """Values and gradients, with another weight for each row, agree to 1e-5 of the largest."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.arange(1.0, len(found) + 1)
    gradients = [torch.autograd.grad((loss * weights).sum(), inputs) for loss in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def test_one_hot() -> None:
    found = one_hot(torch.tensor([[0, 2]], dtype=torch.uint8), 3)
    assert found.tolist() == [[[1, 0], [0, 0], [0, 1]]]
    assert found.dtype == torch.float32


def test_perfect_background_costs_three_quarters() -> None:
    only_first = torch.tensor([8.0, 0.0, 0.0, 0.0])
    assert dice_loss(only_first, only_first, only_first).item() == pytest.approx(0.75, abs=1e-6)
    target = one_hot(torch.zeros(1, 2, 2, 2, dtype=torch.long), 4)
    assert segmentation_loss(100 * target, target).tolist() == pytest.approx([0.75], abs=1e-6)


def test_dice_by_hand() -> None:
    # Two voxels, two classes: truth (0, 1), p1 = (0.2, 0.6). Class 0: 2*0.8/(1.2+1); class 1: 2*0.6/(0.8+1).
    found = dice_loss(torch.tensor([0.8, 0.6]), torch.tensor([1.2, 0.8]), torch.tensor([1.0, 1.0]))
    assert found.item() == pytest.approx(1 - (1.6 / 2.2 + 1.2 / 1.8) / 2, abs=1e-6)


def test_weights_of_the_published_example() -> None:
    counts = torch.tensor([947.0, 14.0, 37.0, 2.0])
    assert cross_entropy_weights(counts, 1000).tolist() == pytest.approx([0.053, 0.986, 0.963, 0.998], abs=1e-6)
    assert cross_entropy_weights(counts, 1000, weighted=False).tolist() == [1, 1, 1, 1]


def test_loss_by_hand() -> None:
    # Three voxels of class 0, one of class 1, p(true) = 1/2 everywhere. Weights 1/4 and 3/4;
    # Dice 2*1.5/(2+3) and 2*0.5/(2+1).
    target = one_hot(torch.tensor([[0, 0, 0, 1]]), 2)
    dice = 1 - (3 / 5 + 1 / 3) / 2
    logits = torch.zeros(1, 2, 4)
    assert segmentation_loss(logits, target).item() == pytest.approx((3 / 4 + 3 / 4) / 4 * math.log(2) + dice, abs=1e-6)
    assert segmentation_loss(logits, target, weighted=False).item() == pytest.approx(math.log(2) + dice, abs=1e-6)


def test_background_only_patch_has_no_weighted_cross_entropy() -> None:
    # Dice alone: p = 1/4 everywhere, 9 voxels: 1 - 1/4 * 2*(9/4)/(9/4 + 9) = 0.9.
    target = one_hot(torch.zeros(1, 3, 3, dtype=torch.long), 4)
    assert segmentation_loss(torch.zeros(1, 4, 3, 3), target).item() == pytest.approx(0.9, abs=1e-6)


def test_coarse_loss_by_hand() -> None:
    # Coarse p0 = (0.9, 0.3) along four voxels is (0.9, 0.7, 0.5, 0.3); truth 0, 0, 1, 1: all weights 1/2.
    logits = torch.tensor([[[0.9, 0.3], [0.1, 0.7]]]).log().unsqueeze(-1)
    target = one_hot(torch.tensor([[[0], [0], [1], [1]]]), 2)
    cross_entropy = -(math.log(0.9) + math.log(0.7) + math.log(0.5) + math.log(0.7)) / 8
    dice = 1 - (2 * 1.6 / (2.4 + 2) + 2 * 1.2 / (1.6 + 2)) / 2
    found = upsampled_segmentation_loss(logits, target)
    assert found.item() == pytest.approx(cross_entropy + dice, abs=1e-6)


def test_coarse_outputs_count_by_powers_of_one_half() -> None:
    target = one_hot(torch.zeros(1, 4, 4, 4, dtype=torch.long), 4)
    logits = torch.zeros(1, 4, 4, 4, 4)
    deep = [logits[..., :2, :2, :2], logits[..., :1, :1, :1]]
    for upsample in (True, False):
        found = deep_supervision_loss(logits, deep, target, upsample=upsample)
        assert found.item() == pytest.approx(0.9 * (1 + 0.5 + 0.25), abs=1e-5)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("size", [(8, 12), (8, 4, 12)])
def test_equals_the_formula(size: tuple[int, ...], weighted: bool) -> None:
    logits, deep, target = random_case(size)
    found = segmentation_loss(logits, target, weighted)
    assert found.shape == (3,)
    assert_same(found, literal.segmentation(logits.softmax(1), target, weighted), [logits])
    assert_same(
        deep_supervision_loss(logits, deep, target, weighted),
        literal.deep_supervision(logits, deep, target, weighted),
        [logits, *deep],
    )


@pytest.mark.parametrize("size", [(8, 12), (8, 4, 12)])
def test_pooled_target_is_the_formula_on_the_coarse_grid(size: tuple[int, ...]) -> None:
    logits, deep, target = random_case(size)
    pool = {2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}[len(size)]
    expected = literal.segmentation(logits.softmax(1), target)
    for level, z in enumerate(deep, start=1):
        expected = expected + literal.segmentation(z.softmax(1), pool(target, 2**level)) / 2**level
    assert_same(deep_supervision_loss(logits, deep, target, upsample=False), expected, [logits, *deep])


def test_gradients_of_both_losses() -> None:
    logits, (half, _), target = random_case((4, 4))
    fine, coarse, target = (x.detach().double() for x in (logits, half, target))
    for loss, z in ((segmentation_loss, fine), (upsampled_segmentation_loss, coarse)):
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, target), z.requires_grad_())


def test_rows_do_not_see_each_other() -> None:
    logits, deep, target = random_case((8, 4))
    together = deep_supervision_loss(logits, deep, target)
    for row in range(3):
        rows = slice(row, row + 1)
        alone = deep_supervision_loss(logits[rows], [z[rows] for z in deep], target[rows])
        assert alone.item() == together[row].item()


def test_gradient_where_the_true_class_is_hopeless() -> None:
    logits = torch.tensor([[[90.0], [-90.0]]], requires_grad=True)
    loss = segmentation_loss(logits, one_hot(torch.tensor([[1]]), 2), weighted=False)
    loss.backward()
    assert loss.item() > 100
    assert logits.grad[0, 0].item() > 0.5


def test_coarse_loss_is_finite_where_the_true_class_is_impossible() -> None:
    logits = torch.tensor([[[200.0, 200.0], [-200.0, -200.0]]], requires_grad=True)
    target = one_hot(torch.ones(1, 4, 4, dtype=torch.long), 2)
    loss = upsampled_segmentation_loss(logits[..., None].expand(1, 2, 2, 2), target, weighted=False)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(torch.finfo(torch.float32).tiny) + 1, rel=1e-5)
    assert logits.grad.isfinite().all()


def test_a_network_that_lost_its_numbers_is_not_hidden() -> None:
    target = one_hot(torch.zeros(1, 4, 4, dtype=torch.long), 2)
    assert segmentation_loss(torch.full((1, 2, 4, 4), math.nan), target).isnan().all()
    assert upsampled_segmentation_loss(torch.full((1, 2, 2, 2), math.nan), target).isnan().all()


def test_half_precision_logits_under_autocast() -> None:
    logits, deep, target = random_case((8, 4, 4))
    low = [x.detach().bfloat16().requires_grad_() for x in (logits, *deep)]
    same = [x.detach().float().requires_grad_() for x in low]
    with torch.autocast("cpu", torch.bfloat16):
        found = deep_supervision_loss(low[0], low[1:], target)
    expected = deep_supervision_loss(same[0], same[1:], target)
    assert found.equal(expected)
    found.sum().backward()
    expected.sum().backward()
    for a, b in zip(low, same, strict=True):
        torch.testing.assert_close(a.grad, b.grad.bfloat16())


def test_shapes_that_do_not_fit_are_refused() -> None:
    target = one_hot(torch.zeros(2, 4, 4, dtype=torch.long), 3)
    with pytest.raises(ValueError, match="one shape"):
        segmentation_loss(torch.zeros(1, 3, 4, 4), target)
    with pytest.raises(ValueError, match="same rows"):
        upsampled_segmentation_loss(torch.zeros(1, 3, 2, 2), target)
