"""M2FTrans as Jun-Jie-Shi/M2FTrans (M2FTrans_v1, width 16) and Jun-Jie-Shi/PASSION (width 8) release it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor

from DMAFTraining.conversion import modules
from DMAFTraining.conversion.published import (
    PLACES,
    SEQUENCES,
    Published,
    Source,
    Weights,
    by_module,
    cube_side,
    reordered,
    size,
)
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks.base import NetworkConfig
from DMAFTraining.networks.m2ftrans import ATTENTION_LAYERS, ATTENTION_LEVELS, M2FTransConfig

_DECODER = "decoder_fusion"
_TRANSFORMER = "Bottleneck.trans_bottle"
_GRIDS = len(SEQUENCES) + 1
"""Positions of the tokens of all sequences, then of the fusion tokens, are one tensor."""
_DEPTHWISE = {0: "conv1", 1: "norm1", 3: "conv2", 4: "norm2", 6: "conv3", 7: "norm3"}
_GROUPED = {0: "pwconv1", 1: "norm1", 3: "dwconv", 4: "norm2", 6: "pwconv2", 7: "norm3"}


def _configure(weights: Weights) -> M2FTransConfig:
    layers = {name.split(".")[3] for name in weights if name.startswith(f"{_TRANSFORMER}.cross_ffn_list.")}
    return M2FTransConfig(
        modalities=len(SEQUENCES),
        classes=size(weights, f"{_DECODER}.seg_layer.weight"),
        width=size(weights, "flair_encoder.e1_c1.conv.weight"),
        window=(cube_side(weights, "pos", grids=_GRIDS),) * 3,
        depth=len(layers),
        hidden=size(weights, f"{_TRANSFORMER}.cross_ffn_list.0.fn.fn.net.0.weight"),
        legacy_attention_weights=True,
    )


def _modules(config: M2FTransConfig) -> modules.Names:
    for m, sequence in enumerate(BRATS.names):
        yield from modules.encoder(f"encoders.{m}", f"{sequence}_encoder", config.levels)
    for index in range(config.depth):
        yield from modules.transformer_layer(f"transformer.layers.{index}", _TRANSFORMER, index)
    yield "decoder.merge", f"{_DECODER}.d{config.levels}_c2"
    yield "decoder.mix", f"{_DECODER}.d{config.levels}_out"
    for index in range(config.levels):  # coarse to fine; the published names count from the finest, 1
        level = config.levels - index
        if index < ATTENTION_LEVELS:
            for layer in range(ATTENTION_LAYERS):
                ours = f"decoder.attentions.{index}.layers.{layer}"
                yield from _attention_layer(ours, f"{_DECODER}.CT{level}.layers.{layer}")
        else:
            ours = f"decoder.fusions.{index - ATTENTION_LEVELS}"
            yield from modules.concat_fusion(ours, f"{_DECODER}.RFM{level}.fusion_layer")
    yield from modules.staged_decoder(_DECODER, config.levels - 1)


def _attention_layer(ours: str, theirs: str) -> modules.Names:
    blocks = {"query": "query_map", "restore": "out_project"}
    for m, sequence in enumerate(BRATS.names):
        blocks |= {f"keys.{m}": f"key_map_{sequence}", f"values.{m}": f"value_map_{sequence}"}
    for our_block, their_block in blocks.items():
        for place, layer in _DEPTHWISE.items():
            yield f"{ours}.{our_block}.{place}", f"{theirs}.cross_attn.{their_block}.{layer}"
    for our_block, their_block in {"feed_query": "ffn1", "feed_maps": "ffn2"}.items():
        for place, layer in _GROUPED.items():
            yield f"{ours}.{our_block}.blocks.{place}", f"{theirs}.{their_block}.{layer}"


def _sources(config: NetworkConfig, names: Iterable[str]) -> dict[str, Source]:
    config = cast(M2FTransConfig, config)
    found = by_module(names, _modules(config))
    for index in range(config.levels - ATTENTION_LEVELS):
        name = f"decoder.fusions.{index}.first.weight"
        found[name] = reordered(found[name])
    found |= {f"encoders.{m}.position": _positions(place) for m, place in enumerate(PLACES)}
    return found | {"transformer.position": _positions(_GRIDS - 1), "transformer.fusion": Source(("fusion",))}


def _positions(grid: int) -> Source:
    def select(positions: Tensor) -> Tensor:
        return positions.unflatten(1, (_GRIDS, -1))[:, grid]

    return Source(("pos",), select)


M2FTRANS = Published(
    title="M2FTrans",
    mark=f"{_TRANSFORMER}.",
    left_out=("decoder_sep.", f"{_DECODER}.prm_fusion"),
    configure=_configure,
    sources=_sources,
    window=lambda config: tuple(
        2 ** (cast(M2FTransConfig, config).levels - 1) * tokens for tokens in cast(M2FTransConfig, config).window
    ),
    citation="J. Shi et al., MFTrans: Modality-Masked Fusion Transformer for Incomplete Multi-Modality Brain Tumor "
    "Segmentation, IEEE JBHI 2024",
)
