"""mmFormer: published size, the shared fusion against its plain form, and what every backbone must keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import backbone
from DMAFTraining.networks import build_network
from DMAFTraining.networks.blocks import NormActConv
from DMAFTraining.networks.decoders import Decoder
from DMAFTraining.networks.mmformer import LEVELS, MMFormer, MMFormerConfig
from DMAFTraining.networks.transformers import position_codes

SOLID = MMFormerConfig(width=2, modalities=3, window=(2, 2, 2))
FLAT = MMFormerConfig(dims=2, width=2, modalities=3, classes=6, window=(2, 2))
BOTH = pytest.mark.parametrize("config", [SOLID, FLAT], ids=["3-D", "2-D"])


def _network(config: MMFormerConfig) -> MMFormer:
    torch.manual_seed(0)
    network = MMFormer(config)
    with torch.no_grad():
        network.positions.normal_()
    return network


def _convolve(layer: torch.nn.Module, x: Tensor) -> Tensor:
    if layer.weight.shape[-1] == 3:
        mode = "reflect" if layer.padding_mode == "reflect" else "constant"
        x = F.pad(x, (1, 1) * (x.dim() - 2), mode=mode)
    return (F.conv3d if x.dim() == 5 else F.conv2d)(x, layer.weight, layer.bias, layer.stride)


def _step(block: NormActConv, x: Tensor) -> Tensor:
    return _convolve(block.conv, F.leaky_relu(F.group_norm(x, x.shape[1]), 0.2))


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="trilinear" if x.dim() == 5 else "bilinear", align_corners=True)


def _decode(decoder: Decoder, features: list[Tensor]) -> list[Tensor]:
    x = features[-1]
    decoded = [x]
    for skip, raise_, merge, mix in zip(features[-2::-1], decoder.raise_, decoder.merge, decoder.mix, strict=True):
        x = _step(mix, _step(merge, torch.cat((skip, _step(raise_, _up(x))), dim=1)))
        decoded.append(x)
    return decoded[::-1]


def _plain_features(network: MMFormer, images: Tensor) -> list[list[Tensor]]:
    """Per level, the features of each sequence; then the tokens of each."""
    found: list[list[Tensor]] = [[] for _ in range(LEVELS + 1)]
    for m, encoder in enumerate(network.encoders):
        x = images[:, m : m + 1]
        for level, (entry, residual) in enumerate(zip(encoder.entries, encoder.residuals, strict=True)):
            x = _step(entry, x) if level else _convolve(entry, x)
            x = x + _step(residual[1], _step(residual[0], x))
            found[level].append(x)
        tokens = _convolve(encoder.transformer.project, x).flatten(2).transpose(1, 2)
        found[LEVELS].append(encoder.transformer.layer(tokens + network.positions[m : m + 1]))
    return found


def _plain_network(network: MMFormer, images: Tensor, present: Tensor) -> tuple[list[Tensor], Tensor]:
    """Decoded maps and logits in the plain form: features of absent sequences times zero, concatenated."""
    *levels, tokens = _plain_features(network, images)
    fused = []
    for fusion, level in zip(network.fusions, levels[:-1], strict=False):
        maps = [x * present[:, m].view(-1, *(1,) * (x.dim() - 1)) for m, x in enumerate(level)]
        fused.append(_step(fusion.blocks[1], _step(fusion.blocks[0], _step(fusion.gather, torch.cat(maps, dim=1)))))
    shown = [t * present[:, m, None, None] + network.positions[m] for m, t in enumerate(tokens)]
    mixed = network.transformer(torch.cat(shown, dim=1))
    size = levels[-1][0].shape[2:]
    if network.config.legacy_token_layout:
        in_order = torch.cat(
            [mixed.chunk(present.shape[1], dim=1)[m] for m in network.config.legacy_token_layout], dim=1
        )
        grid = in_order.view(len(images), *size, -1).permute(0, -1, *range(1, len(size) + 1))
    else:
        each = mixed.chunk(present.shape[1], dim=1)
        grid = torch.cat([t.transpose(1, 2).unflatten(2, size) for t in each], dim=1)
    x = _convolve(network.restore, grid)
    last = network.fusions[-1]
    fused.append(_step(last.blocks[1], _step(last.blocks[0], _step(last.gather, x))))
    decoded = _decode(network.decoder, fused)
    return decoded, _convolve(network.decoder.head, decoded[0])


def test_published_parameter_counts() -> None:
    network = MMFormer(MMFormerConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert parts == {
        "encoders": 4 * (1_473_216 + 66_048 + 5_250_048),  # convolutions, projection to tokens, transformer
        "transformer": 5_250_048,
        "restore": 1_049_088,
        "fusions": 1_293_444 - 593_356 - 976,
        "decoder": 593_356,
        "deep_heads": 976,
        "unimodal_decoder": 593_356,
    }
    assert sum(p.numel() for p in network.parameters()) == sum(parts.values()) + 4 * 64_000 == 35_599_184


def test_operations_per_80_cubed_window() -> None:
    present = torch.ones(1, 4, dtype=torch.bool)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        MMFormer(MMFormerConfig()).eval()(torch.empty(1, 4, 80, 80, 80), present)
    # With everything present each product of the fusion is needed once, as in the plain form.
    assert counter.get_total_flops() / 1e9 == pytest.approx(60.58, abs=0.01)


@pytest.mark.parametrize("legacy", [(), (2, 0, 1)], ids=["own layout", "legacy layout"])
@BOTH
def test_network_equals_its_plain_masked_form(config: MMFormerConfig, legacy: tuple[int, ...]) -> None:
    network = _network(replace(config, legacy_token_layout=legacy)).double().eval()
    subsets = backbone.every_subset(3)
    images = backbone.images_of(network, 1).double()
    parameters = [p for n, p in network.named_parameters() if not n.startswith("unimodal_decoder.")]
    decoded = network.decode_training(network.encode(images, backbone.everything(network)), subsets, [0] * len(subsets))
    maps, logits = _plain_network(network, images.expand(len(subsets), *images.shape[1:]), subsets)
    deep = [_convolve(head, x) for head, x in zip(network.deep_heads, maps[1:], strict=True)]
    found, expected = backbone.tensors_of(decoded), [logits, *deep, maps[0], maps[-1]]
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(found, expected, strict=True))
    ours, theirs = (torch.autograd.grad(sum(x.square().mean() for x in xs), parameters) for xs in (found, expected))
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-9) for a, b in zip(ours, theirs, strict=True))


@BOTH
def test_single_sequence_is_decoded_from_its_convolutional_features(config: MMFormerConfig) -> None:
    network = _network(config).double().eval()
    images = backbone.images_of(network).double()
    features = network.encode(images, backbone.everything(network))
    levels = [level[2] for level in _plain_features(network, images)[:LEVELS]]
    expected = _convolve(network.unimodal_decoder.head, _decode(network.unimodal_decoder, levels)[0])
    assert torch.allclose(network.decode_unimodal(features, [(0, 2)]), expected, atol=1e-9)
    assert torch.allclose(network.bottleneck(features, [(0, 2)]), levels[-1], atol=1e-9)


def test_what_a_sequence_adds_to_the_fusion_is_computed_by_the_encoding() -> None:
    network = _network(SOLID).eval()
    images, subsets = backbone.images_of(network), backbone.every_subset(3)
    with torch.no_grad():
        features = network.encode(images, backbone.everything(network))
        expected = network.decode(features, subsets)
        for fusion in network.fusions[: LEVELS - 1]:
            fusion.gather.conv.weight.fill_(float("nan"))
        assert torch.equal(network.decode(features, subsets), expected)


def test_legacy_layout_feeds_most_cells_from_one_sequence() -> None:
    """Of 125 cells with four sequences of 125 tokens, only 3 see two sequences; the others see one."""
    network = MMFormer(MMFormerConfig(width=2, legacy_token_layout=(0, 1, 2, 3)))
    owner = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 125, 8)
    cells = network.layout(owner.flatten(1, 2), 4, (5, 5, 5)).flatten(2)[0]
    assert sum(len(cell.unique()) == 1 for cell in cells.T) == 122
    network = MMFormer(MMFormerConfig(width=2))
    cells = network.layout(owner.flatten(1, 2), 4, (5, 5, 5)).flatten(2)[0]
    assert all(cell.unique().tolist() == [0, 1, 2, 3] for cell in cells.T)


def test_legacy_layout_follows_the_published_order_of_the_sequences() -> None:
    """Three sequences of two tokens: read in the published order, two cells of three tokens each."""
    network = MMFormer(MMFormerConfig(width=2, modalities=3, dims=2, window=(2, 1), legacy_token_layout=(2, 0, 1)))
    tokens = torch.tensor([[[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]]])  # sequence m: 10 m, 10 m + 1
    assert network.layout(tokens, 3, (2, 1)).squeeze().T.tolist() == [[20, 21, 0], [1, 10, 11]]


@pytest.mark.parametrize("order", [(0, 1), (0, 1, 1), (1, 2, 3)])
def test_legacy_layout_names_every_sequence_once(order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each of 3 sequences once"):
        MMFormer(replace(SOLID, legacy_token_layout=order))


def test_positions_are_resampled_for_another_window() -> None:
    table = torch.tensor([[[0.0], [1.0], [2.0], [3.0]]])  # rows (0, 1) and (2, 3)
    assert position_codes(table, (2, 2), (2, 2)) is table
    finer = position_codes(table, (2, 2), (4, 2)).view(4, 2)
    assert finer.tolist() == [[0, 1], [0.5, 1.5], [1.5, 2.5], [2, 3]]


@BOTH
def test_shapes(config: MMFormerConfig) -> None:
    backbone.check_shapes(_network(config), 32, deep=[16, 8, 4, 2])
    backbone.check_shapes(_network(config), 48, deep=[24, 12, 6, 3])


@BOTH
def test_absent_content_is_inert(config: MMFormerConfig) -> None:
    backbone.check_absent_content_is_inert(_network(config).train())
    backbone.check_features_outside_a_subset_are_not_read(_network(config).eval())
    backbone.check_absent_encoders_do_not_run(_network(config).eval())


def test_encoder_of_an_absent_sequence_gets_no_gradient() -> None:
    network = _network(SOLID)
    backbone.training_pass(network, backbone.images_of(network), torch.tensor([[True, False, True]]))[
        0
    ].sum().backward()
    without = [all(p.grad is None for p in encoder.parameters()) for encoder in network.encoders]
    assert without == [False, True, False]


@BOTH
def test_subsets_and_rows(config: MMFormerConfig) -> None:
    backbone.check_subsets_share_one_encoding(_network(config).eval())
    backbone.check_rows_choose_their_case(_network(config).eval())


@BOTH
def test_training_step_and_bundle(config: MMFormerConfig) -> None:
    backbone.check_one_step_reaches_every_parameter(_network(config).train())
    backbone.check_bundle_network(_network(config))


def test_training_step_in_mixed_precision() -> None:
    backbone.check_one_step_reaches_every_parameter(_network(FLAT).train(), torch.bfloat16)


def test_a_window_of_other_dimensions_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"of 2 dimensions needs 2 window sizes, not \(5, 5, 5\)"):
        build_network(MMFormerConfig(dims=2))
