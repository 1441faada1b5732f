"""Inference on a CPU: fewer passes over memory, the same results."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backbone import every_subset, everything, images_of
from DMAFTraining.benchmarking.inference import random_network
from DMAFTraining.networks import NETWORKS, lean, normactconv
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.networks.blocks import ConvNormAct, NormActConv, PatchPool, convolution
from DMAFTraining.networks.phases import dense
from DMAFTraining.networks.unet import NormAct

SIZES = {2: (12, 8), 3: (12, 4, 8)}
INTERPOLATIONS = {2: "bilinear", 3: "trilinear"}


def _map(dims: int, channels: int = 3, rows: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(4)
    return dense((2 * torch.randn(rows, channels, *SIZES[dims]) + 5).to(dtype))


def _predict(network: SegmentationNetwork, images: Tensor, rows: Tensor) -> Tensor:
    features = network.encode(images, rows.any(dim=0, keepdim=True).expand(len(images), -1))
    return network.decode(features, rows)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_gives_the_same_in_inference_mode(name: str, dims: int) -> None:
    network = random_network(name, dims, 4).double()  # so that only a few casts to fp32 round
    cases = [
        (images_of(network), every_subset(4)[:: 1 if dims == 2 else 7]),  # one case, many subsets
        (images_of(network), torch.tensor([[False, True, False, True], [False, True, False, False]])),
        (images_of(network, 2), torch.tensor([[True, False, True, True], [False, False, True, False]])),
    ]
    for images, rows in cases:
        with torch.no_grad():
            expected = _predict(network, images.double(), rows)
        with torch.inference_mode():
            found = _predict(network, images.double(), rows)
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_mixed_precision_keeps_most_labels(name: str) -> None:
    network, rows = random_network(name, 2, 4), every_subset(4)
    images = images_of(network, side=64)
    with torch.no_grad():
        expected = _predict(network, images, rows)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = _predict(network, images, rows)
    assert found.dtype == torch.bfloat16
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.9


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_that_is_passed_in_is_changed(name: str) -> None:
    network = random_network(name, 2, 4)
    images, rows = images_of(network), every_subset(4)
    before = images.clone()
    with torch.inference_mode():
        features = network.encode(images, everything(network))
        kept = [level.clone() for level in features]
        first = network.decode(features, rows)
        again = torch.cat([network.decode(features, row) for row in rows.split(1)])
    assert torch.equal(images, before)
    assert all(torch.equal(a, b) for a, b in zip(features, kept, strict=True))
    assert torch.allclose(first, again, atol=1e-4)


def test_a_single_sequence_is_decoded_from_features_that_stay() -> None:
    network = random_network("unet", 2, 4)
    with torch.inference_mode():
        features = network.encode(images_of(network), everything(network))
        kept = features[0].clone()
        network.decode_unimodal(features, [(0, m) for m in range(4)])
    assert torch.equal(features[0], kept)


@pytest.mark.parametrize("name", NETWORKS)
def test_absent_content_is_never_read(name: str) -> None:
    network = random_network(name, 2, 4)
    images, present = images_of(network, 2), torch.tensor([[True, False, True, False], [True, True, False, False]])
    broken = images.masked_fill(~present[:, :, None, None], math.nan)
    with torch.inference_mode():
        features, expected = network.encode(broken, present), network.encode(images, present)
        assert all(torch.equal(a, b) for a, b in zip(features, expected, strict=True))
        assert all(not level[~present].any() for level in features[:1])


def test_training_and_no_grad_never_come_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the lean path")

    for name in ("normalizer", "write_active"):
        monkeypatch.setattr(normactconv, name, refuse)
    layer, x = NormActConv(2, 3, 4), _map(2)
    layer(x).sum().backward()
    with torch.no_grad():
        layer(x)
    with torch.inference_mode(), pytest.raises(AssertionError, match="the lean path"):
        layer(x)


@pytest.mark.parametrize("in_cache", [1, 50, 2**19])  # one plane, some planes, all at once
@pytest.mark.parametrize("dims", [2, 3])
def test_normalizer_is_instance_norm(dims: int, in_cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "_IN_CACHE", in_cache)
    x, weight, bias = _map(dims), torch.randn(3), torch.randn(3)
    for more in ({}, {"weight": weight, "bias": bias}):
        out = torch.empty_like(x)
        lean.write_active(x, lean.normalizer(x, **more), 0.2, out)
        assert torch.allclose(out, F.leaky_relu(F.instance_norm(x, **more), 0.2), atol=1e-5)


def test_statistics_stay_exact_far_from_zero() -> None:
    x = dense(1000 + torch.randn(1, 2, 40, 40, 40, generator=torch.Generator().manual_seed(0)))
    affine = lean.normalizer(x)
    exact = x.double().flatten(2)
    expected = exact.var(2, unbiased=False).add(lean.EPSILON).rsqrt()
    assert torch.allclose(affine.scale.double().view(40, 2), expected.expand(40, 2), rtol=1e-6)
    wanted = -exact.mean(2) * expected
    assert torch.allclose(affine.shift.double().view(40, 2), wanted.expand(40, 2), rtol=1e-6)


def test_statistics_of_bf16_are_made_in_fp32() -> None:
    x = _map(3, dtype=torch.bfloat16)
    affine = lean.normalizer(x)
    assert affine.scale.dtype == torch.float32
    assert torch.allclose(affine.scale, lean.normalizer(x.float()).scale)
    out = torch.empty_like(x)
    lean.write_active(x, affine, 0.2, out)
    assert torch.equal(out, F.leaky_relu(F.instance_norm(x.float()), 0.2).to(x.dtype))


@pytest.mark.parametrize("dims", [2, 3])
def test_small_parts_equal_plain_operations(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, size = _map(dims), SIZES[dims]
    grid = torch.randn(2, 3, *(5, 4, 3)[:dims])
    resized = lean.resize(grid, size)
    assert torch.allclose(resized, F.interpolate(grid, size=size, mode=INTERPOLATIONS[dims]), atol=1e-6)
    pool = PatchPool(dims, 3, 4)
    with torch.inference_mode():
        found = pool(x)
    assert torch.allclose(found, pool(x), atol=1e-5)
    monkeypatch.setattr(lean, "_IN_CACHE", 50)
    weights = [torch.rand(2, 1, *size) for _ in range(3)]
    maps = [x, x + 1, -x]
    expected = sum(a * e for a, e in zip(weights, maps, strict=True))
    assert torch.allclose(lean.weighted_sum(weights, maps), expected, atol=1e-5)
    rounded = lean.weighted_sum(weights, [e.bfloat16() for e in maps])
    assert rounded.dtype == torch.bfloat16
    assert torch.allclose(rounded.float(), expected, rtol=2**-6, atol=0.1)


@pytest.mark.parametrize("make", [lambda d: ConvNormAct(d, 3, 4), lambda d: NormAct(3)], ids=["ConvNormAct", "NormAct"])
@pytest.mark.parametrize("dims", [2, 3])
def test_layers_behind_a_convolution(dims: int, make: Callable[[int], torch.nn.Module]) -> None:
    layer, x = make(dims), _map(dims)
    expected = layer(x)
    with torch.inference_mode():
        assert torch.allclose(layer(x.clone()), expected, atol=1e-5)


@pytest.mark.parametrize("outputs", [2, 8, 12])
@pytest.mark.parametrize("border", ["reflect", "zeros"])
@pytest.mark.parametrize("size", [(16, 9), (4, 6, 10), (24, 24, 24)], ids=str)
def test_convolution_of_a_single_channel(size: tuple[int, ...], border: str, outputs: int) -> None:
    layer = convolution(len(size), 1, outputs, 3, border=border).double()
    x = torch.randn(1, 1, *size, dtype=torch.float64)
    with torch.inference_mode():
        found = layer(x)
    assert torch.allclose(found, layer(x), atol=1e-12)
