"""Names and shapes of the published state dicts as facts, filled with random values.

Sizes are tiny, the names are those of the public repositories. ``belongs`` says where the weights of
one sequence are, counted in the published order flair, t1ce, t1, t2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

SEQUENCES = ("flair", "t1ce", "t1", "t2")
Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Table:
    """A published state dict.

    Attributes:
        shapes: of all weights by name.
        by_name: part of the names of a sequence's own weights, with ``{}`` for the sequence.
        blocks: weights with a block per sequence: (end of name, axis, blocks; one block may be no sequence's).
        side: of a window that the converted network can see.
    """

    shapes: dict[str, tuple[int, ...]]
    by_name: tuple[str, ...]
    blocks: tuple[tuple[str, int, int], ...]
    side: int

    def random(self, seed: int = 0) -> dict[str, Tensor]:
        """A state dict."""
        generator = torch.Generator().manual_seed(seed)
        scale = {name: max(1, torch.Size(shape[1:]).numel()) ** -0.5 for name, shape in self.shapes.items()}
        return {name: scale[name] * torch.randn(shape, generator=generator) for name, shape in self.shapes.items()}

    def of_sequence(self, weights: dict[str, Tensor], sequence: str) -> Iterator[Tensor]:
        """Views of all that belongs to a sequence."""
        place = SEQUENCES.index(sequence)
        for name, weight in weights.items():
            if any(pattern.format(sequence) in f".{name}" for pattern in self.by_name):
                yield weight
            for ending, axis, count in self.blocks:
                if name.endswith(ending):
                    length = weight.shape[axis] // count
                    yield weight.narrow(axis, place * length, length)


def _conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, kernel, kernel, kernel)
    yield f"{name}.bias", (outputs,)


def _linear(name: str, inputs: int, outputs: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norm(name: str, channels: int) -> Shapes:
    yield f"{name}.weight", (channels,)
    yield f"{name}.bias", (channels,)


def _encoder(name: str, b: int, levels: int, first: str) -> Shapes:
    for level in range(1, levels + 1):
        c = b * 2 ** (level - 1)
        yield from _conv(first if level == 1 else f"{name}.e{level}_c1.conv", 1 if level == 1 else c // 2, c)
        yield from _conv(f"{name}.e{level}_c2.conv", c, c)
        yield from _conv(f"{name}.e{level}_c3.conv", c, c)


def _decoder(name: str, b: int, levels: int, classes: int) -> Shapes:
    for level in range(1, levels):
        c = b * 2 ** (level - 1)
        yield from _conv(f"{name}.d{level}_c1.conv", 2 * c, c)
        yield from _conv(f"{name}.d{level}_c2.conv", 2 * c, c)
        yield from _conv(f"{name}.d{level}_out.conv", c, c, 1)
    yield from _conv(f"{name}.seg_layer", b, classes, 1)


def _three(name: str, inputs: int, hidden: int, outputs: int) -> Shapes:
    yield from _conv(f"{name}.0.conv", inputs, hidden, 1)
    yield from _conv(f"{name}.1.conv", hidden, hidden)
    yield from _conv(f"{name}.2.conv", hidden, outputs, 1)


def _transformer(name: str, channels: int, hidden: int, depth: int) -> Shapes:
    for j in range(depth):
        attention, feed_forward = f"{name}.cross_attention_list.{j}.fn", f"{name}.cross_ffn_list.{j}.fn"
        yield from _norm(f"{attention}.norm", channels)
        yield from _linear(f"{attention}.fn.qkv", channels, 3 * channels, bias=False)
        yield from _linear(f"{attention}.fn.proj", channels, channels)
        yield from _norm(f"{feed_forward}.norm", channels)
        yield from _linear(f"{feed_forward}.fn.net.0", channels, hidden)
        yield from _linear(f"{feed_forward}.fn.net.3", hidden, channels)


def _mmformer(b: int, side: int, original: bool) -> Shapes:
    c, tokens = 16 * b, 64 * b
    for s in SEQUENCES:
        yield f"{s}_pos", (1, side**3, tokens)
    for s in SEQUENCES:
        yield from _encoder(f"{s}_encoder", b, 5, first=f"{s}_encoder.e1_c1")
        yield from _conv(f"{s}_encode_conv", c, tokens, 1)
        yield from _conv(f"{s}_decode_conv", tokens, c, 1) if original else ()
        yield from _transformer(f"{s}_transformer", tokens, 8 * tokens, 1)
    yield from _transformer("multimodal_transformer", tokens, 8 * tokens, 1)
    yield from _conv("multimodal_decode_conv", 4 * tokens, 4 * c, 1)
    yield from _decoder("decoder_fuse", b, 5, 4)
    for level in range(1, 6):
        here = b * 2 ** (level - 1)
        yield from _three(f"decoder_fuse.RFM{level}.fusion_layer", 4 * here, here, here)
        yield from _conv(f"decoder_fuse.seg_d{level - 1}", here, 4, 1) if level > 1 else ()
    yield from _decoder("decoder_sep", b, 5, 4)


def _rfnet(b: int, classes: int) -> Shapes:
    for s in SEQUENCES:
        yield from _encoder(f"{s}_encoder", b, 4, first=f"{s}_encoder.e1_c1.conv")
    yield from _decoder("decoder_fuse", b, 4, classes)
    for level in range(1, 5):
        c, fusion, maps = b * 2 ** (level - 1), f"decoder_fuse.RFM{level}", f"decoder_fuse.prm_generator{level}"
        for k in range(classes):
            yield from _conv(f"{fusion}.modal_fusion.{k}.weight_layer.0", 4 * c + 1, 128, 1)
            yield from _conv(f"{fusion}.modal_fusion.{k}.weight_layer.2", 128, 4, 1)
        yield from _three(f"{fusion}.region_fusion.fusion_layer", classes * c, c, c // 2)
        yield from _three(f"{fusion}.short_cut", 4 * c, c, c // 2)
        yield from _three(f"{maps}.embedding_layer", 4 * c, c // 4, c)
        yield from _conv(f"{maps}.prm_layer.0.conv", c if level == 4 else 2 * c, 16, 1)
        yield from _conv(f"{maps}.prm_layer.1", 16, classes, 1)
    yield from _decoder("decoder_sep", b, 4, classes)


def _depthwise(name: str, c: int) -> Shapes:
    for i in (1, 2, 3):
        yield from _conv(f"{name}.conv{i}", 1 if i == 2 else c, c, 3 if i == 2 else 1)
        yield from _norm(f"{name}.norm{i}", c)


def _grouped(name: str, c: int) -> Shapes:
    yield from _conv(f"{name}.pwconv1", c, 4 * c, 1)
    yield from _conv(f"{name}.dwconv", 4, 4 * c)
    yield from _conv(f"{name}.pwconv2", 4 * c, c, 1)
    for i, channels in ((1, 4 * c), (2, 4 * c), (3, c)):
        yield from _norm(f"{name}.norm{i}", channels)


def _m2ftrans(b: int, side: int, hidden: int, depth: int) -> Shapes:
    yield "pos", (1, 5 * side**3, 16 * b)
    yield "fusion", (1, side**3, 16 * b)
    for s in SEQUENCES:
        yield from _encoder(f"{s}_encoder", b, 5, first=f"{s}_encoder.e1_c1.conv")
    yield from _transformer("Bottleneck.trans_bottle", 16 * b, hidden, depth)
    yield from _conv("decoder_fusion.d5_c2.conv", 32 * b, 16 * b)
    yield from _conv("decoder_fusion.d5_out.conv", 16 * b, 16 * b, 1)
    yield from _decoder("decoder_fusion", b, 5, 4)
    for level in range(1, 6):
        c = b * 2 ** (level - 1)
        yield from _conv(f"decoder_fusion.prm_fusion{level}.prm_layer.0.conv", c, 16, 1)
        yield from _conv(f"decoder_fusion.prm_fusion{level}.prm_layer.1", 16, 4, 1)
        if level < 4:
            yield from _three(f"decoder_fusion.RFM{level}.fusion_layer", 4 * c, c, c)
            continue
        for i in (0, 1):
            layer = f"decoder_fusion.CT{level}.layers.{i}"
            for block in ("query_map", "out_project", *(f"{k}_map_{s}" for k in ("key", "value") for s in SEQUENCES)):
                yield from _depthwise(f"{layer}.cross_attn.{block}", c)
            yield from _grouped(f"{layer}.ffn1", c)
            yield from _grouped(f"{layer}.ffn2", c) if i == 0 else ()
    yield from _decoder("decoder_sep", b, 5, 4)


def _fusions(levels: tuple[int, ...]) -> tuple[tuple[str, int, int], ...]:
    return tuple((f"RFM{level}.fusion_layer.0.conv.weight", 1, 4) for level in levels)


_OWN = (".{}_encoder", ".{}_encode_conv", ".{}_transformer")

TABLES = {
    "mmformer": Table(dict(_mmformer(1, 2, original=True)), _OWN, _fusions((1, 2, 3, 4)), side=32),
    "rfnet": Table(
        dict(_rfnet(4, 4)),
        _OWN,
        (
            ("short_cut.0.conv.weight", 1, 4),
            ("embedding_layer.0.conv.weight", 1, 4),
            ("weight_layer.2.weight", 0, 4),
            ("weight_layer.2.bias", 0, 4),
        ),
        side=16,
    ),
    "m2ftrans": Table(
        dict(_m2ftrans(2, 2, hidden=24, depth=2)),
        (*_OWN, "key_map_{}.", "value_map_{}."),
        (*_fusions((1, 2, 3)), ("pos", 1, 5)),
        side=32,
    ),
}
"""mmFormer with the layers that only its first authors have."""

RFNET_2015 = Table(dict(_rfnet(4, 5)), _OWN, (), side=16)
"""Five classes, as RFNet has for BraTS 2015."""
MMFORMER_PASSION = Table(dict(_mmformer(1, 5, original=False)), _OWN, (), side=80)
"""PASSION's copy: no unused layers, five tokens a side."""
