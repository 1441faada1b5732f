"""PMR, prototypical modality rebalance, as ported to segmentation: slow sequences learn from prototypes.

Source: Fan et al., "PMR: Prototypical Modal Rebalance for Multimodal Learning" (CVPR 2023), in the form
that follow-up code of PASSION's authors gives it: the student is the fused decoder that sees one
sequence alone, its features are those of the last decoder level, and the loss of the sequences that
recognize the true class less surely than the mean of the case takes the place of PASSION's
distillation. The entropy term of the original paper is in no published port and is left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from DMAFTraining.balancing.base import StepLoss, Strategy, Task
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.students import StudentSettings, decode_students
from DMAFTraining.data.batch import Batch
from DMAFTraining.losses.eager import at_least_float32, eager_rows
from DMAFTraining.networks.base import SegmentationNetwork

_EPSILON = 1e-5
_SMALLEST = 1e-12
"""Squared distances are kept above it, where the root has a finite slope."""


@dataclass(frozen=True)
class PMR(StudentSettings):
    """Prototype loss of slow sequences beside the baseline's losses.

    Attributes:
        fused_weight: of the fused loss with its deep supervision.
        unimodal_weight: of the losses of single sequences; 0 leaves that decoder out.
        prototype_weight: of the slow sequences' prototype loss; the port does not state it, PASSION's
            weight of the term it replaces is taken.
    """

    fused_weight: float = 1.0
    unimodal_weight: float = 1.0
    prototype_weight: float = 0.1


def prototype_classification(embedding: Tensor, target: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """How well voxels find the prototype of their own class among those of the patch.

    A prototype is the mean embedding of a class; a voxel belongs to each class of the patch with a
    softmax over its negative Euclidean distances to the prototypes.

    Args:
        embedding: last decoder features of each student ``(P, C, *S)``.
        target: one-hot truth of each case ``(B, K, *S)``.
        rows: case of each student.

    Returns:
        Mean negative log-probability of the true class ``(P,)``, and the mean probability of the true
        class ``(P,)`` without gradient.
    """
    probabilities = at_least_float32(embedding.new_empty(len(rows)))

    def loss(row: int, features: Tensor) -> Tensor:
        x, y = features.flatten(1), target[rows[row]].flatten(1)
        size = y.sum(1, keepdim=True)
        prototypes = y @ x.T / (size + _EPSILON)  # (K, C)
        squared = x.square().sum(0) + prototypes.square().sum(1, keepdim=True) - 2 * prototypes @ x  # (K, N)
        distance = squared.clamp(min=_SMALLEST).sqrt().masked_fill(size == 0, float("inf"))
        log_true = (-distance).log_softmax(0).where(y > 0, 0).sum(0)
        probabilities[row] = log_true.detach().exp().mean()
        return -log_true.mean()

    return eager_rows(loss, embedding), probabilities


def slowness(probability: Tensor, table: PairTable) -> Tensor:
    """One minus the true-class probability over its mean in the case ``(P,)``: positive where slow."""
    mean = table.mean_per_case(probability)
    return (mean - probability) / mean.clamp(min=torch.finfo(mean.dtype).tiny)


class PMRStrategy(Strategy):
    """``L_fuse + sum_m (L_sep^m + 0.1 [rho_m > 0] L_proto^m)``, mean over the batch.

    Attributes:
        state: true-class probability, rho and gate of each sequence when it was last present ``(3, M)``.
    """

    settings: PMR
    state: Tensor

    def __init__(self, settings: PMR, task: Task, network: SegmentationNetwork) -> None:
        super().__init__(settings, task, network)
        self.register_buffer("state", torch.zeros(3, len(task.rate_weights)))

    def forward(self, network: SegmentationNetwork, sample: Batch) -> StepLoss:
        settings, table, target = self.settings, PairTable(sample), self.target(sample)
        features = network.encode(sample.images, sample.available)
        decoded = network.decode_training(features, sample.present, range(table.cases))
        fused = self.fused_loss(decoded, target).mean()
        students = decode_students(network, features, table, settings.resident_students)
        loss, probability = prototype_classification(students.embedding, target, table.rows)
        prototype = (self._gate(probability, table) * loss).sum() / table.cases
        total = settings.fused_weight * fused + settings.prototype_weight * prototype
        terms = {"fuse": fused.detach(), "prototype": prototype.detach()}
        if settings.unimodal_weight:
            alone = self.unimodal_loss(network, features, target, table.pairs).sum() / table.cases
            total, terms = total + settings.unimodal_weight * alone, {**terms, "sep": alone.detach()}
        return StepLoss(total, terms)

    def curves(self) -> dict[str, Tensor]:
        probability, rho, gate = self.state.clone()
        return {"true_class": probability, "rho": rho, "r": gate}

    @torch.no_grad()
    def _gate(self, probability: Tensor, table: PairTable) -> Tensor:
        """1 for a slow sequence of the case, else 0 ``(P,)``; in training the state follows."""
        rho = slowness(probability, table)
        slow = (rho > 0).float()
        if self.training:
            values = torch.stack((probability, rho, slow, torch.ones_like(slow)))
            *sums, count = table.shared_sums(values)
            self.state.copy_(torch.where(count > 0, torch.stack(sums) / count.clamp(min=1), self.state))
        return slow
