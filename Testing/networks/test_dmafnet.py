"""DMAF-Net: published size, what absent sequences may not do, and the encode/decode seam."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import backbone
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import build_network, network_config, network_name
from DMAFTraining.networks.blocks import PatchPool, subset_rows
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from tiny import TINY, tiny_network

FLAT = DMAFNetConfig(dims=2, width=2, grid=(2, 2), layers=1, channels_per_head=2, modalities=3)
WITH_TRANSFORMER = replace(FLAT, bottleneck_transformer="intra", grid=(3, 3))
EVERY = pytest.mark.parametrize("config", [TINY, FLAT, WITH_TRANSFORMER], ids=["3-D", "2-D", "2-D with transformer"])


def _case(batch: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, 4, 32, 32, 32, generator=torch.Generator().manual_seed(seed))


def _subsets() -> torch.Tensor:
    return torch.tensor([BRATS.flags(s) for s in BRATS.subsets()])


def test_parameter_count_at_width_8() -> None:
    network = DMAFNet(DMAFNetConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert parts == {
        "encoders": 5_892_864,
        "fusions": 1_159_157,
        "decoder": 593_356,
        "unimodal_decoder": 593_356,
        "deep_heads": 976,
    }
    assert sum(parts.values()) == 8_239_709


def test_parameter_count_with_the_transformer_of_mmformer() -> None:
    network = DMAFNet(DMAFNetConfig(bottleneck_transformer="intra"))
    # per sequence: 1x1 convolution 128 -> 512, 125 positions, one layer (no qkv bias), 1x1 convolution back
    extra = (128 * 512 + 512) + 125 * 512 + 5_250_048 + (512 * 128 + 128)
    assert sum(p.numel() for p in network.parameters()) == 8_239_709 + 4 * extra


def test_operations_per_80_cubed_window() -> None:
    present = torch.ones(1, 4, dtype=torch.bool)
    with torch.device("meta"):
        network = DMAFNet(DMAFNetConfig()).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 4, 80, 80, 80), present)
    # 46.17 for convolutions and linear layers, 0.99 for attention over 500 tokens
    assert counter.get_total_flops() / 1e9 == pytest.approx(47.16, abs=0.05)


@EVERY
def test_shapes(config: DMAFNetConfig) -> None:
    backbone.check_shapes(DMAFNet(config), 32, deep=[16, 8, 4, 2])
    backbone.check_shapes(DMAFNet(config), 48, deep=[24, 12, 6, 3])


@EVERY
def test_absent_content_is_inert(config: DMAFNetConfig) -> None:
    backbone.check_absent_content_is_inert(DMAFNet(config).train())
    backbone.check_features_outside_a_subset_are_not_read(DMAFNet(config).eval())
    backbone.check_absent_encoders_do_not_run(DMAFNet(config).eval())


@EVERY
def test_subsets_and_rows(config: DMAFNetConfig) -> None:
    torch.manual_seed(0)
    backbone.check_subsets_share_one_encoding(DMAFNet(config))
    backbone.check_rows_choose_their_case(DMAFNet(config))


@EVERY
def test_training_step_and_bundle(config: DMAFNetConfig) -> None:
    backbone.check_one_step_reaches_every_parameter(DMAFNet(config).train())
    backbone.check_bundle_network(DMAFNet(config))


def test_training_step_in_mixed_precision() -> None:
    backbone.check_one_step_reaches_every_parameter(DMAFNet(FLAT).train(), torch.bfloat16)


def test_training_rows_equal_decode() -> None:
    network, images = tiny_network(), _case(2)
    available = torch.tensor([[True, True, True, True], [True, False, True, False]])
    present = torch.tensor([[True] * 4, [False, True, False, False], [True, False, True, False], [True, False] * 2])
    rows = [0, 0, 1, 0]
    with torch.no_grad():
        features = network.encode(images, available)
        decoded = network.decode_training(features, present, rows)
        apart = [network.decode([f[b : b + 1] for f in features], present[r : r + 1]) for r, b in enumerate(rows)]
    assert torch.allclose(decoded.logits, torch.cat(apart), atol=1e-4)
    assert torch.equal(decoded.bottleneck[1], features[-1][0, 1])  # one sequence: f = e exactly


def test_unimodal_decoder_sees_one_sequence_only() -> None:
    network = tiny_network()
    features = network.encode(_case(2), torch.ones(2, 4, dtype=torch.bool))
    expected = network.unimodal_decoder.head(network.unimodal_decoder([[level[1, 2:3]] for level in features])[0][0])
    assert torch.allclose(network.decode_unimodal(features, [(0, 1), (1, 2)])[1:], expected, atol=1e-4)


def test_encoder_of_an_absent_sequence_gets_no_gradient() -> None:
    network = DMAFNet(WITH_TRANSFORMER)
    backbone.training_pass(network, backbone.images_of(network), torch.tensor([[True, False, True]]))[
        0
    ].sum().backward()
    without = [all(p.grad is None for p in encoder.parameters()) for encoder in network.encoders]
    assert without == [False, True, False]


def test_all_subsets_from_one_encoding_equal_separate_calls() -> None:
    network, images, subsets = tiny_network(), _case(), _subsets()
    with torch.no_grad():
        features = network.encode(images, torch.ones(1, 4, dtype=torch.bool))
        together = network.decode(features, subsets)
        apart = torch.cat([network(images, row[None]) for row in subsets])
    together, apart = together.softmax(1), apart.softmax(1)
    assert (together - apart).abs().max() < 1e-4
    assert (together[0] - together[1]).abs().max() > 1e-2  # subsets do differ


def test_one_sequence_passes_the_fusion_unchanged() -> None:
    network, images = tiny_network(), _case()
    for m in range(4):
        present = torch.zeros(1, 4, dtype=torch.bool)
        present[0, m] = True
        features = network.encode(images, torch.ones(1, 4, dtype=torch.bool))
        fused = network.fuse(features, present, [0])
        assert all(torch.equal(rows[0], e[:, m]) for rows, e in zip(fused, features, strict=True))


def test_weights_are_a_share_over_present_sequences() -> None:
    network, subsets = tiny_network(), _subsets()
    features = network.encode(_case(), torch.ones(1, 4, dtype=torch.bool))
    for fusion, level in zip(network.fusions, features, strict=True):
        rows = [0] * len(subsets)
        weights = fusion.weights(subset_rows(level, subsets, rows), subsets, rows)
        assert torch.allclose(weights.sum(1), torch.ones(()), atol=1e-6)
        assert (weights[~subsets] == 0).all()
        assert (weights[subsets] > 0).all()


def test_fusion_starts_as_the_plain_mean() -> None:
    torch.manual_seed(0)
    network = DMAFNet(TINY).eval()
    features = network.encode(_case(), torch.ones(1, 4, dtype=torch.bool))
    fused = network.fuse(features, torch.tensor([[True, True, False, True]]), [0])
    assert torch.allclose(fused[2][0], features[2][:, [0, 1, 3]].mean(1), atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_patch_pool_is_a_depthwise_convolution(dims: int) -> None:
    pool = PatchPool(dims, 6, 4)
    torch.nn.init.normal_(pool.bias)
    x = torch.randn(2, 6, *(8, 16, 12)[:dims])
    convolve = {2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}[dims]
    assert torch.allclose(pool(x), convolve(x, pool.weight, pool.bias, stride=4, groups=6), atol=1e-5)


def test_unusable_input_is_refused_in_words() -> None:
    network = tiny_network()
    everything = torch.ones(1, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"should be \(B, 4, 3 axes\), not \(1, 3, 32, 32, 32\)"):
        network(torch.zeros(1, 3, 32, 32, 32), everything)
    with pytest.raises(ValueError, match="no sequence at all"):
        network(_case(), ~everything)
    with pytest.raises(ValueError, match=r"multiple of 16 from 32 on, not \(32, 40, 32\)"):
        network(torch.zeros(1, 4, 32, 40, 32), everything)
    with pytest.raises(ValueError, match="Presence should be bool"):
        network(_case(), everything.float())
    with pytest.raises(ValueError, match="unknown network 'vnet'; known are dmafnet"):
        network_config("vnet", {})
    with pytest.raises(ValueError, match="has no setting depth"):
        network_config("dmafnet", {"depth": 3})


def test_network_is_found_by_its_configuration() -> None:
    values = json.loads(json.dumps(asdict(TINY)))  # tuples become lists
    assert network_config("dmafnet", values) == TINY
    assert network_name(TINY) == "dmafnet"
    assert isinstance(build_network(TINY), DMAFNet)
