"""PASSION: preference, gates, beta, and what may be skipped."""

from __future__ import annotations

import math

import pytest
import torch

from DMAFTraining.balancing import build_strategy, students
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.passion import PASSION, PASSIONStrategy, relative_preference, step_beta
from DMAFTraining.networks.base import SegmentationNetwork
from tiny_training import tiny_backbone, tiny_sample, tiny_task

BOUNDS = (0.1, 4.0)


def build(settings: PASSION) -> tuple[SegmentationNetwork, PASSIONStrategy]:
    network = tiny_backbone(dims=2)
    return network, build_strategy(settings, tiny_task(), network).train()


def gradients(network: SegmentationNetwork) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def has_gradient(parameter: torch.nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())


def test_relative_preference_by_hand() -> None:
    table = PairTable(tiny_sample(["1101", "0100"], dims=2))
    preference = relative_preference(torch.tensor([0.1, 0.2, 0.6, 5.0]), table)
    assert preference.tolist() == pytest.approx([-2 / 3, -1 / 3, 1.0, 0.0])


def test_beta_by_hand() -> None:
    beta = step_beta(torch.ones(4), torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.ones(4, dtype=torch.bool), 0.15, BOUNDS)
    # mean 0.25; preference 0.6, 0.2, -0.2, -0.6; eta times it off one
    moved = [0.91, 0.97, 1.03, 1.09]
    length = math.sqrt(0.91**2 + 0.97**2 + 1.03**2 + 1.09**2)
    assert beta.tolist() == pytest.approx([2 * value / length for value in moved])
    assert beta.norm().item() == pytest.approx(2.0)


def test_beta_of_a_sequence_without_cases_only_follows_the_norm() -> None:
    seen = torch.tensor([True, True, False])
    beta = step_beta(torch.ones(3), torch.tensor([0.1, 0.3, 0.0]), seen, 0.1, BOUNDS)
    length = math.sqrt(0.95**2 + 1.05**2 + 1)
    assert beta.tolist() == pytest.approx([math.sqrt(3) * value / length for value in (0.95, 1.05, 1.0)])


def test_beta_is_clipped_before_its_norm_is_restored() -> None:
    beta = step_beta(torch.ones(2), torch.tensor([0.0, 1.0]), torch.ones(2, dtype=torch.bool), 10.0, BOUNDS)
    length = math.sqrt(0.1**2 + 4**2)  # 1 -+ 10, clipped
    assert beta.tolist() == pytest.approx([math.sqrt(2) * 0.1 / length, math.sqrt(2) * 4 / length])


@pytest.mark.parametrize(("epoch", "eta"), [(0, 0.015), (99, 0.015), (100, 0.0225), (200, 0.03375), (299, 0.03375)])
def test_eta_grows_at_the_published_epochs(epoch: int, eta: float) -> None:
    _, strategy = build(PASSION())
    strategy.sums[0] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    strategy.sums[3] = 1
    strategy.end_epoch(epoch)
    expected = step_beta(torch.ones(4), torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.ones(4), eta, BOUNDS)
    assert strategy.beta.tolist() == pytest.approx(expected.tolist())
    assert not strategy.sums.any()


def test_an_epoch_without_steps_leaves_beta_alone() -> None:
    _, strategy = build(PASSION())
    strategy.end_epoch(0)
    assert strategy.beta.tolist() == pytest.approx([1.0] * 4)


def test_distances_of_the_epoch_are_means_over_cases() -> None:
    network, strategy = build(PASSION())
    strategy(network, tiny_sample(["1100", "0100"], dims=2))
    once = strategy.curves()
    strategy(network, tiny_sample(["1100", "0100"], dims=2))
    twice = strategy.curves()
    assert strategy.sums[3].tolist() == [2, 4, 0, 0]
    assert twice["D"].tolist() == pytest.approx(once["D"].tolist(), rel=1e-4)
    assert once["r"][:2].tolist() in ([1.0, 0.0], [0.0, 0.5])  # one of two lags; a lone sequence never does
    strategy.end_epoch(0)
    assert strategy.curves()["D"].tolist() == pytest.approx(twice["D"].tolist())  # shown until the next epoch


@pytest.mark.parametrize(
    "settings", [PASSION(resident_students=None), PASSION(resident_students=1), PASSION(skip_leading=False)]
)
def test_faster_and_smaller_ways_change_nothing(settings: PASSION) -> None:
    sample = tiny_sample(["1110", "0100"], dims=2)
    results = []
    for choice in (PASSION(), settings):
        network, strategy = build(choice)
        loss = strategy(network, sample).total
        loss.backward()
        results.append((loss.item(), gradients(network)))
    (loss, grads), (other_loss, other_grads) = results
    assert loss == pytest.approx(other_loss, rel=1e-6)
    assert grads.keys() == other_grads.keys()
    for name, gradient in grads.items():
        torch.testing.assert_close(gradient, other_grads[name], rtol=1e-3, atol=1e-5)


def test_only_lagging_sequences_have_a_loss_of_their_own() -> None:
    network, strategy = build(PASSION(fused_weight=0.0, pixel_weight=0.0, semantic_weight=0.0))
    sample = tiny_sample(["1101"], dims=2)
    loss = strategy(network, sample)
    loss.total.backward()
    lagging = [m for m, r in enumerate(strategy.curves()["r"].tolist()) if r]
    assert 1 <= len(lagging) <= 2
    moved = [m for m, encoder in enumerate(network.encoders) if has_gradient(encoder.entries[0].weight)]
    assert moved == lagging
    features = network.encode(sample.images, sample.available)
    alone = strategy.unimodal_loss(network, features, strategy.target(sample), [(0, m) for m in lagging])
    omega = torch.tensor([tiny_task().rate_weights[m] for m in lagging])
    assert loss.total.item() == pytest.approx((omega * alone).sum().item())


@pytest.mark.parametrize("gated", [True, False])
def test_a_lone_sequence_is_gated_as_published_unless_told(gated: bool) -> None:
    network, strategy = build(PASSION(gate_single=gated))
    loss = strategy(network, tiny_sample(["0010"], dims=2))
    assert (loss.terms["sep"].item() == 0) == gated
    assert loss.terms["semantic"].item() == 0


def test_the_teacher_is_detached() -> None:
    """A student sees one sequence, so only the teacher's path runs through the weighing of several."""
    network, strategy = build(PASSION(fused_weight=0.0, unimodal_weight=0.0))
    strategy(network, tiny_sample(["1110"], dims=2)).total.backward()
    assert not any(
        fusion.score.weight.grad is not None and fusion.score.weight.grad.any() for fusion in network.fusions
    )
    assert network.decoder.head.weight.grad.any()


def test_weights_of_the_terms() -> None:
    network, strategy = build(PASSION())
    loss = strategy(network, tiny_sample(["1110", "0101"], dims=2))
    terms = {name: value.item() for name, value in loss.terms.items()}
    expected = terms["fuse"] + terms["sep"] + 0.5 * terms["pixel"] + 0.1 * terms["semantic"]
    assert loss.total.item() == pytest.approx(expected)


def test_students_decoded_again_repeat_their_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the gradients would belong to another loss than the one reported."""
    results = []
    for again in (True, False):
        if not again:
            monkeypatch.setattr(students, "checkpoint", lambda decode, *values, **_: decode(*values))
        network = tiny_backbone("mmformer", dims=2)
        network.transformer.dropout = 0.5
        strategy = build_strategy(PASSION(resident_students=1), tiny_task(), network).train()
        torch.manual_seed(3)
        loss = strategy(network, tiny_sample(["1110"], dims=2)).total
        loss.backward()
        results.append((loss.item(), gradients(network)))
    (loss, grads), (other_loss, other_grads) = results
    assert loss == other_loss
    for name, gradient in grads.items():
        torch.testing.assert_close(gradient, other_grads[name], rtol=1e-4, atol=1e-6)


def test_students_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PASSION(resident_students=0)
