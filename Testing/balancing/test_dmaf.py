"""The strategy as a whole: terms, who is detached, ablation, resume."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.distillation import DistillationSettings
from DMAFTraining.balancing.dmaf import DMAFBalancing, DMAFStrategy
from DMAFTraining.balancing.scaling import ScalingSettings
from DMAFTraining.networks.base import SegmentationNetwork
from tiny_training import tiny_backbone, tiny_sample, tiny_task

ROWS = ["1110", "0101"]
ONLY_DISTILLATION = DMAFBalancing(fused_weight=0.0, unimodal_weight=0.0)


def build(settings: DMAFBalancing, dims: int = 2) -> tuple[SegmentationNetwork, DMAFStrategy]:
    network = tiny_backbone(dims=dims)
    torch.manual_seed(1)
    return network, build_strategy(settings, tiny_task(), network).train()


def moved(module: torch.nn.Module) -> bool:
    """Whether any weight has a gradient other than zero."""
    return any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def test_the_total_is_the_weighted_sum_of_the_terms() -> None:
    network, strategy = build(DMAFBalancing(monitor=False))
    loss = strategy(network, tiny_sample(ROWS, dims=2))
    terms = {name: value.item() for name, value in loss.terms.items()}
    expected = 2 * terms["fuse"] + terms["sep"] + 0.5 * terms["relation"] + 0.5 * terms["prototype"]
    assert loss.total.item() == pytest.approx(expected)
    assert min(terms.values()) > 0


def test_monitoring_weighs_the_sequences_by_their_gaps() -> None:
    network, strategy = build(DMAFBalancing(fused_weight=0.0, relation_weight=0.0, prototype_weight=0.0))
    sample = tiny_sample(["1001"], dims=2)
    loss = strategy(network, sample)
    features = network.encode(sample.images, sample.available)
    alone = strategy.unimodal_loss(network, features, strategy.target(sample), sample.pairs)
    w = strategy.curves()["w"]
    assert w.sum().item() == pytest.approx(1.0)
    assert loss.total.item() == pytest.approx((w[[0, 3]] * alone).sum().item())
    assert loss.terms["sep"].item() == pytest.approx(alone.sum().item())


def test_weights_have_no_gradient() -> None:
    network, strategy = build(DMAFBalancing(fused_weight=0.0, relation_weight=0.0, prototype_weight=0.0))
    strategy(network, tiny_sample(ROWS, dims=2)).total.backward()
    assert not moved(strategy)
    assert not moved(network.fusions)


@pytest.mark.parametrize("keys", ["fused", "sequences"])
def test_a_detached_teacher_learns_nothing_from_distillation(keys: str) -> None:
    settings = replace(ONLY_DISTILLATION, distillation=DistillationSettings(attention_keys=keys))
    network, strategy = build(settings)
    strategy(network, tiny_sample(ROWS, dims=2)).total.backward()
    assert not moved(network.fusions)
    assert not moved(network.decoder)
    assert all(moved(encoder) for encoder in network.encoders)
    assert all(moved(part) for part in strategy.distillation.children())
    assert strategy.distillation.alpha.grad.item() != 0


def test_a_teacher_that_is_not_detached_learns_from_distillation() -> None:
    settings = replace(ONLY_DISTILLATION, distillation=DistillationSettings(detach_teacher=False))
    for weights in ({"relation_weight": 0.0}, {"prototype_weight": 0.0}):
        network, strategy = build(replace(settings, **weights))
        strategy(network, tiny_sample(ROWS, dims=2)).total.backward()
        assert moved(network.fusions[-1])


def test_a_lone_sequence_is_its_own_teacher_and_leaves_the_monitor_alone() -> None:
    network, strategy = build(DMAFBalancing())
    before = {name: value.clone() for name, value in strategy.monitor.state_dict().items()}
    loss = strategy(network, tiny_sample(["0010"], dims=2))
    assert loss.terms["prototype"].item() == 0
    after = strategy.monitor.state_dict()
    assert after.pop("present").tolist() == [False, False, True, False]
    assert all(torch.equal(value, before[name]) for name, value in after.items())


@pytest.mark.parametrize(("distill", "monitor"), list(itertools.product([True, False], repeat=2)))
def test_ablation(distill: bool, monitor: bool) -> None:
    network, strategy = build(DMAFBalancing(distill=distill, monitor=monitor))
    loss = strategy(network, tiny_sample(ROWS, dims=2))
    loss.total.backward()
    raw = network.encoders[0].entries[0].weight.grad.clone()
    strategy.scale_gradients(network)
    scaled = network.encoders[0].entries[0].weight.grad
    measured = {"covariance", "attention"} if distill or monitor else set()
    assert set(loss.terms) == {"fuse", "sep"} | measured | ({"relation", "prototype"} if distill else set())
    curves = strategy.curves()
    assert ("w" in curves) == monitor
    factor = curves["gamma"][0].item() if monitor else 1.0
    assert scaled.flatten().tolist() == pytest.approx((factor * raw).flatten().tolist())
    assert (factor > 1) == monitor
    assert bool(strategy.extra_parameters()) == distill
    if monitor:
        assert (curves["gap_total"] > 0).all()
        assert curves["w"].tolist() != pytest.approx([0.25] * 4, rel=1e-3)


def test_pdt_teaches_sequences_that_the_teacher_does_not_see() -> None:
    network, strategy = build(DMAFBalancing())
    strategy(network, tiny_sample(["1111"], present=["0101"], dims=2)).total.backward()
    assert strategy.monitor.seen.all()
    assert all(moved(encoder) for encoder in network.encoders)


def test_learning_rate_factors_only_where_asked_for() -> None:
    network, strategy = build(DMAFBalancing())
    assert strategy.learning_rate_factors() is None
    network, strategy = build(DMAFBalancing(scaling=ScalingSettings(gamma_target="lr")))
    strategy(network, tiny_sample(ROWS, dims=2)).total.backward()
    strategy.scale_gradients(network)
    assert strategy.learning_rate_factors().mean().item() == pytest.approx(1.0)


def test_evaluation_changes_no_state() -> None:
    network, strategy = build(DMAFBalancing())
    strategy.eval()
    before = {name: value.clone() for name, value in strategy.state_dict().items()}
    strategy(network, tiny_sample(ROWS, dims=2))
    assert all(torch.equal(value, before[name]) for name, value in strategy.state_dict().items())


def test_half_precision_networks_have_single_precision_losses() -> None:
    network, strategy = build(DMAFBalancing())
    sample = tiny_sample(ROWS, dims=2)
    full = strategy(network, sample).total.item()
    network, strategy = build(DMAFBalancing())
    with torch.autocast("cpu", torch.bfloat16):
        loss = strategy(network, sample)
    assert {value.dtype for value in (loss.total, *loss.terms.values(), strategy.monitor.gaps)} == {torch.float32}
    assert loss.total.item() == pytest.approx(full, rel=0.02)
