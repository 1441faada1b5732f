"""DMAF-Net's objective: distillation toward the fused features and dynamic training monitoring.

Source: arXiv:2506.11691, Eq. (1) to (18). Fusion, the paper's third part, belongs to the backbone, so
the eight rows of the ablation are two backbones times the two switches here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from DMAFTraining.balancing.base import StepLoss, Strategy, StrategySettings, Task
from DMAFTraining.balancing.distillation import Distances, Distillation, DistillationSettings
from DMAFTraining.balancing.monitor import MonitorSettings, TrainingMonitor
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.scaling import GradientScaling, ScalingSettings, gamma
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import SegmentationNetwork


@dataclass(frozen=True)
class DMAFBalancing(StrategySettings):
    """The published objective and the readings of it that the paper leaves open.

    Attributes:
        distill: relation and prototype distillation are part of the loss.
        monitor: sequences are weighed by their gaps and encoder gradients scaled. Without
            ``distill`` the gaps are still measured, with projections that are not learned.
        fused_weight: lambda_1, of the fused loss with its deep supervision.
        unimodal_weight: lambda_2, of the losses of single sequences.
        relation_weight: lambda_3.
        prototype_weight: lambda_4.
        distillation: how students and teacher are compared.
        monitoring: how gaps become weights.
        scaling: what happens to encoder gradients.
    """

    distill: bool = True
    monitor: bool = True
    fused_weight: float = 2.0
    unimodal_weight: float = 1.0
    relation_weight: float = 0.5
    prototype_weight: float = 0.5
    distillation: DistillationSettings = field(default_factory=DistillationSettings)
    monitoring: MonitorSettings = field(default_factory=MonitorSettings)
    scaling: ScalingSettings = field(default_factory=ScalingSettings)


class DMAFStrategy(Strategy):
    """``L = l1 L_fuse + l2 sum_m w_m L_sep^m + l3 L_rel + l4 L_proto``, mean over the batch."""

    settings: DMAFBalancing

    def __init__(self, settings: DMAFBalancing, task: Task, network: SegmentationNetwork) -> None:
        super().__init__(settings, task, network)
        modalities, channels = len(task.rate_weights), network.bottleneck_channels
        self.distillation: Distillation | None = None
        self.monitor: TrainingMonitor | None = None
        self.scaling: GradientScaling | None = None
        if settings.distill or settings.monitor:
            self.distillation = Distillation(settings.distillation, modalities, channels, trained=settings.distill)
        if settings.monitor:
            self.monitor = TrainingMonitor(settings.monitoring, modalities)
            self.scaling = GradientScaling(settings.scaling, network.encoders, modalities)

    def forward(self, network: SegmentationNetwork, sample: Batch) -> StepLoss:
        settings, table, target = self.settings, PairTable(sample), self.target(sample)
        features = network.encode(sample.images, sample.available)
        decoded = network.decode_training(features, sample.present, range(table.cases))
        fused = self.fused_loss(decoded, target).mean()
        loss = StepLoss(settings.fused_weight * fused, {"fuse": fused.detach()})
        if self.distillation is not None:
            students = network.bottleneck(features, table.pairs)
            distances = self.distillation(students, decoded.bottleneck, target, table)
            self._distill(loss, distances, self.distillation, table)
        if settings.unimodal_weight:
            alone = self.unimodal_loss(network, features, target, table.pairs)
            weights = self._weights(alone)[table.modality]
            loss.total = loss.total + settings.unimodal_weight * (weights * alone).sum() / table.cases
            loss.terms["sep"] = alone.detach().sum() / table.cases
        return loss

    def scale_gradients(self, network: SegmentationNetwork) -> None:
        super().scale_gradients(network)
        if self.monitor is not None and self.scaling is not None:
            self.scaling.scale(network.encoders, self.monitor.weights(), self.monitor.present)
            self.monitor.forget_presence()

    def learning_rate_factors(self) -> Tensor | None:
        if self.monitor is None or self.scaling is None or self.settings.scaling.gamma_target != "lr":
            return None
        return self.scaling.factors(self.monitor.weights())

    def extra_parameters(self) -> list[tuple[Sequence[nn.Parameter], float]]:
        return [] if self.distillation is None else self.distillation.parameter_groups()

    @torch.no_grad()
    def curves(self) -> dict[str, Tensor]:
        curves: dict[str, Tensor] = {}
        if self.monitor is not None and self.scaling is not None:
            factors = gamma(self.monitor.weights(), self.settings.scaling)
            curves = {**self.monitor.curves(), "gamma": factors, **self.scaling.curves()}
        return curves if self.distillation is None else {**curves, "alpha1": self.distillation.alpha1().detach()}

    def _distill(self, loss: StepLoss, distances: Distances, distillation: Distillation, table: PairTable) -> None:
        """Add the distillation terms and let the monitor see the gaps."""
        settings, relation = self.settings, distillation.relation(distances)
        for name in ("covariance", "attention"):
            loss.terms[name] = (getattr(distances, name).detach() / table.siblings).sum() / table.cases
        if settings.distill:
            relation_loss = (relation / table.siblings).sum() / table.cases  # Eq. (8), 1/|M| per case
            prototype_loss = distances.prototype.sum() / table.cases  # Eq. (10)
            loss.total = loss.total + settings.relation_weight * relation_loss
            loss.total = loss.total + settings.prototype_weight * prototype_loss
            loss.terms.update(relation=relation_loss.detach(), prototype=prototype_loss.detach())
        if self.training:
            if self.monitor is not None:
                self.monitor.observe(table, relation, distances.prototype_mean)
            distillation.follow(distances)

    def _weights(self, like: Tensor) -> Tensor:
        """w_m of Eq. (16), without gradient; all 1 without monitoring."""
        return like.new_ones(len(self.task.rate_weights)) if self.monitor is None else self.monitor.weights()
