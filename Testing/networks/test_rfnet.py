"""RFNet: published size, region-aware fusion against its plain form, and what every backbone must keep."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import backbone
from DMAFTraining.networks import build_network
from DMAFTraining.networks.blocks import instance_norm
from DMAFTraining.networks.postnorm import ConcatFusion
from DMAFTraining.networks.rfnet import RegionFusion, RFNet, RFNetConfig
from DMAFTraining.networks.subsets import Rows

SOLID = RFNetConfig(width=2, modalities=3)
FLAT = RFNetConfig(dims=2, width=4, modalities=3, classes=6)
BOTH = pytest.mark.parametrize("config", [SOLID, FLAT], ids=["3-D", "2-D"])


def _network(config: RFNetConfig) -> RFNet:
    torch.manual_seed(0)
    return RFNet(config)


def _post_norm(x: Tensor) -> Tensor:
    return F.leaky_relu(instance_norm(x), 0.2)


def test_published_parameter_counts() -> None:
    network = RFNet(RFNetConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert parts == {"encoders": 4 * 366_912, "decoder": 767_444, "unimodal_decoder": 146_700}
    assert sum(parts.values()) == 2_381_792
    assert sum(p.numel() for p in RFNet(RFNetConfig(width=16)).parameters()) == 8_984_960


def test_operations_per_80_cubed_window() -> None:
    present = torch.ones(1, 4, dtype=torch.bool)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        RFNet(RFNetConfig()).eval()(torch.empty(1, 4, 80, 80, 80), present)
    # Published: 51.58. Its products of features and probability maps are not counted (no matrix product).
    # Here they are part of one matrix (C, 4 C) per region, 2 K C 4 C operations a voxel, in place of the
    # convolution of K C to C channels; level l has 1/8^l of the voxels and 4^l times that. Then the means.
    voxels, channels = 80**3, 8
    halves = sum(2.0**-level for level in range(4))
    regions = (2 * 4 * channels * 4 * channels - 2 * 4 * channels * channels) * voxels * halves
    means = 2 * 4 * channels * 4 * voxels * sum(4.0**-level for level in range(4))
    assert counter.get_total_flops() / 1e9 == pytest.approx(51.58 + (regions + means) / 1e9, abs=0.01)


@BOTH
def test_fusion_of_a_concatenation_is_a_sum_of_products(config: RFNetConfig) -> None:
    torch.manual_seed(0)
    fusion = ConcatFusion(config.dims, 3, 4, 5, 6)
    maps = torch.randn(3, 1, 4, *(8,) * config.dims)
    maps[1] = 0  # an absent sequence
    plain = fusion.blocks(_post_norm(fusion.first(torch.cat(list(maps), dim=1))))
    assert torch.allclose(fusion.finish(fusion.product(maps[0], 0) + fusion.product(maps[2], 2)), plain, atol=1e-5)


@BOTH
def test_region_fusion_equals_one_map_per_region_and_sequence(config: RFNetConfig) -> None:
    torch.manual_seed(0)
    dims, classes, channels = config.dims, config.classes, 4
    fusion = RegionFusion(dims, 3, channels, classes)
    features = torch.randn(2, 3, channels, *(6,) * dims)
    present = torch.tensor([[True, False, True], [True, True, True]])
    regions = torch.randn(2, classes, *(6,) * dims).softmax(1)
    rows = Rows(present, [1, 0])
    used = rows.gather(features)
    products = torch.stack([fusion.shortcut.product(x[None], m)[0] for x, (_, m) in zip(used, rows.pairs, strict=True)])
    found = fusion(used, products, regions, rows)
    for row, case in enumerate([1, 0]):
        seen = torch.where(present[row].view(3, 1, *(1,) * dims), features[case], torch.zeros(()))
        assert torch.allclose(found[row], _plain_region_fusion(fusion, seen, regions[row]), atol=1e-5)


def _plain_region_fusion(fusion: RegionFusion, features: Tensor, regions: Tensor) -> Tensor:
    """The published form on ``features (M, C, *S)``, zero where absent: a map per region and sequence."""
    fused = []
    for weigh, region in zip(fusion.weighing, regions, strict=True):
        divided = features * region  # (M, C, *S)
        size = region.mean() + 1e-7
        told = torch.cat((divided.flatten(2).mean(-1).flatten() / size, size[None]))
        weights = weigh(told).sigmoid().view(-1, *(1,) * (features.dim() - 1))
        fused.append((weights * divided).sum(0))
    halves = [
        part.blocks(_post_norm(part.first(torch.cat(list(maps))[None])))[0]
        for part, maps in ((fusion.regions, fused), (fusion.shortcut, features))
    ]
    return torch.cat(halves)


def test_probability_maps_learn_from_their_own_loss_only() -> None:
    network = _network(SOLID)
    images, present = backbone.images_of(network), backbone.everything(network)
    decoded = network.decode_training(network.encode(images, present), present, [0])
    decoded.logits.square().sum().backward(retain_graph=True)
    heads = list(network.decoder.maps.parameters())
    assert all(p.grad is None for p in heads)
    sum(d.square().sum() for d in decoded.deep).backward()
    assert all(p.grad is not None for p in heads)


def test_a_region_that_is_nowhere_does_no_harm() -> None:
    torch.manual_seed(0)
    fusion = RegionFusion(3, 2, 4, 3)
    regions = torch.zeros(1, 3, 4, 4, 4)
    regions[:, 0] = 1
    rows = Rows(torch.tensor([[True, True]]), [0])
    shares = fusion.shares(torch.randn(2, 4, 4, 4, 4), regions, rows)
    assert shares.shape == (1, 3, 2)
    assert ((shares > 0) & (shares < 1)).all()


@BOTH
def test_shapes(config: RFNetConfig) -> None:
    backbone.check_shapes(_network(config), 32, deep=[32, 16, 8, 4])
    backbone.check_shapes(_network(config), 16, deep=[16, 8, 4, 2])


def test_bottleneck_of_a_sequence_is_the_last_level_of_its_encoder() -> None:
    network, images = _network(SOLID).eval(), backbone.images_of(_network(SOLID))
    found = network.bottleneck(network.encode(images, backbone.everything(network)), [(0, 2)])
    assert torch.equal(found, network.encoders[2](images[:, 2:])[-1])


@BOTH
def test_absent_content_is_inert(config: RFNetConfig) -> None:
    backbone.check_absent_content_is_inert(_network(config).train())
    backbone.check_features_outside_a_subset_are_not_read(_network(config).eval())
    backbone.check_absent_encoders_do_not_run(_network(config).eval())


@BOTH
def test_subsets_and_rows(config: RFNetConfig) -> None:
    backbone.check_subsets_share_one_encoding(_network(config).eval())
    backbone.check_rows_choose_their_case(_network(config))


@BOTH
def test_training_step_and_bundle(config: RFNetConfig) -> None:
    backbone.check_one_step_reaches_every_parameter(_network(config).train())
    backbone.check_bundle_network(_network(config))


def test_training_step_in_mixed_precision() -> None:
    backbone.check_one_step_reaches_every_parameter(_network(FLAT).train(), torch.bfloat16)


def test_an_odd_width_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="RFNet needs an even width, not 3"):
        build_network(RFNetConfig(width=3))
