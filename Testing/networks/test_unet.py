"""The plain U-Net: its size by hand, equality with one convolution over zero-filled channels, the common properties."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import backbone
from DMAFTraining.networks.unet import UNet, UNetConfig

SOLID = UNetConfig(width=2, modalities=3)
FLAT = UNetConfig(dims=2, width=4, modalities=3, classes=6)
BOTH = pytest.mark.parametrize("config", [SOLID, FLAT], ids=["3-D", "2-D"])


def _network(config: UNetConfig) -> UNet:
    torch.manual_seed(0)
    return UNet(config)


def _block(a: int, b: int) -> int:
    return 27 * a * b + 2 * b  # convolution without bias, scale and shift


def test_parameter_count_by_hand() -> None:
    network = UNet(UNetConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    steps = [(8, 16), (16, 32), (32, 64), (64, 128)]
    assert parts == {
        "encoders": 4 * 27 * 8,
        "entry": 2 * 8 + _block(8, 8),
        "down": sum(_block(a, b) + _block(b, b) for a, b in steps),
        "up": sum(8 * b * a + a + _block(2 * a, a) + _block(a, a) for a, b in steps),
        "head": 8 * 4 + 4,
        "deep_heads": sum(c * 4 + 4 for c in (16, 32, 64)),
    }
    assert sum(parts.values()) == 1_413_640


def test_operations_per_80_cubed_window() -> None:
    present = torch.ones(1, 4, dtype=torch.bool)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        UNet(UNetConfig()).eval()(torch.empty(1, 4, 80, 80, 80), present)
    assert counter.get_total_flops() / 1e9 == pytest.approx(15.374, abs=0.001)


def test_channels_stop_growing() -> None:
    network = UNet(UNetConfig(dims=2, width=4, max_channels=10))
    assert network.bottleneck_channels == 10
    assert [step[0][0].out_channels for step in network.down] == [8, 10, 10, 10]


@BOTH
def test_first_convolution_is_one_over_all_channels_with_zeros_for_the_absent(config: UNetConfig) -> None:
    network = _network(config).double().eval()
    images = backbone.images_of(network).double()
    weight = torch.cat([stem.weight for stem in network.encoders], dim=1)  # (width, M, 3, ...)
    convolve = F.conv3d if config.dims == 3 else F.conv2d
    for present in backbone.every_subset(3):
        filled = images * present.view(1, 3, *(1,) * config.dims)
        with torch.no_grad():
            x = levels = [network.entry(convolve(filled, weight, padding=1))]
            for step in network.down:
                levels.append(step(levels[-1]))
            x = levels[-1]
            for step, skip in zip(network.up, levels[-2::-1], strict=True):
                x = step.blocks(torch.cat((step.up(x), skip), dim=1))
            assert torch.allclose(network.head(x), network(images, present[None]), atol=1e-9)


@BOTH
def test_a_single_sequence_runs_through_the_network_itself(config: UNetConfig) -> None:
    network = _network(config).double().eval()
    images = backbone.images_of(network, 2).double()
    features = network.encode(images, backbone.everything(network, 2))
    present = torch.tensor([[False, True, False], [True, False, False]])
    alone = network.decode_training(features, present, [0, 1])
    assert torch.allclose(network.decode_unimodal(features, [(0, 1), (1, 0)]), alone.logits, atol=1e-9)
    assert torch.allclose(network.bottleneck(features, [(0, 1), (1, 0)]), alone.bottleneck, atol=1e-9)


@BOTH
def test_shapes(config: UNetConfig) -> None:
    backbone.check_shapes(_network(config), 32, deep=[16, 8, 4])
    backbone.check_shapes(_network(config), 48, deep=[24, 12, 6])


@BOTH
def test_absent_content_is_inert(config: UNetConfig) -> None:
    backbone.check_absent_content_is_inert(_network(config).train())
    backbone.check_features_outside_a_subset_are_not_read(_network(config).eval())
    backbone.check_absent_encoders_do_not_run(_network(config).eval())


@BOTH
def test_subsets_and_rows(config: UNetConfig) -> None:
    backbone.check_subsets_share_one_encoding(_network(config))
    backbone.check_rows_choose_their_case(_network(config))


@BOTH
def test_training_step_and_bundle(config: UNetConfig) -> None:
    backbone.check_one_step_reaches_every_parameter(_network(config).train())
    backbone.check_bundle_network(_network(config))


def test_training_step_in_mixed_precision() -> None:
    backbone.check_one_step_reaches_every_parameter(_network(FLAT).train(), torch.bfloat16)
