"""What holds for every strategy: registry, any sizes, absent content, resume, no reads by the host."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace

import pytest
import torch

from DMAFTraining.balancing import STRATEGIES, STRATEGY_NAMES, build_strategy
from DMAFTraining.balancing.base import Strategy, StrategySettings
from DMAFTraining.balancing.none import NoBalancing
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import SegmentationNetwork
from tiny_training import tiny_backbone, tiny_sample, tiny_task

NAMES = sorted(STRATEGY_NAMES)
DIFFERENT = [name for name in NAMES if name != "moddrop"]  # whose loss is that of none
ROWS = ["1110", "0101"]


def build(name: str, dims: int = 2, modalities: int = 4, classes: int = 4) -> tuple[SegmentationNetwork, Strategy]:
    network = tiny_backbone(dims=dims, modalities=modalities, classes=classes)
    torch.manual_seed(1)
    return network, build_strategy(STRATEGY_NAMES[name](), tiny_task(modalities, classes), network).train()


def step(network: SegmentationNetwork, strategy: Strategy, rows: list[str], seed: int) -> float:
    """Loss, backward, scaling and a plain update; the gradients stay."""
    for parameter in (*network.parameters(), *strategy.parameters()):
        parameter.grad = None
    loss = strategy(network, tiny_sample(rows, dims=2, seed=seed)).total
    loss.backward()
    strategy.scale_gradients(network)
    with torch.no_grad():
        for parameter in (*network.parameters(), *strategy.parameters()):
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    return loss.item()


def test_every_settings_class_has_a_strategy_and_a_name() -> None:
    assert set(STRATEGY_NAMES.values()) == set(STRATEGIES)
    assert [name for name in NAMES if STRATEGY_NAMES[name].drops_existing] == ["moddrop"]


def test_settings_without_a_strategy_are_refused() -> None:
    with pytest.raises(ValueError, match="StrategySettings are settings of no strategy"):
        build_strategy(StrategySettings(), tiny_task(), tiny_backbone(dims=2))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dims", "modalities", "classes"), [(3, 4, 4), (2, 3, 6)])
def test_any_size_has_a_finite_loss_and_gradient(name: str, dims: int, modalities: int, classes: int) -> None:
    network, strategy = build(name, dims, modalities, classes)
    rows = ["1" * modalities, "01" + "0" * (modalities - 2)]
    loss = strategy(network, tiny_sample(rows, dims=dims, classes=classes))
    loss.total.backward()
    strategy.scale_gradients(network)
    strategy.end_epoch(0)
    assert loss.total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert all(curve.shape in ((modalities,), ()) and curve.isfinite().all() for curve in strategy.curves().values())


@pytest.mark.parametrize("name", DIFFERENT)
def test_absent_content_is_never_read(name: str) -> None:
    sample = tiny_sample(ROWS, dims=2)
    spoiled = sample.images.clone()
    spoiled[~sample.available] = float("nan")
    totals = []
    for images in (sample.images, spoiled):
        network, strategy = build(name)
        loss = strategy(network, replace(sample, images=images)).total
        loss.backward()
        totals.append((loss.item(), [p.grad for p in network.parameters()]))
    assert totals[0][0] == totals[1][0]
    for clean, other in zip(totals[0][1], totals[1][1], strict=True):
        assert (clean is None and other is None) or torch.equal(clean, other)


@pytest.mark.parametrize("name", DIFFERENT)
def test_the_batch_mean_is_over_cases_not_over_sequences(name: str) -> None:
    """A case twice has the loss and the gradient of the case once."""
    results = []
    once = tiny_sample(["1110"], dims=2)
    tensors = (once.images, once.labels, once.available, once.present)
    for sample in (once, Batch(*(torch.cat((tensor, tensor)) for tensor in tensors))):
        network, strategy = build(name)
        loss = strategy(network, sample).total
        loss.backward()
        results.append((loss.item(), network.decoder.head.weight.grad))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_resumed_strategy_goes_on_bit_for_bit(name: str) -> None:
    network, strategy = build(name)
    for number, rows in enumerate((ROWS, ["0110", "1000"])):
        step(network, strategy, rows, number)
    strategy.end_epoch(0)
    step(network, strategy, ["1011", "0100"], 2)  # in the middle of an epoch
    other_network, other = copy.deepcopy(network), build(name)[1]
    other.load_state_dict(copy.deepcopy(strategy.state_dict()))
    for number, rows in enumerate((ROWS, ["0011", "1000"]), 3):
        assert step(network, strategy, rows, number) == step(other_network, other, rows, number)
    for module in (strategy, other):
        module.end_epoch(1)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other_network.parameters(), strict=True))
    state = other.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in strategy.state_dict().items())


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_step_waits_for_no_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device tensors have no values, so a step that reads one fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # unknown to it
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    network, strategy = build(name)
    network, strategy = network.to("meta"), strategy.to("meta")
    sample = tiny_sample(ROWS, dims=2)
    sample = replace(sample, images=sample.images.to("meta"), labels=sample.labels.to("meta"))
    loss = strategy(network, sample)
    loss.total.backward()
    strategy.scale_gradients(network)
    strategy.end_epoch(0)
    assert loss.total.shape == ()


@pytest.mark.parametrize("name", DIFFERENT)
def test_half_precision_networks_have_single_precision_losses(name: str) -> None:
    network, strategy = build(name)
    with torch.autocast("cpu", torch.bfloat16):
        loss = strategy(network, tiny_sample(ROWS, dims=2))
    loss.total.backward()
    assert {value.dtype for value in (loss.total, *loss.terms.values())} == {torch.float32}
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("choice", ["none", "zero"])
def test_weights_of_absent_sequences(choice: str) -> None:
    network = tiny_backbone(dims=2)
    strategy = build_strategy(NoBalancing(absent_gradient=choice), tiny_task(), network)
    strategy(network, tiny_sample(["1100"], dims=2)).total.backward()
    strategy.scale_gradients(network)
    absent = [p.grad for p in network.encoders[3].parameters()]
    if choice == "none":
        assert all(gradient is None for gradient in absent)
    else:
        assert all(not gradient.any() for gradient in absent)
    assert network.encoders[0].entries[0].weight.grad.any()
