"""PASSION: single sequences learn from the fused prediction, lagging ones more than leading ones.

Source: Shi et al., "PASSION: Towards Effective Incomplete Multi-Modal Medical Image Segmentation with
Imbalanced Missing Rates" (ACM MM 2024). Student m: the fused decoder that sees sequence m alone.
Teacher: the fused decoder that sees what the case has, without gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from DMAFTraining.balancing.base import StepLoss, Strategy, Task
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.students import StudentSettings, decode_students
from DMAFTraining.data.batch import Batch
from DMAFTraining.losses.passion import pixel_distillation, semantic_distillation
from DMAFTraining.networks.base import Features, SegmentationNetwork

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class PASSION(StudentSettings):
    """Self-distillation with preference-aware regularization; the defaults are the published ones.

    Attributes:
        fused_weight: of the fused loss with its deep supervision.
        unimodal_weight: of the lagging sequences' own losses.
        pixel_weight: of pixel-wise distillation.
        semantic_weight: of semantic-wise distillation of the lagging sequences.
        temperature: T of pixel-wise distillation.
        gate_single: a case with one sequence has no relative preference, so its own loss is gated
            away, as published; False keeps that loss.
        eta: step size of beta.
        eta_growth: eta is multiplied by it at each of ``eta_epochs``, before that epoch's update.
        eta_epochs: epochs from 0; published for 300 of them.
        beta_bounds: beta is clipped to this range before its norm is restored to sqrt(M).
        skip_leading: leave out the uni-modal pass of sequences whose gate is closed, which changes no
            value. The gates are then read from the device; None does so on the CPU, where that is
            free, and elsewhere decodes all of a case rather than wait for the device.
    """

    fused_weight: float = 1.0
    unimodal_weight: float = 1.0
    pixel_weight: float = 0.5
    semantic_weight: float = 0.1
    temperature: float = 4.0
    gate_single: bool = True
    eta: float = 0.01
    eta_growth: float = 1.5
    eta_epochs: tuple[int, ...] = (0, 100, 200)
    beta_bounds: tuple[float, float] = (0.1, 4.0)
    skip_leading: bool | None = None


def relative_preference(distance: Tensor, table: PairTable) -> Tensor:
    """``D_m`` over its mean in the case, minus one ``(P,)``: positive where a sequence lags."""
    mean = table.mean_per_case(distance)
    return (distance - mean) / mean.clamp(min=_TINY)


def step_beta(beta: Tensor, distance: Tensor, seen: Tensor, eta: float, bounds: tuple[float, float]) -> Tensor:
    """Beta ``(M,)`` after an epoch with mean distances ``(M,)`` of the sequences ``seen (M,)``."""
    mean = (distance * seen).sum() / seen.sum().clamp(min=1)
    preference = (mean - distance) / mean.clamp(min=_TINY) * seen
    moved = (beta - eta * preference).clamp(*bounds)
    return moved * math.sqrt(len(beta)) / moved.norm()


class PASSIONStrategy(Strategy):
    """``L_fuse + sum_m (r b w L_sep + 0.5 b w L_kl + 0.1 r w L_proto)``, mean over the batch.

    r is 1 for a lagging sequence of the case and else 0, b is beta, w the missing-rate weight.

    Attributes:
        beta: gradient-wise weight of each sequence ``(M,)``, updated once per epoch.
        sums: of D, RP, r and 1 over the pairs of this epoch so far ``(4, M)``, the same on all ranks.
        last: means of D, RP and r over the last complete epoch ``(3, M)``.
    """

    settings: PASSION
    beta: Tensor
    sums: Tensor
    last: Tensor
    omega: Tensor

    def __init__(self, settings: PASSION, task: Task, network: SegmentationNetwork) -> None:
        super().__init__(settings, task, network)
        modalities = len(task.rate_weights)
        self.register_buffer("omega", torch.tensor(task.rate_weights), persistent=False)
        self.register_buffer("beta", torch.ones(modalities))
        self.register_buffer("sums", torch.zeros(4, modalities))
        self.register_buffer("last", torch.zeros(3, modalities))

    def forward(self, network: SegmentationNetwork, sample: Batch) -> StepLoss:
        settings, table, target = self.settings, PairTable(sample), self.target(sample)
        features = network.encode(sample.images, sample.available)
        teacher = network.decode_training(features, sample.present, range(table.cases))
        fused = self.fused_loss(teacher, target).mean()
        students = decode_students(network, features, table, settings.resident_students)
        pixel = pixel_distillation(students, teacher, table.rows, settings.temperature)
        semantic, distance = semantic_distillation(students.embedding, teacher.embedding, target, table.rows)
        lagging = self._gate(distance, table)
        omega, beta = self.omega[table.modality], self.beta[table.modality]
        kl = (omega * beta * pixel).sum() / table.cases
        prototype = (omega * lagging * semantic).sum() / table.cases
        alone = self._unimodal(network, features, target, table, omega * beta, lagging)
        total = settings.fused_weight * fused + settings.unimodal_weight * alone
        total = total + settings.pixel_weight * kl + settings.semantic_weight * prototype
        terms = {"fuse": fused, "sep": alone, "pixel": kl, "semantic": prototype}
        return StepLoss(total, {name: term.detach() for name, term in terms.items()})

    @torch.no_grad()
    def end_epoch(self, epoch: int) -> None:
        """Move beta toward the sequences that are farther from the fused prediction than the mean."""
        settings, (distance, _, _, count) = self.settings, self.sums
        eta = settings.eta * settings.eta_growth ** sum(start <= epoch for start in settings.eta_epochs)
        self.last.copy_(self._means())
        mean = distance / count.clamp(min=1)
        self.beta.copy_(step_beta(self.beta, mean, count > 0, eta, settings.beta_bounds))
        self.sums.zero_()

    def curves(self) -> dict[str, Tensor]:
        """Means over the epoch so far, or over the last one where this one has not seen a sequence."""
        distance, preference, lagging = self._means()
        return {"D": distance, "RP": preference, "r": lagging, "beta": self.beta.clone()}

    def _means(self) -> Tensor:
        count = self.sums[3]
        return torch.where(count > 0, self.sums[:3] / count.clamp(min=1), self.last)

    @torch.no_grad()
    def _gate(self, distance: Tensor, table: PairTable) -> Tensor:
        """r of every pair ``(P,)``; in training its parts are added to the epoch's sums."""
        preference = relative_preference(distance, table)
        lagging = (preference > 0).float()
        if self.training:
            values = torch.stack((distance, preference, lagging, torch.ones_like(lagging)))
            self.sums.add_(table.shared_sums(values))
        return lagging

    def _unimodal(
        self,
        network: SegmentationNetwork,
        features: Features,
        target: Tensor,
        table: PairTable,
        weights: Tensor,
        lagging: Tensor,
    ) -> Tensor:
        """Gated losses of single sequences, a scalar; closed gates are left out where that is free."""
        settings = self.settings
        if not settings.unimodal_weight:
            return weights.new_zeros(())
        if not settings.gate_single:
            lagging = torch.where(table.siblings == 1, 1.0, lagging)
        kept = [i for i, count in enumerate(table.counts) if count > 1 or not settings.gate_single]
        if settings.skip_leading or (settings.skip_leading is None and lagging.device.type == "cpu"):
            is_open = lagging.tolist()
            kept = [i for i in kept if is_open[i]]
        if not kept:
            return weights.new_zeros(())
        loss = self.unimodal_loss(network, features, target, [table.pairs[i] for i in kept])
        index = torch.tensor(kept).to(weights.device, non_blocking=True)
        return ((weights * lagging)[index] * loss).sum() / table.cases
