"""PMR as ported: prototype classification by hand, the gate, the total."""

from __future__ import annotations

import math

import pytest
import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.pmr import PMR, prototype_classification, slowness
from tiny_training import tiny_backbone, tiny_sample, tiny_task


def test_prototype_classification_by_hand() -> None:
    """Four voxels on a line at 0, 2, 10, 10; two classes with prototypes 1 and 10, a third is absent."""
    embedding = torch.tensor([[[0.0, 2.0, 10.0, 10.0]]])
    target = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    loss, probability = prototype_classification(embedding, target, [0])
    # log-odds: |0-10|-|0-1| = 9, |2-10|-|2-1| = 7, |10-1|-0 = 9 twice
    odds = [9.0, 7.0, 9.0, 9.0]
    assert loss.item() == pytest.approx(sum(math.log1p(math.exp(-x)) for x in odds) / 4, rel=1e-2)
    assert probability.item() == pytest.approx(sum(1 / (1 + math.exp(-x)) for x in odds) / 4, rel=1e-5)


def test_gradients_are_finite_on_top_of_a_prototype() -> None:
    embedding = torch.ones(1, 2, 4, requires_grad=True)
    target = torch.zeros(1, 2, 4)
    target[0, 0] = 1
    loss, probability = prototype_classification(embedding, target, [0])
    loss.backward()
    assert (loss.item(), probability.item()) == (0.0, 1.0)  # one class only: nothing to confuse it with
    assert embedding.grad.isfinite().all()


def test_half_precision_features_have_a_single_precision_loss() -> None:
    embedding = torch.randn(1, 4, 32, generator=torch.Generator().manual_seed(0))
    target = torch.eye(4).repeat_interleave(8, 1)[None]
    plain = prototype_classification(embedding, target, [0])
    with torch.autocast("cpu", torch.bfloat16):
        cast = prototype_classification(embedding, target, [0])
    assert [value.item() for value in cast] == [value.item() for value in plain]


def test_slowness_by_hand() -> None:
    table = PairTable(tiny_sample(["1100", "0010"], dims=2))
    assert slowness(torch.tensor([0.3, 0.5, 0.9]), table).tolist() == pytest.approx([0.25, -0.25, 0.0])


@pytest.mark.parametrize("resident", [1, None])
def test_the_total_is_the_gated_sum(resident: int | None) -> None:
    network = tiny_backbone(dims=2)
    strategy = build_strategy(PMR(resident_students=resident), tiny_task(), network).train()
    sample = tiny_sample(["1101"], dims=2)
    loss = strategy(network, sample)
    target, slow = strategy.target(sample), 0.0
    features = network.encode(sample.images, sample.available)
    losses, probabilities = [], []
    for m in (0, 1, 3):
        alone = torch.eye(4, dtype=torch.bool)[[m]]
        values = prototype_classification(network.decode_training(features, alone, [0]).embedding, target, [0])
        losses.append(values[0].item())
        probabilities.append(values[1].item())
    slow = sum(value for value, p in zip(losses, probabilities, strict=True) if p < sum(probabilities) / 3)
    assert 0 < slow < sum(losses)
    assert loss.terms["prototype"].item() == pytest.approx(slow, rel=1e-4)
    expected = loss.terms["fuse"] + loss.terms["sep"] + 0.1 * loss.terms["prototype"]
    assert loss.total.item() == pytest.approx(expected.item())
    assert strategy.curves()["true_class"][[0, 1, 3]].tolist() == pytest.approx(probabilities, rel=1e-4)
