"""RFNet as dyh127/RFNet (width 16) and Jun-Jie-Shi/PASSION (width 8) release it."""

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
    in_our_order,
    reordered,
    size,
)
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks.base import NetworkConfig
from DMAFTraining.networks.rfnet import RFNetConfig

_DECODER = "decoder_fuse"
_WINDOW = (80, 80, 80)
"""Fixed in the published code."""


def _configure(weights: Weights) -> RFNetConfig:
    return RFNetConfig(
        modalities=len(SEQUENCES),
        classes=size(weights, f"{_DECODER}.seg_layer.weight"),
        width=size(weights, "flair_encoder.e1_c1.conv.weight"),
    )


def _modules(config: RFNetConfig) -> modules.Names:
    for m, sequence in enumerate(BRATS.names):
        yield from modules.encoder(f"encoders.{m}", f"{sequence}_encoder", config.levels)
    for index in range(config.levels):  # coarse to fine; the published names count from the finest, 1
        maps, fusion = (f"{_DECODER}.{part}{config.levels - index}" for part in ("prm_generator", "RFM"))
        yield from modules.concat_fusion(f"decoder.embeddings.{index}", f"{maps}.embedding_layer")
        yield f"decoder.maps.{index}", f"{maps}.prm_layer"
        for k in range(config.classes):
            yield f"decoder.fusions.{index}.weighing.{k}", f"{fusion}.modal_fusion.{k}.weight_layer"
        yield from modules.concat_fusion(f"decoder.fusions.{index}.regions", f"{fusion}.region_fusion.fusion_layer")
        yield from modules.concat_fusion(f"decoder.fusions.{index}.shortcut", f"{fusion}.short_cut")
    yield from modules.staged_decoder(_DECODER, config.levels - 1)


def _sources(config: NetworkConfig, names: Iterable[str]) -> dict[str, Source]:
    config = cast(RFNetConfig, config)
    found = by_module(names, _modules(config))
    for index in range(config.levels):
        fusion = f"decoder.fusions.{index}"
        for name in (f"decoder.embeddings.{index}.first.weight", f"{fusion}.shortcut.first.weight"):
            found[name] = reordered(found[name])
        for k in range(config.classes):
            first, last = f"{fusion}.weighing.{k}.0.weight", f"{fusion}.weighing.{k}.2"
            found[first] = Source(found[first].names, _told)
            found[f"{last}.weight"] = Source(found[f"{last}.weight"].names, _given)
            found[f"{last}.bias"] = reordered(found[f"{last}.bias"], dim=0)
    return found


def _told(kernel: Tensor) -> Tensor:
    """The matrix that reads the mean features of each sequence, then the size of the region."""
    matrix = kernel.flatten(1)
    return torch.cat((in_our_order(matrix[:, :-1], dim=1), matrix[:, -1:]), dim=1)


def _given(kernel: Tensor) -> Tensor:
    """The matrix that gives each sequence its weight."""
    return in_our_order(kernel.flatten(1), dim=0)


RFNET = Published(
    title="RFNet",
    mark=f"{_DECODER}.prm_generator",
    left_out=("decoder_sep.",),
    configure=_configure,
    sources=_sources,
    window=lambda config: _WINDOW,
    citation="Y. Ding et al., RFNet: Region-Aware Fusion Network for Incomplete Multi-Modal Brain Tumor "
    "Segmentation, ICCV 2021",
)
