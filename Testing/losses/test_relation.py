"""Covariance and attention alignment: by hand, against the formula, and who learns from whom."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import literal_losses as literal
from DMAFTraining.losses.relation import AttentionAlignment, CovarianceConsistency


def features(seed: int, rows: int = 3, channels: int = 4, size: tuple[int, ...] = (2, 3)) -> Tensor:
    return torch.randn(rows, channels, *size, generator=torch.Generator().manual_seed(seed))


def with_projections(module: CovarianceConsistency) -> CovarianceConsistency:
    for m, weight in enumerate(module.projections):
        weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(m + 10))
    return module


def test_covariance_by_hand() -> None:
    # Channel (1, 2, 3, 4) less its mean is (-1.5, -.5, .5, 1.5), channel (0, 0, 4, 0) is (-1, -1, 3, -1).
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 4.0, 0.0]]])
    found = CovarianceConsistency(1, 2).covariance(x)
    torch.testing.assert_close(found, torch.tensor([[[1.25, 0.5], [0.5, 3.0]]]))
    correlation = CovarianceConsistency(1, 2, normalize="correlation").covariance(x)
    coefficient = 0.5 / (1.25 * 3.0) ** 0.5
    torch.testing.assert_close(correlation, torch.tensor([[[1.0, coefficient], [coefficient, 1.0]]]))
    spatial = CovarianceConsistency(1, 2, axis="spatial").covariance(x)
    torch.testing.assert_close(spatial[0, 0], torch.tensor([1.5**2 + 1, 0.75 + 1, -0.75 - 3, -2.25 + 1]) / 4)


def test_covariance_loss_by_hand() -> None:
    # Variances 1 and 4 of one channel: (1 - 4)^2. The projection 2 makes both 4.
    e, f = torch.tensor([[[-1.0, 1.0]]]), torch.tensor([[[-2.0, 2.0]]])
    module = CovarianceConsistency(1, 1)
    assert module(e, f, [0]).tolist() == [9]
    module.projections[0].data.fill_(2)
    assert module(e, f, [0]).tolist() == [0]


@pytest.mark.parametrize("axis", ["channel", "spatial"])
@pytest.mark.parametrize("normalize", ["none", "correlation"])
@pytest.mark.parametrize("size", [(2, 3), (2, 1, 3)])
def test_covariance_equals_the_formula(axis: str, normalize: str, size: tuple[int, ...]) -> None:
    e, f = features(0, size=size).requires_grad_(), features(1, size=size)
    module = with_projections(CovarianceConsistency(2, 4, axis, normalize))
    modality = [1, 0, 1]
    rows = []
    for x, y, m in zip(e, f, modality, strict=True):
        matrices = [literal.covariance(z, axis) for z in (module.projections[m] @ x.flatten(1), y.flatten(1))]
        if normalize == "correlation":
            matrices = [literal.correlation(c) for c in matrices]
        rows.append((matrices[0] - matrices[1]).square().mean())
    found, expected = module(e, f, modality), torch.stack(rows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    inputs = [e, *module.projections]
    gradients = [torch.autograd.grad(loss.sum(), inputs) for loss in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def test_projection_of_features_projects_the_covariance() -> None:
    module, x = CovarianceConsistency(1, 4), features(0).flatten(2)
    weight = features(5, 1, 4, (4,))[0]
    torch.testing.assert_close(module.covariance(weight @ x), weight @ module.covariance(x) @ weight.T)


@pytest.mark.parametrize("axis", ["channel", "spatial"])
def test_covariance_starts_as_no_projection(axis: str) -> None:
    e = features(0)
    assert CovarianceConsistency(3, 4, axis)(e, e, [0, 1, 2]).tolist() == [0, 0, 0]
    moved = e + torch.arange(4.0).view(1, 4, 1, 1)  # covariance does not see the channels' means
    torch.testing.assert_close(
        CovarianceConsistency(3, 4, axis)(e, moved, [0, 1, 2]), torch.zeros(3), atol=1e-10, rtol=0
    )


def test_only_the_projection_of_the_student_learns_from_covariance() -> None:
    e, f = features(0, rows=1).requires_grad_(), features(1, rows=1)
    module = CovarianceConsistency(3, 4)
    module(e, f, [1]).sum().backward()
    assert e.grad.abs().sum() > 0
    assert [weight.grad is not None for weight in module.projections] == [False, True, False]


def test_constant_channel_has_no_correlation_and_no_broken_gradient() -> None:
    e = features(0)
    e[:, 1] = 2.0
    e.requires_grad_()
    module = CovarianceConsistency(1, 4, normalize="correlation")
    assert module.covariance(e.flatten(2))[:, 1].tolist() == [[0] * 4] * 3
    module(e, features(1), [0, 0, 0]).sum().backward()
    assert e.grad.isfinite().all()


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="'time'"):
        CovarianceConsistency(1, 4, axis="time")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="do not divide"):
        AttentionAlignment(4, heads=3)


def test_default_heads_have_sixteen_channels() -> None:
    assert [AttentionAlignment(c).heads for c in (4, 16, 128)] == [1, 1, 8]


def literal_attention(module: AttentionAlignment, e: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
    """Attended tokens of one row, from ``e (C, *s)`` to ``source (N, C)``."""
    keys, values = module.keys_values(module.norm_keys(source)).chunk(2, 1)
    queries = module.queries(module.norm_queries(e.flatten(1).T))
    return module.projection(literal.attention(queries, keys, values, module.heads, mask))


@pytest.mark.parametrize("other_keys", [False, True])
@pytest.mark.parametrize("size", [(2, 3), (2, 1, 3)])
def test_attention_equals_the_formula(size: tuple[int, ...], other_keys: bool) -> None:
    e, f = features(0, size=size).requires_grad_(), features(1, size=size)
    keys = features(2, size=(5,)).mT if other_keys else None
    mask = torch.tensor([[1, 1, 0, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]).bool() if other_keys else None
    module = AttentionAlignment(4, heads=2)
    rows = []
    for p in range(3):
        source = f[p].flatten(1).T if keys is None else keys[p]
        attended = literal_attention(module, e[p], source, None if mask is None else mask[p])
        rows.append((attended - f[p].flatten(1).T).square().mean())
    found, expected = module(e, f, keys, mask), torch.stack(rows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    inputs = [e, *module.parameters()]
    gradients = [torch.autograd.grad(loss.sum(), inputs) for loss in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_attention_by_hand() -> None:
    # Without queries every key counts the same; values pass through: the answer is the mean normalized key.
    module = AttentionAlignment(2)
    for layer in (module.queries, module.projection, module.keys_values):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    module.projection.weight.data = torch.eye(2)
    module.keys_values.weight.data[2:] = torch.eye(2)
    f = torch.tensor([[[0.0, 8.0], [4.0, 0.0]]])  # tokens (0, 4) and (8, 0), normalized (-1, 1) and (1, -1)
    assert module(features(0, 1, 2, (2,)), f).item() == pytest.approx((4**2 + 8**2) / 4, abs=1e-4)


def test_masked_keys_are_inert() -> None:
    module, e, f = AttentionAlignment(4), features(0), features(1)
    keys, mask = features(2, size=(5,)).mT.clone(), torch.tensor([[True, True, True, False, False]]).expand(3, 5)
    expected = module(e, f, keys, mask)
    keys[:, 3:] = 1e3
    assert module(e, f, keys, mask).equal(expected)
    torch.testing.assert_close(module(e, f, keys[:, :3]), expected)


def test_attention_does_not_see_the_order_of_keys() -> None:
    module, e, f = AttentionAlignment(4), features(0), features(1)
    tokens = f.flatten(2).mT
    torch.testing.assert_close(module(e, f, tokens.flip(1)), module(e, f))


def test_the_student_and_all_of_the_attention_learn_from_attention() -> None:
    e, f, keys = (features(s, size=(6,)).requires_grad_(s == 0) for s in range(3))
    module = AttentionAlignment(4)
    (module(e, f) + module(e, f, keys.mT)).sum().backward()
    assert e.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for name, p in module.named_parameters() if name != "keys_values.bias")


def test_autocast_does_not_lower_the_precision() -> None:
    e, f = features(0), features(1)
    covariance, attention = CovarianceConsistency(1, 4), AttentionAlignment(4)
    expected = covariance(e, f, [0] * 3), attention(e, f)
    with torch.autocast("cpu", torch.bfloat16):
        found = covariance(e, f, [0] * 3), attention(e, f)
        assert covariance(e.bfloat16(), f.bfloat16(), [0] * 3).dtype == torch.float32
    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))
