"""Up-sampling by matrices equals the plain kernel, forward and back."""

from __future__ import annotations

import pytest
import torch

from DMAFTraining.losses.interpolation import LinearUpsampling, linear_weights
from DMAFTraining.networks.blocks import upsample


def test_weights_by_hand() -> None:
    # Four samples between two: at 0, 1/3, 2/3 and 1.
    expected = torch.tensor([[3, 0], [2, 1], [1, 2], [0, 3]]) / 3
    assert linear_weights(2, 4, torch.zeros(())).equal(expected)


def test_weights_of_one_sample() -> None:
    assert linear_weights(1, 3, torch.zeros(())).tolist() == [[1], [1], [1]]
    assert linear_weights(3, 1, torch.zeros(())).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("size", [(3, 4), (2, 5, 3), (1, 2, 2)])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_equals_the_networks_up_sampling(size: tuple[int, ...], scale: int) -> None:
    x = torch.randn(3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    fine = [n * scale for n in size]
    expected = upsample(x[None], scale)[0]
    found = LinearUpsampling(size, fine, x)(x)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_axes_may_grow_differently() -> None:
    x = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    grown = LinearUpsampling((3, 4), (3, 9), x)(x)
    torch.testing.assert_close(grown[0, 1], LinearUpsampling((4,), (9,), x)(x[0, 1:2])[0])


def test_shares_give_the_sum_over_the_fine_grid() -> None:
    # Two samples up-sampled to four add 2 each; along the unchanged axis nothing multiplies.
    up = LinearUpsampling((2, 3), (4, 3), torch.zeros(()))
    torch.testing.assert_close(up.shares, torch.full((2, 3), 2.0))
    x = torch.rand(1, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    up = LinearUpsampling((3, 4, 2), (6, 8, 10), x)
    torch.testing.assert_close((x * up.shares).sum(), up(x).sum())
