"""The name maps: every published weight goes to one place, and to that of its own sequence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from conversion.tables import MMFORMER_PASSION, RFNET_2015, SEQUENCES, TABLES, Table
from DMAFTraining.conversion.converting import Converted, convert
from DMAFTraining.conversion.reading import ConversionError
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import build_network, network_name
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.networks.mmformer import MMFormerConfig

EACH = pytest.mark.parametrize("name", TABLES)
PUBLISHED_PLACE = {"t1": 2, "t1ce": 1, "flair": 0, "t2": 3}


def _network(converted: Converted) -> SegmentationNetwork:
    network = build_network(converted.config, training_heads=False)
    network.load_state_dict(converted.weights)
    return network.eval()


def _sorted_values(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors]).sort().values


@EACH
def test_network_and_its_size_are_read_off_the_weights(name: str) -> None:
    config = convert(TABLES[name].random()).config
    expected = {
        "mmformer": {"width": 1, "window": (2, 2, 2), "classes": 4, "modalities": 4},
        "rfnet": {"width": 4, "levels": 4, "classes": 4, "modalities": 4},
        "m2ftrans": {"width": 2, "window": (2, 2, 2), "hidden": 24, "depth": 2, "legacy_attention_weights": True},
    }[name]
    assert network_name(config) == name
    assert {key: getattr(config, key) for key in expected} == expected


@pytest.mark.parametrize("table", [*TABLES.values(), RFNET_2015, MMFORMER_PASSION])
def test_every_value_is_used_once(table: Table) -> None:
    """The converted values are those of the checkpoint without what it says is left out, in another order."""
    weights = table.random()
    converted = convert(weights)
    used = [weight for name, weight in weights.items() if name not in converted.left_out]
    assert torch.equal(_sorted_values(used), _sorted_values(list(converted.weights.values())))
    _network(converted)  # load_state_dict is strict: no name missing, no shape wrong


@EACH
def test_only_heads_of_training_and_unused_layers_are_left_out(name: str) -> None:
    left_out = set(convert(TABLES[name].random()).left_out)
    heads = {
        "mmformer": ["decoder_sep.", "decoder_fuse.seg_d", *(f"{s}_decode_conv." for s in SEQUENCES)],
        "rfnet": ["decoder_sep."],
        "m2ftrans": ["decoder_sep.", "decoder_fusion.prm_fusion"],
    }[name]
    assert left_out == {n for n in TABLES[name].shapes if n.startswith(tuple(heads))}


@EACH
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_weights_of_a_sequence_matter_if_and_only_if_it_is_there(name: str, sequence: str) -> None:
    """Blocks in the wrong order would carry the change to another sequence."""
    table = TABLES[name]
    weights = table.random()
    changed = {key: weight.clone() for key, weight in weights.items()}
    for own in table.of_sequence(changed, sequence):
        own.add_(torch.linspace(0.1, 0.9, own.numel()).view(own.shape))
    before, after = _network(convert(weights)), _network(convert(changed))
    channel = BRATS.index(sequence)
    present = torch.ones(2, 4, dtype=torch.bool)
    present[1, channel] = False
    images = torch.randn((1, 4, *(table.side,) * 3), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, other = (network.decode(network.encode(images, present[:1]), present) for network in (before, after))
    assert not torch.allclose(one[0], other[0], atol=1e-3)
    assert torch.equal(one[1], other[1])


def test_blocks_of_sequences_come_into_our_order() -> None:
    """RFNet's first layers read t1, t1ce, flair, t2 here; published are flair, t1ce, t1, t2 = 0, 1, 2, 3."""
    order = [PUBLISHED_PLACE[name] for name in BRATS.names]
    weights = TABLES["rfnet"].random()
    first = weights["decoder_fuse.RFM4.modal_fusion.2.weight_layer.0.weight"]
    first[:, :-1] = torch.arange(4.0).repeat_interleave(32).view(1, -1, 1, 1, 1)  # 32 channels each
    first[:, -1] = 7
    weights["decoder_fuse.RFM4.modal_fusion.2.weight_layer.2.bias"].copy_(torch.arange(4.0))
    converted = convert(weights).weights
    row = converted["decoder.fusions.0.weighing.2.0.weight"][5]
    assert row.tolist() == [float(place) for place in order for _ in range(32)] + [7]
    assert converted["decoder.fusions.0.weighing.2.2.bias"].tolist() == order == [2, 1, 0, 3]


def test_positions_are_split_by_sequence() -> None:
    weights = TABLES["m2ftrans"].random()
    weights["pos"] = torch.arange(5.0).repeat_interleave(8).view(1, 40, 1).expand(1, 40, 32).clone()
    converted = convert(weights).weights
    assert [float(converted[f"encoders.{m}.position"].unique()) for m in range(4)] == [2, 1, 0, 3]
    assert float(converted["transformer.position"].unique()) == 4  # behind the sequences: the fusion tokens
    weights = TABLES["mmformer"].random()
    for place, sequence in enumerate(SEQUENCES):
        weights[f"{sequence}_pos"].fill_(place)
    assert convert(weights).weights["positions"][:, 0, 0].tolist() == [2, 1, 0, 3]


def test_fused_tokens_of_mmformer_are_laid_out_in_the_published_order() -> None:
    config = convert(TABLES["mmformer"].random()).config
    assert isinstance(config, MMFormerConfig)
    assert config.legacy_token_layout == (2, 1, 0, 3)  # flair, t1ce, t1, t2 among t1, t1ce, flair, t2
    assert [BRATS.names[m] for m in config.legacy_token_layout] == list(SEQUENCES)


@EACH
@pytest.mark.parametrize("place", [0, 0.5, 1], ids=["first", "middle", "last"])
def test_a_missing_weight_is_named(name: str, place: float) -> None:
    weights = TABLES[name].random()
    training = ("decoder_sep", "decoder_fuse.seg_d", "decoder_fusion.prm", *(f"{s}_decode_conv" for s in SEQUENCES))
    needed = [key for key in weights if not key.startswith(training)]
    key = needed[int(place * (len(needed) - 1))]
    del weights[key]
    with pytest.raises(ConversionError, match=rf"looks like .*, but it lacks {key}\."):
        convert(weights)


@EACH
def test_an_unexpected_weight_is_named(name: str) -> None:
    weights = TABLES[name].random()
    with pytest.raises(ConversionError, match=r"unexpected weights: extra\.0, extra\.1, extra\.2 and 2 more\."):
        convert(weights | {f"extra.{i}": torch.zeros(1) for i in range(5)})


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("mmformer", "t1_encoder.e2_c2.conv.weight"),
        ("mmformer", "t2_pos"),
        ("mmformer", "decoder_fuse.RFM3.fusion_layer.0.conv.weight"),
        ("rfnet", "decoder_fuse.RFM4.modal_fusion.1.weight_layer.0.weight"),
        ("rfnet", "decoder_fuse.prm_generator1.embedding_layer.0.conv.weight"),
        ("m2ftrans", "decoder_fusion.CT4.layers.1.cross_attn.key_map_t1ce.norm2.bias"),
        ("m2ftrans", "fusion"),
    ],
)
@pytest.mark.parametrize("axis", [0, -1])
def test_a_weight_of_another_shape_is_named(name: str, key: str, axis: int) -> None:
    weights = TABLES[name].random()
    weights[key] = torch.cat((weights[key], weights[key]), dim=axis)
    with pytest.raises(ConversionError, match=rf"{key} of shape .* does not fit"):
        convert(weights)


def test_positions_that_are_no_cube_are_refused() -> None:
    weights = TABLES["mmformer"].random()
    with pytest.raises(ConversionError, match="flair_pos has 7 positions"):
        convert(weights | {"flair_pos": weights["flair_pos"][:, :7]})


def test_an_impossible_size_is_refused() -> None:
    """RFNet halves its channels between regions and shortcut."""
    weights = TABLES["rfnet"].random()
    with pytest.raises(ConversionError, match=r"no such network can be built .*even width"):
        convert(weights | {"flair_encoder.e1_c1.conv.weight": torch.zeros(3, 1, 3, 3, 3)})


def test_an_unknown_network_is_refused_by_its_first_names() -> None:
    with pytest.raises(ConversionError, match=r"first weights are a\.weight, b\.weight\. Known are mmFormer, RFNet"):
        convert({"a.weight": torch.zeros(1), "b.weight": torch.zeros(1)})


def test_half_precision_rounding_is_the_largest_change() -> None:
    converted = convert(TABLES["rfnet"].random())
    one = {"x": torch.tensor([1.0, 1 + 2**-12]), "y": torch.tensor([2048.0, 2049.25])}
    assert replace(converted, weights=one).rounding == 0.75  # steps of 2 between 2048 and 4096
