"""The strategies equal their plain write-ups, in value and gradient, over several steps."""

from __future__ import annotations

import copy

import pytest
import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.base import Strategy, StrategySettings
from DMAFTraining.balancing.dmaf import DMAFBalancing
from DMAFTraining.balancing.passion import PASSION
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import SegmentationNetwork
from literal_strategies import LiteralDMAF, LiteralPASSION
from tiny_training import double_precision, tiny_backbone, tiny_sample, tiny_task

STEPS = (["1110", "0101"], ["0100", "1011"], ["0110", "1000"])
"""Which sequences each of the two cases has, step by step."""


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every gradient, zero where there is none."""
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in module.named_parameters()}


def assert_same_gradients(ours: torch.nn.Module, literal: torch.nn.Module) -> None:
    """Every gradient agrees to 1e-4 of the largest entry of the weight it belongs to."""
    mine, theirs = gradients(ours), gradients(literal)
    floor = 1e-3 * max(float(g.abs().max()) for g in theirs.values())  # a bias before a normalization has none
    for name, gradient in theirs.items():
        error = float((mine[name] - gradient).abs().max())
        assert error <= 1e-4 * max(float(gradient.abs().max()), floor), name


def advance(ours: torch.nn.Module, literal: torch.nn.Module) -> None:
    """A plain gradient step of both, so that the next loss sees other weights, the same in both."""
    with torch.no_grad():
        for mine, theirs in zip(ours.parameters(), literal.parameters(), strict=True):
            if mine.grad is not None:
                mine -= 1e-3 * mine.grad
            theirs.copy_(mine)
            mine.grad = theirs.grad = None


@pytest.fixture(params=[("dmafnet", 3), ("dmafnet", 2), ("mmformer", 3), ("mmformer", 2)], ids=str)
def backbone(request: pytest.FixtureRequest) -> SegmentationNetwork:
    return tiny_backbone(*request.param)


def prepare(settings: StrategySettings, network: SegmentationNetwork) -> tuple[Strategy, list[Batch]]:
    """The strategy and its batches; in 3-D, where they are slow, one."""
    dims = network.config.dims
    rows = STEPS if dims == 2 else STEPS[:1]
    return double_precision(settings, network, [tiny_sample(row, dims=dims, seed=n) for n, row in enumerate(rows)])


@pytest.mark.parametrize("name", ["dmafnet", "mmformer"])
def test_losses_agree_in_single_precision(name: str) -> None:
    network = tiny_backbone(name)
    dmaf, passion = (build_strategy(kind(), tiny_task(), network).train() for kind in (DMAFBalancing, PASSION))
    sample = tiny_sample(STEPS[0])
    with torch.no_grad():
        literal = (
            LiteralDMAF(4).loss(network, dmaf, sample),
            LiteralPASSION(tiny_task().rate_weights).loss(network, sample),
        )
        ours = dmaf(network, sample).total, passion(network, sample).total
    assert [loss.item() for loss in ours] == pytest.approx([loss.item() for loss in literal], rel=1e-5)


def test_dmaf_equals_its_literal_form(backbone: SegmentationNetwork) -> None:
    network = backbone
    strategy, samples = prepare(DMAFBalancing(), network)
    twin = copy.deepcopy(network)
    with torch.no_grad():  # away from the identity, so that a transposed projection would show
        for projection in strategy.distillation.covariance.projections:
            projection += 0.1 * torch.randn_like(projection)
    projections, literal = copy.deepcopy(strategy).double(), LiteralDMAF(4)
    for sample in samples:
        ours, theirs = strategy(network, sample).total, literal.loss(twin, projections, sample)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
        assert strategy.curves()["w"].tolist() == pytest.approx(literal.weights(), rel=1e-4)
        ours.backward()
        theirs.backward()
        strategy.scale_gradients(network)
        literal.scale(twin, sample)
        assert_same_gradients(network, twin)
        assert_same_gradients(strategy, projections)
        advance(network, twin)
        advance(strategy, projections)


def test_passion_equals_its_literal_form(backbone: SegmentationNetwork) -> None:
    network = backbone
    strategy, samples = prepare(PASSION(), network)
    twin = copy.deepcopy(network)
    literal = LiteralPASSION(tiny_task().rate_weights)
    for step, sample in enumerate(samples):
        ours, theirs = strategy(network, sample).total, literal.loss(twin, sample)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
        ours.backward()
        theirs.backward()
        strategy.scale_gradients(network)
        assert_same_gradients(network, twin)
        advance(network, twin)
        if step == 1:  # an epoch of two steps
            strategy.end_epoch(0)
            literal.end_epoch(0)
            assert strategy.beta.tolist() == pytest.approx(literal.beta, rel=1e-4)
            assert max(literal.beta) - min(literal.beta) > 1e-3
