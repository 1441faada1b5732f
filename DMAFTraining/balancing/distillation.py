"""What each sequence still has to learn from the fused features: relation and prototype distillation.

Source: DMAF-Net (arXiv:2506.11691), Eq. (4) to (10). Student e^m: coarsest features of one sequence.
Teacher f: fused features of the same level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.reduce import all_reduce_sum
from DMAFTraining.losses.prototype import class_weights, prototype_distance
from DMAFTraining.losses.relation import AttentionAlignment, CovarianceConsistency


@dataclass(frozen=True)
class DistillationSettings:
    """How students and teacher are compared.

    Attributes:
        detach_teacher: distillation does not move the fused features; otherwise strong sequences are
            dragged toward weak ones.
        alpha1_mode: share of the covariance term in the relation loss. "learnable", as the paper
            says, within ``alpha1_bounds``; "fixed"; "balance" follows the share of the other term,
            so that both weigh the same. The loss is linear in alpha_1, so a learned one drifts to the
            bound on the side of the smaller term.
        alpha1: its start.
        alpha1_bounds: its range when learnable.
        alpha1_decay: of the moving average of "balance".
        covariance_axis: covariance between channels, or between positions.
        covariance_normalize: "correlation" divides by the standard deviations.
        attention_normalize: "layer" gives every place of the fused features zero mean and unit variance over
            the channels before attention looks them up. Like "correlation" it keeps the loss from
            growing with the scale of the features, which nothing else holds.
        heads: of the attention; None takes one per 16 channels.
        attention_keys: what students attend to: the "fused" features, or the tokens of all
            "sequences" of the case with absent ones masked.
        tau: temperature of the prototype distance ``(1 - cos) / tau``.
        background: whether the background has a prototype.
    """

    detach_teacher: bool = True
    alpha1_mode: Literal["learnable", "fixed", "balance"] = "learnable"
    alpha1: float = 0.6
    alpha1_bounds: tuple[float, float] = (0.2, 0.8)
    alpha1_decay: float = 0.99
    covariance_axis: Literal["channel", "spatial"] = "channel"
    covariance_normalize: Literal["none", "correlation"] = "none"
    attention_normalize: Literal["none", "layer"] = "none"
    heads: int | None = None
    attention_keys: Literal["fused", "sequences"] = "fused"
    tau: float = 1.0
    background: bool = True

    def __post_init__(self) -> None:
        low, high = self.alpha1_bounds
        if not 0 <= low < self.alpha1 < high <= 1:
            raise ValueError(
                f"alpha1 should lie inside alpha1_bounds within [0, 1], not {self.alpha1} in [{low}, {high}]."
            )
        if self.tau <= 0:
            raise ValueError(f"tau should be above 0, not {self.tau}.")


@dataclass
class Distances:
    """What separates the students from their teacher, one value per pair.

    Attributes:
        covariance: Eq. (5) ``(P,)``.
        attention: Eq. (7) ``(P,)``.
        prototype: sum over the classes of the patch ``(P,)``, Eq. (10).
        prototype_mean: mean over those classes ``(P,)``, NaN without any; the gap of Eq. (11), which
            should not depend on how many classes a patch shows.
    """

    covariance: Tensor
    attention: Tensor
    prototype: Tensor
    prototype_mean: Tensor


class Distillation(nn.Module):
    """Distances of students and teacher, with the projections and the balance between them.

    Args:
        settings: of the distillation.
        modalities: number of sequences M.
        channels: of the coarsest features.
        trained: learn the projections. Otherwise the distances only measure: the covariance is
            compared as it is, attention has no weights, and nothing has a gradient.
    """

    alpha: Tensor

    def __init__(self, settings: DistillationSettings, modalities: int, channels: int, trained: bool = True) -> None:
        super().__init__()
        self.settings = settings
        self.trained = trained
        self.covariance = CovarianceConsistency(
            modalities, channels, settings.covariance_axis, settings.covariance_normalize
        ).requires_grad_(trained)
        self.attention: nn.Module = AttentionAlignment(channels, settings.heads) if trained else PlainAlignment()
        if trained and settings.alpha1_mode == "learnable":
            low, high = settings.alpha1_bounds
            share = (settings.alpha1 - low) / (high - low)
            self.alpha = nn.Parameter(torch.tensor(math.log(share / (1 - share))))
        else:
            self.register_buffer("alpha", torch.tensor(settings.alpha1))

    def alpha1(self) -> Tensor:
        """Share of the covariance term, a scalar, with gradient where it is learned."""
        if isinstance(self.alpha, nn.Parameter):
            low, high = self.settings.alpha1_bounds
            return low + (high - low) * torch.sigmoid(self.alpha)
        return self.alpha.clone()

    def relation(self, distances: Distances) -> Tensor:
        """Relation distance of each pair ``(P,)``."""
        alpha = self.alpha1()
        return alpha * distances.covariance + (1 - alpha) * distances.attention  # Eq. (8)

    def forward(self, students: Tensor, teachers: Tensor, target: Tensor, table: PairTable) -> Distances:
        """Compare ``students (P, C, *s)`` with the ``teachers (B, C, *s)`` of their cases, in fp32.

        Args:
            students: e^m of each pair.
            teachers: f of each case.
            target: one-hot truth ``(B, K, *S)``.
            table: the batch's pairs.
        """
        learning = self.trained and torch.is_grad_enabled()
        with torch.set_grad_enabled(learning), torch.autocast(students.device.type, enabled=False):
            return self._compare(students.float(), teachers.float(), target, table)

    def parameter_groups(self) -> list[tuple[Sequence[nn.Parameter], float]]:
        """What is trained, with its weight-decay factor; a learned alpha_1 does not decay."""
        alpha = [self.alpha] if isinstance(self.alpha, nn.Parameter) else []
        rest = [p for name, p in self.named_parameters() if p.requires_grad and name != "alpha"]
        return [(group, decay) for group, decay in ((rest, 1.0), (alpha, 0.0)) if group]

    @torch.no_grad()
    def follow(self, distances: Distances) -> None:
        """Move the balanced alpha_1 by the terms of a batch, summed over ranks."""
        if self.settings.alpha1_mode != "balance":
            return
        sums = torch.stack((distances.covariance, distances.attention))
        covariance, attention = all_reduce_sum(sums.where(sums.isfinite().all(0), 0).sum(1))
        kept = self.settings.alpha1_decay
        share = attention / (covariance + attention)
        moved = kept * self.alpha + (1 - kept) * share
        self.alpha.copy_(torch.where(share.isfinite(), moved, self.alpha))

    def _compare(self, students: Tensor, teachers: Tensor, target: Tensor, table: PairTable) -> Distances:
        settings = self.settings
        fused = (teachers.detach() if settings.detach_teacher else teachers)[table.case]
        keys, mask = self._keys(students, table) if settings.attention_keys == "sequences" else (None, None)
        weights = class_weights(target, students.shape[2:])[table.case]
        if not settings.background:
            weights = torch.cat((torch.zeros_like(weights[:, :1]), weights[:, 1:]), dim=1)
        distance, valid = prototype_distance(students, fused, weights, settings.tau)
        total = (distance * valid).sum(1)
        return Distances(
            covariance=self.covariance(students, fused, table.sequences),
            attention=self._attend(students, fused, keys, mask),
            prototype=total,
            prototype_mean=total.detach() / valid.sum(1),
        )

    def _attend(self, students: Tensor, fused: Tensor, keys: Tensor | None, mask: Tensor | None) -> Tensor:
        if self.settings.attention_normalize == "layer":
            fused = _unit_places(fused, 1)
            keys = None if keys is None else _unit_places(keys, -1)
        return self.attention(students, fused, keys, mask)

    def _keys(self, students: Tensor, table: PairTable) -> tuple[Tensor, Tensor]:
        """Tokens of all sequences of each pair's case ``(P, M * N, C)`` and which of them exist."""
        tokens = students.detach() if self.settings.detach_teacher else students
        slots = table.case * table.modalities + table.modality
        full = tokens.new_zeros(table.cases * table.modalities, *tokens.shape[1:]).index_copy(0, slots, tokens)
        keys = full.flatten(2).transpose(1, 2).reshape(table.cases, -1, tokens.shape[1])
        exists = torch.zeros_like(full[:, 0], dtype=torch.bool).index_fill(0, slots, True)
        return keys[table.case], exists.reshape(table.cases, -1)[table.case]


def _unit_places(x: Tensor, channel_axis: int) -> Tensor:
    """Zero mean and unit variance over the channels at every place."""
    x = x.movedim(channel_axis, -1)
    return F.layer_norm(x, x.shape[-1:]).movedim(-1, channel_axis)


class PlainAlignment(nn.Module):
    """Attention alignment without weights: normalized students look up fused features by similarity."""

    def forward(self, e: Tensor, f: Tensor, keys: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Mean squared error ``(P,)`` of ``e (P, C, *s)`` attending to ``f`` or ``keys (P, N, C)``."""
        queries, fused = (x.flatten(2).transpose(1, 2) for x in (e, f))  # (P, T, C)
        values = fused if keys is None else keys
        channels = (fused.shape[-1],)
        looked_up = F.scaled_dot_product_attention(
            F.layer_norm(queries, channels),
            F.layer_norm(values, channels),
            values,
            attn_mask=None if mask is None else mask[:, None, :],
        )
        return (looked_up - fused).square().mean((1, 2))  # Eq. (7)
