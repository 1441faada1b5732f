"""M2FTrans: published size, its plain masked form in full, its attention weights, the common properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import backbone
from DMAFTraining.networks import build_network
from DMAFTraining.networks.blocks import instance_norm
from DMAFTraining.networks.channel_attention import ChannelAttention
from DMAFTraining.networks.fusion_transformer import FusionTransformer
from DMAFTraining.networks.m2ftrans import M2FTrans, M2FTransConfig

SOLID = M2FTransConfig(width=2, modalities=3, window=(2, 2, 2), hidden=16)
FLAT = M2FTransConfig(dims=2, width=2, modalities=3, classes=6, window=(2, 2), hidden=16)
BOTH = pytest.mark.parametrize("config", [SOLID, FLAT], ids=["3-D", "2-D"])


def _network(config: M2FTransConfig) -> M2FTrans:
    """A network whose position codes are not zero."""
    torch.manual_seed(0)
    network = M2FTrans(config)
    with torch.no_grad():
        for position in (*(e.position for e in network.encoders), network.transformer.position):
            position.normal_()
    return network


def test_published_parameter_counts() -> None:
    network = M2FTrans(M2FTransConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert parts == {
        "encoders": 4 * (1_473_216 + 125 * 128),  # convolutions, positions
        "transformer": 3_356_928 + 2 * 125 * 128,  # layers, fusion tokens and their positions
        "decoder": 3_255_640,
        "unimodal_decoder": 593_356,
    }
    assert sum(parts.values()) == 13_194_788
    assert sum(p.numel() for p in M2FTrans(M2FTransConfig(width=16)).parameters()) == 45_429_660


def test_operations_per_80_cubed_window() -> None:
    present = torch.ones(1, 4, dtype=torch.bool)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        M2FTrans(M2FTransConfig()).eval()(torch.empty(1, 4, 80, 80, 80), present)
    # Published: 55.76, with attention of all 5 * 125 tokens on all, most of it masked. Here each sequence
    # attends to itself and the fusion tokens to everything: 9 blocks of 125 x 125 in place of 25.
    masked = 3 * (25 - 9) * 125**2 * 2 * 2 * 128
    assert counter.get_total_flops() / 1e9 == pytest.approx(55.76 - masked / 1e9, abs=0.01)


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy weights", "scaled weights"])
@BOTH
def test_network_equals_its_plain_masked_form(config: M2FTransConfig, legacy: bool) -> None:
    network = _network(replace(config, legacy_attention_weights=legacy)).double().eval()
    images = backbone.images_of(network).double()
    for flags in ([True, False, True], [False, False, True], [True, True, True]):
        present = torch.tensor([flags])
        with torch.no_grad():
            assert torch.allclose(network(images, present)[0], _plain(network, images[0], present[0]), atol=1e-9)


def _plain(network: M2FTrans, images: Tensor, present: Tensor) -> Tensor:
    """The published network on one case: all sequences everywhere, absent ones masked or set to zero."""
    encoded = [encoder(x[None, None]) for encoder, x in zip(network.encoders, images, strict=True)]
    levels = [torch.cat(level) for level in zip(*encoded, strict=True)]
    size, dims = levels[-1].shape[2:], network.config.dims
    codes = torch.cat([e.position for e in network.encoders])
    maps, fusion, weights = _plain_transformer(network.transformer, levels[-1], codes, present)
    if not network.config.legacy_attention_weights:
        weights = weights / weights[present].mean()
    shown = present.to(weights).view(-1, *(1,) * (dims + 1))
    weighted = []
    for level in (*levels[:-1], maps):
        spread = weights.view(-1, 1, *size)
        for axis in range(2, 2 + dims):
            spread = spread.repeat_interleave(level.shape[axis] // spread.shape[axis], axis)
        weighted.append(level * spread * shown)
    decoder = network.decoder
    attended = _plain_channel_attention(decoder.attentions[0], fusion, weighted[-1], present)
    x = decoder.mix(decoder.merge(torch.cat((attended, fusion), dim=1)))
    for index, stage in enumerate(decoder.stages, start=1):
        x = stage.up(x)
        level = weighted[-1 - index]
        if index == 1:
            fused = _plain_channel_attention(decoder.attentions[1], x, level, present)
        else:
            fuse = decoder.fusions[index - 2]
            fused = fuse.blocks(F.leaky_relu(instance_norm(fuse.first(torch.cat(list(level))[None])), 0.2))
        x = stage.mix(stage.merge(torch.cat((fused, x), dim=1)))
    return decoder.head(x)[0]


def _plain_transformer(
    transformer: FusionTransformer, features: Tensor, codes: Tensor, present: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One attention of all tokens on all, masked; maps of sequences and fusion, attention on each cell."""
    sequences, channels, *size = features.shape
    modality_tokens = features.flatten(2).transpose(1, 2) + codes  # (M, T, C)
    tokens = torch.cat((modality_tokens, transformer.fusion + transformer.position)).flatten(0, 1)
    cells = modality_tokens.shape[1]
    owner = torch.arange(sequences + 1).repeat_interleave(cells)
    allowed = owner[:, None] == owner[None]
    allowed[-cells:] = torch.cat((present, torch.tensor([True])))[owner]
    first = None
    for layer in transformer.layers:
        queries, keys, values = (
            layer.qkv(layer.norm_attention(tokens))
            .view(-1, 3, layer.heads, channels // layer.heads)
            .permute(1, 2, 0, 3)
        )
        scores = queries @ keys.transpose(1, 2) / (channels // layer.heads) ** 0.5
        attention = scores.masked_fill(~allowed, float("-inf")).softmax(-1)
        first = attention if first is None else first
        tokens = tokens + layer.projection((attention @ values).transpose(0, 1).flatten(1))
        tokens = tokens + layer.mlp(layer.norm_mlp(tokens))
    maps = tokens.view(sequences + 1, cells, channels).transpose(1, 2).unflatten(2, size)
    weights = first[:, -cells:, :-cells].sum((0, 1)).view(sequences, cells)
    return maps[:-1], maps[-1:], weights


def _plain_channel_attention(attention: ChannelAttention, query: Tensor, maps: Tensor, present: Tensor) -> Tensor:
    """Attention on the channels of all sequences ``maps (M, C, *S)``, those of absent ones at minus infinity."""
    channels = query.shape[1]
    for layer in attention.layers:
        keys = torch.cat([block(x[None]).flatten(2) for block, x in zip(layer.keys, maps, strict=True)], dim=1)
        values = torch.cat([block(x[None]).flatten(2) for block, x in zip(layer.values, maps, strict=True)], dim=1)
        scores = layer.query(query).flatten(2) @ keys.transpose(1, 2) / keys.shape[-1] ** 0.5
        scores = scores.masked_fill(~present.repeat_interleave(channels), float("-inf"))
        query = layer.feed_query(query + layer.restore((scores.softmax(-1) @ values).view_as(query)))
        if layer.feed_maps is not None:
            maps = layer.feed_maps(maps)
    return query


@pytest.mark.parametrize(("count", "published"), [(1, 4.0), (4, 1.6)])
def test_weights_under_even_attention(count: int, published: float) -> None:
    for legacy, expected in ((True, published), (False, 1.0)):
        transformer = FusionTransformer(16, (2, 2), 1, 8, 4, 0.5, legacy).eval()
        torch.nn.init.zeros_(transformer.layers[0].qkv.weight)
        offered = torch.zeros(count, 1, 2, 8, 4, 2)
        _, weights = transformer.fuse([offered], (2, 2))
        assert weights[0].shape == (count, 2, 2)
        assert torch.allclose(weights[0], torch.tensor(expected))


def test_dropout_leaks_into_the_legacy_weights_only() -> None:
    offered = torch.zeros(2, 1, 2, 8, 4, 2)
    for legacy in (True, False):
        torch.manual_seed(0)
        transformer = FusionTransformer(16, (2, 2), 1, 8, 4, 0.5, legacy).train()
        torch.nn.init.zeros_(transformer.layers[0].qkv.weight)
        weights = transformer.fuse([offered], (2, 2))[1][0]
        assert (weights.std() > 0.1) == legacy


def test_weights_have_no_gradient() -> None:
    network = _network(SOLID)
    features = network.encode(backbone.images_of(network), backbone.everything(network))
    offered = features[SOLID.levels + 1]
    assert offered.requires_grad
    _, weights = network.transformer.fuse([offered[0]], (2, 2, 2))
    assert not weights[0].requires_grad
    assert weights[0].mean() == pytest.approx(1)


@BOTH
def test_shapes_and_other_windows(config: M2FTransConfig) -> None:
    backbone.check_shapes(_network(config), 32, deep=[32, 16, 8, 4, 2])
    backbone.check_shapes(_network(config), 48, deep=[48, 24, 12, 6, 3])


def test_bottleneck_of_a_sequence_is_the_last_level_of_its_encoder() -> None:
    network, images = _network(SOLID).eval(), backbone.images_of(_network(SOLID))
    found = network.bottleneck(network.encode(images, backbone.everything(network)), [(0, 2)])
    assert torch.equal(found, network.encoders[2](images[:, 2:])[-1])


@BOTH
def test_absent_content_is_inert(config: M2FTransConfig) -> None:
    backbone.check_absent_content_is_inert(_network(config).train())
    backbone.check_features_outside_a_subset_are_not_read(_network(config).eval())
    backbone.check_absent_encoders_do_not_run(_network(config).eval())


@BOTH
def test_subsets_and_rows(config: M2FTransConfig) -> None:
    backbone.check_subsets_share_one_encoding(_network(config))
    backbone.check_rows_choose_their_case(_network(config))


@BOTH
def test_training_step_and_bundle(config: M2FTransConfig) -> None:
    backbone.check_one_step_reaches_every_parameter(_network(config).train())
    backbone.check_bundle_network(_network(config))


def test_training_step_in_mixed_precision() -> None:
    backbone.check_one_step_reaches_every_parameter(_network(FLAT).train(), torch.bfloat16)


def test_unusable_settings_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"2 dimensions needs 2 window sizes, not \(5, 5, 5\)"):
        build_network(M2FTransConfig(dims=2))
    with pytest.raises(ValueError, match="8 heads cannot share the 36 channels"):
        build_network(M2FTransConfig(width=9, levels=3))
