"""The contract of a balancing strategy: it turns a batch into a loss and may act on the gradients.

Any strategy runs with any backbone. A strategy is a module: what it learns (projections, weights)
are parameters, what it remembers (gaps, preferences) are buffers, so one ``state_dict`` resumes it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from DMAFTraining.data.batch import Batch
from DMAFTraining.losses.segmentation import deep_supervision_loss, one_hot, segmentation_loss
from DMAFTraining.networks.base import Decoded, Features, SegmentationNetwork


@dataclass(frozen=True)
class StrategySettings:
    """What every strategy is told.

    Attributes:
        weighted_cross_entropy: the papers' class weights, or plain cross-entropy.
        upsample_deep: compare coarse outputs at full resolution, as published; otherwise the target
            is average-pooled to the coarse grid, which costs less.
        absent_gradient: what the optimizer sees of weights that no case of a step used: "none", it
            leaves them alone; "zero", weight decay and momentum move them, as in the reference code,
            which runs the encoders of absent sequences and multiplies their output by zero.
        drops_existing: whether the sampler hides sequences that exist.
    """

    weighted_cross_entropy: bool = True
    upsample_deep: bool = True
    absent_gradient: Literal["none", "zero"] = "none"
    drops_existing: ClassVar[bool] = False


@dataclass(frozen=True)
class Task:
    """What a strategy has to know of the run.

    Attributes:
        classes: output classes K, background included.
        rate_weights: number of training cases over the number that have each sequence (1 = never
            missing); all 1 where every sequence is there in training.
        epochs: epochs of the run.
    """

    classes: int
    rate_weights: tuple[float, ...]
    epochs: int


@dataclass
class StepLoss:
    """The outcome of a forward pass.

    Attributes:
        total: scalar to minimize.
        terms: detached scalars by name, before weighting, for the log.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


class Strategy(nn.Module, ABC):
    """One balancing method. ``forward`` gives the loss; the other methods do nothing by default.

    Args:
        settings: of this method.
        task: what the run is.
        network: the backbone it will train; only its sizes are read here.
    """

    def __init__(self, settings: StrategySettings, task: Task, network: SegmentationNetwork) -> None:
        super().__init__()
        self.settings = settings
        self.task = task

    @abstractmethod
    def forward(self, network: SegmentationNetwork, sample: Batch) -> StepLoss:
        """Loss of a batch. Runs under autocast; losses are computed in fp32."""

    def scale_gradients(self, network: SegmentationNetwork) -> None:
        """Change ``.grad`` between backward and step, once per optimizer step.

        Called on gradients that are reduced over ranks and free of a loss scale, before any clipping.
        """
        if self.settings.absent_gradient == "zero":
            for parameter in network.parameters():
                if parameter.requires_grad and parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)

    def learning_rate_factors(self) -> Tensor | None:
        """Factors ``(M,)`` on the encoders' learning rates, asked for after ``scale_gradients``; None: all 1."""
        return None

    def end_epoch(self, epoch: int) -> None:
        """Update what changes once per epoch, after the epoch with this number (from 0)."""

    def curves(self) -> dict[str, Tensor]:
        """Detached vectors ``(M,)`` or scalars that show the balancing, for the log."""
        return {}

    def extra_parameters(self) -> list[tuple[Sequence[nn.Parameter], float]]:
        """Parameters of the strategy with their weight-decay factor (1 or 0)."""
        parameters = list(self.parameters())
        return [(parameters, 1.0)] if parameters else []

    def target(self, sample: Batch) -> Tensor:
        """One-hot truth ``(B, K, *S)``, float."""
        return one_hot(sample.labels, self.task.classes)

    def fused_loss(self, decoded: Decoded, target: Tensor) -> Tensor:
        """Eq. (1) on the fused prediction of each row ``(R,)``."""
        settings = self.settings
        return deep_supervision_loss(
            decoded.logits, decoded.deep, target, settings.weighted_cross_entropy, settings.upsample_deep
        )

    def unimodal_loss(
        self, network: SegmentationNetwork, features: Features, target: Tensor, pairs: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Segmentation loss of each single sequence through the uni-modal decoder ``(P,)``."""
        logits = network.decode_unimodal(features, pairs)
        rows = torch.tensor([b for b, _ in pairs]).to(target.device, non_blocking=True)
        return segmentation_loss(logits, target[rows], self.settings.weighted_cross_entropy)
