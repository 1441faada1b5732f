"""mmFormer as YaoZhang93/mmFormer and Jun-Jie-Shi/PASSION release it.

The first was trained on windows of 128 voxels (8 tokens a side) and has four layers that it never
uses; the second on 80 (5 tokens). In both the fused tokens are laid out in an order that depends on
the order of the sequences, which ``legacy_token_layout`` brings back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor

from DMAFTraining.conversion import modules
from DMAFTraining.conversion.published import (
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
from DMAFTraining.networks.mmformer import LEVELS, MMFormerConfig

_DECODER = "decoder_fuse"
_STRIDE = 2 ** (LEVELS - 1)


def _configure(weights: Weights) -> MMFormerConfig:
    return MMFormerConfig(
        modalities=len(SEQUENCES),
        classes=size(weights, f"{_DECODER}.seg_layer.weight"),
        width=size(weights, "flair_encoder.e1_c1.weight"),
        window=(cube_side(weights, "flair_pos"),) * 3,
        legacy_token_layout=tuple(BRATS.index(name) for name in SEQUENCES),
    )


def _modules() -> modules.Names:
    for m, sequence in enumerate(BRATS.names):
        ours = f"encoders.{m}"
        yield from modules.encoder(ours, f"{sequence}_encoder", LEVELS)
        yield f"{ours}.transformer.project", f"{sequence}_encode_conv"
        yield from modules.transformer_layer(f"{ours}.transformer.layer", f"{sequence}_transformer", 0)
    yield from modules.transformer_layer("transformer", "multimodal_transformer", 0)
    yield "restore", "multimodal_decode_conv"
    for level in range(LEVELS):
        theirs = f"{_DECODER}.RFM{level + 1}.fusion_layer"
        yield f"fusions.{level}.gather", f"{theirs}.0"
        yield f"fusions.{level}.blocks.0", f"{theirs}.1"
        yield f"fusions.{level}.blocks.1", f"{theirs}.2"
    yield from modules.decoder(("decoder.raise_.{}", "decoder.merge.{}", "decoder.mix.{}"), _DECODER, LEVELS - 1)


def _sources(config: NetworkConfig, names: Iterable[str]) -> dict[str, Source]:
    found = by_module(names, _modules())
    for level in range(LEVELS - 1):  # the coarsest fuses what comes out of the transformer, not sequences
        name = f"fusions.{level}.gather.conv.weight"
        found[name] = reordered(found[name])
    return found | {"positions": Source(tuple(f"{sequence}_pos" for sequence in BRATS.names), _together)}


def _together(*positions: Tensor) -> Tensor:
    return torch.cat(positions)


MMFORMER = Published(
    title="mmFormer",
    mark="multimodal_transformer.",
    left_out=("decoder_sep.", f"{_DECODER}.seg_d", *(f"{sequence}_decode_conv." for sequence in SEQUENCES)),
    configure=_configure,
    sources=_sources,
    window=lambda config: tuple(_STRIDE * tokens for tokens in cast(MMFormerConfig, config).window),
    citation="Y. Zhang et al., mmFormer: Multimodal Medical Transformer for Incomplete Multimodal Learning of Brain "
    "Tumor Segmentation, MICCAI 2022",
)
