"""Eager gradients: right, as small as promised, and there under every mode of autograd."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor

from DMAFTraining.losses.eager import eager_rows


def parabola(row: int, x: Tensor, y: Tensor) -> Tensor:
    return (row + 1) * (x.square() * y).sum()


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_values_and_gradients_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0]], requires_grad=True)
    y = torch.tensor([[1.0, 1.0], [2.0, 5.0]], requires_grad=True)
    values = eager_rows(parabola, x, y)
    assert values.tolist() == [5, 36]  # 1 * (1 + 4) and 2 * (9 * 2)
    (values * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [[2, 4], [240, 0]]  # 10 * 2 * (2 * 3 * 2)
    assert y.grad.tolist() == [[1, 4], [180, 0]]


def test_gradcheck() -> None:
    x, y = (random(3, 2, 2, seed=s, dtype=torch.float64).requires_grad_() for s in (0, 1))

    def loss(row: int, a: Tensor, b: Tensor) -> Tensor:
        return (a.softmax(0) * b.exp()).sum() + row * b.sum() * a.sum()

    assert torch.autograd.gradcheck(lambda *inputs: eager_rows(loss, *inputs), (x, y))


@pytest.mark.parametrize("which", [(True, False), (False, True)])
def test_only_some_inputs_need_gradients(which: tuple[bool, bool]) -> None:
    x, y = (random(2, 3, seed=s).requires_grad_(needs) for s, needs in enumerate(which))
    eager_rows(parabola, x, y).sum().backward()
    expected = (random(2, 3, seed=0) * y.detach() * 2, random(2, 3, seed=0).square())
    factor = torch.tensor([[1.0], [2.0]])
    for tensor, needs, gradient in zip((x, y), which, expected, strict=True):
        assert (tensor.grad is not None) == needs
        if needs:
            torch.testing.assert_close(tensor.grad, gradient * factor)


def test_nothing_is_differentiated_where_nobody_asks() -> None:
    seen = []

    def loss(row: int, x: Tensor) -> Tensor:
        seen.append(x.square().requires_grad)
        return x.square().sum()

    with torch.no_grad():
        values = eager_rows(loss, torch.ones(2, 3, requires_grad=True))
    assert not values.requires_grad
    assert not eager_rows(loss, torch.ones(2, 3)).requires_grad
    assert values.tolist() == [3, 3]
    assert seen == [False] * 4


def test_rows_are_in_order_and_may_be_none() -> None:
    visited: list[int] = []

    def loss(row: int, x: Tensor) -> Tensor:
        visited.append(row)
        return x.sum()

    eager_rows(loss, torch.zeros(3, 1))
    assert visited == [0, 1, 2]
    x = torch.zeros(0, 4, requires_grad=True)
    values = eager_rows(loss, x)
    assert values.shape == (0,)
    values.sum().backward()
    assert x.grad.shape == (0, 4)


def test_losses_run_in_fp32_under_autocast() -> None:
    def loss(row: int, x: Tensor) -> Tensor:
        product = x @ x.T
        assert x.dtype == product.dtype == torch.float32
        return product.sum()

    x = random(2, 3, 4).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        values = eager_rows(loss, x)
    values.sum().backward()
    assert values.dtype == torch.float32
    assert x.grad.dtype == torch.bfloat16
    plain = x.detach().float().requires_grad_()
    (plain @ plain.mT).sum().backward()
    torch.testing.assert_close(x.grad.float(), plain.grad, rtol=2**-8, atol=0)


def test_gradients_too_small_for_fp16_survive_until_loss_scaling() -> None:
    x = torch.ones(1, 2, dtype=torch.float16, requires_grad=True)
    loss = eager_rows(lambda row, z: 1e-9 * z.sum(), x)
    (loss * 2.0**20).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((1, 2), 2.0**20 * 1e-9, dtype=torch.float16))


def test_only_gradients_are_kept() -> None:
    x, y = random(3, 4, 10).requires_grad_(), random(3, 7)

    def loss(row: int, z: Tensor, unused: Tensor) -> Tensor:
        return z[:, None].expand(4, 100, 10).log_softmax(0).exp().square().sum()

    values = eager_rows(loss, x, y)
    assert [None if t is None else t.shape for t in values.grad_fn.saved_tensors] == [x.shape, None]


def test_what_a_row_computes_is_freed_before_backward() -> None:
    living: list[weakref.ref[Tensor]] = []

    def loss(row: int, z: Tensor) -> Tensor:
        large = z.exp()
        living.append(weakref.ref(large))
        return large.square().sum()

    x = torch.ones(2, 5, requires_grad=True)
    plain = loss(0, x)
    assert living.pop()() is not None  # plain autograd keeps it
    values = eager_rows(loss, x)
    assert [watch() for watch in living] == [None, None]
    (plain + values.sum()).backward()


def test_second_derivatives_are_refused() -> None:
    x = torch.ones(1, 2, requires_grad=True)
    loss = eager_rows(lambda row, z: z.square().sum(), x).square()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
