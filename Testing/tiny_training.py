"""Backbones, batches and tasks small enough to train a step in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.base import Strategy, StrategySettings, Task
from DMAFTraining.data.batch import Batch
from DMAFTraining.losses.segmentation import one_hot
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from DMAFTraining.networks.mmformer import MMFormer, MMFormerConfig

SIZE = 32


def tiny_backbone(name: str = "dmafnet", dims: int = 3, modalities: int = 4, classes: int = 4) -> SegmentationNetwork:
    """A backbone of width 2 without dropout in training mode; DMAF's weights differ from the plain mean."""
    torch.manual_seed(0)
    shape = {"modalities": modalities, "classes": classes, "dims": dims, "width": 2}
    if name == "mmformer":
        return MMFormer(MMFormerConfig(**shape, window=(2,) * dims, dropout=0.0)).train()
    network = DMAFNet(DMAFNetConfig(**shape, grid=(2,) * dims, layers=1, channels_per_head=2, dropout=0.0))
    with torch.no_grad():
        for fusion in network.fusions:
            fusion.score.weight.normal_(std=2.0)
            fusion.identity.normal_()
    return network.train()


def tiny_sample(
    available: Sequence[str], present: Sequence[str] | None = None, dims: int = 3, classes: int = 4, seed: int = 0
) -> Batch:
    """Random images and blocky labels with every class.

    Args:
        available: one string of 0 and 1 per case, a digit per sequence.
        present: the same for the fused prediction, by default all that is available.
        dims: 2 or 3.
        classes: number of classes.
        seed: of images and labels.
    """
    generator = torch.Generator().manual_seed(seed)
    size = (SIZE,) * dims
    exists, seen = flags(available), flags(present or available)
    images = torch.randn(len(available), exists.shape[1], *size, generator=generator)
    images *= exists.view(*exists.shape, *(1,) * dims)
    blocks = torch.randint(0, classes, (len(available), *(4,) * dims), generator=generator, dtype=torch.uint8)
    for axis in range(1, dims + 1):
        blocks = blocks.repeat_interleave(SIZE // 4, axis)
    return Batch(images, blocks, exists, seen)


def tiny_task(modalities: int = 4, classes: int = 4) -> Task:
    """A task with different missing rates."""
    return Task(classes, tuple(1.0 + 0.5 * m for m in range(modalities)), epochs=300)


def double_precision(
    settings: StrategySettings, network: SegmentationNetwork, samples: Sequence[Batch]
) -> tuple[Strategy, list[Batch]]:
    """A strategy for a network in fp64 and batches for it.

    Thin networks amplify the rounding of fp32 more than a comparison of gradients allows.
    """
    network.double()
    strategy = build_strategy(settings, tiny_task(), network).train()
    strategy.target = lambda sample: one_hot(sample.labels, network.config.classes).double()
    return strategy, [replace(sample, images=sample.images.double()) for sample in samples]


def flags(rows: Sequence[str]) -> torch.Tensor:
    """``["101", ...]`` as bool ``(B, M)``."""
    return torch.tensor([[digit == "1" for digit in row] for row in rows])


def part(sample: Batch, case: int) -> Batch:
    """A batch of one of the cases."""
    rows = slice(case, case + 1)
    return Batch(sample.images[rows], sample.labels[rows], sample.available[rows], sample.present[rows])
