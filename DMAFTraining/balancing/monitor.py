"""Dynamic training monitoring (DTM): how far each sequence lags, and what its own loss then weighs.

Source: DMAF-Net (arXiv:2506.11691), Eq. (11) to (17). The state is the same on every rank: gaps are
summed over ranks before they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.balancing.reduce import all_reduce_sum


@dataclass(frozen=True)
class MonitorSettings:
    """How gaps are followed and turned into weights.

    Attributes:
        min_modalities: gaps count only in cases whose fused prediction sees at least this many
            sequences; a lone sequence is its own teacher, so its gap says nothing.
        epsilon: added to gaps before they divide.
        decay_mode: "literal" is Eq. (13), which is at most half of ``decay``; "symmetric" takes the
            larger of the ratio and its inverse; "fixed" always keeps ``decay`` of the old value.
        decay: 0.9 of Eq. (13).
        alpha2_decay: of the slow means behind alpha_2; the paper does not state it.
        weight_mode: "inverse_gap" is Eq. (16); "proportional_gap" favors the lagging sequences.
        weights_sum_to: weights of all sequences add up to "one", Eq. (16), or to their number, so
            that they average to the baseline's 1.
    """

    min_modalities: int = 2
    epsilon: float = 1e-6
    decay_mode: Literal["literal", "symmetric", "fixed"] = "literal"
    decay: float = 0.9
    alpha2_decay: float = 0.99
    weight_mode: Literal["inverse_gap", "proportional_gap"] = "inverse_gap"
    weights_sum_to: Literal["one", "modalities"] = "one"


def adaptive_decay(ratio: Tensor, settings: MonitorSettings) -> Tensor:
    """Share of the old gap that is kept, from the ratio of relation to prototype gap, any shape."""
    if settings.decay_mode == "fixed":
        return torch.full_like(ratio, settings.decay)
    if settings.decay_mode == "symmetric":
        ratio = torch.maximum(ratio, 1 / ratio)
    return settings.decay * torch.sigmoid(-ratio)  # Eq. (13): 1 - sigmoid(x)


def gap_weights(gaps: Tensor, settings: MonitorSettings) -> Tensor:
    """Weight of each sequence's own loss ``(M,)`` from the total gaps ``(M,)``."""
    scores = gaps + settings.epsilon
    if settings.weight_mode == "inverse_gap":
        scores = 1 / scores
    total = 1 if settings.weights_sum_to == "one" else len(gaps)
    return total * scores / scores.sum()  # Eq. (16)


class TrainingMonitor(nn.Module):
    """Smoothed gaps of every sequence; what was not observed in a step stays as it is.

    Args:
        settings: of the monitor.
        modalities: number of sequences M.

    Attributes:
        gaps: smoothed relation and prototype gap ``(2, M)``, G_r and G_p.
        slow: slow means of both over the sequences ``(2,)``.
        seen: whether a gap of the sequence was ever observed ``(M,)``.
        decay: share of the old gap kept when the sequence was last observed ``(M,)``.
        present: sequences that any case on any rank had since ``forget_presence`` ``(M,)``.
    """

    gaps: Tensor
    slow: Tensor
    seen: Tensor
    decay: Tensor
    present: Tensor

    def __init__(self, settings: MonitorSettings, modalities: int) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("gaps", torch.zeros(2, modalities))
        self.register_buffer("slow", torch.zeros(2))
        self.register_buffer("seen", torch.zeros(modalities, dtype=torch.bool))
        self.register_buffer("decay", torch.zeros(modalities))
        self.register_buffer("present", torch.zeros(modalities, dtype=torch.bool))

    @torch.no_grad()
    def observe(self, table: PairTable, relation: Tensor, prototype: Tensor) -> None:
        """Take in a batch's gaps, ``relation (P,)`` and ``prototype (P,)`` per pair; sums over ranks."""
        gaps = torch.stack((relation, prototype)).float()
        counts = (table.fused >= self.settings.min_modalities) & gaps.isfinite().all(0)
        rows = torch.cat((gaps.where(counts, 0), counts[None], torch.ones_like(counts)[None]))
        relation_sum, prototype_sum, count, present = all_reduce_sum(table.sum_per_modality(rows))
        mean = torch.stack((relation_sum, prototype_sum)) / count.clamp(min=1)  # Eq. (11)
        self.update(mean, count > 0)
        self.present.logical_or_(present > 0)

    @torch.no_grad()
    def update(self, gaps: Tensor, observed: Tensor) -> None:
        """Smooth ``gaps (2, M)`` into the state where ``observed (M,)``."""
        first = ~self.seen.any()
        decay = adaptive_decay(self._ratio(), self.settings).where(self.seen, 0)  # a first observation replaces
        smooth = decay * self.gaps + (1 - decay) * gaps  # Eq. (12)
        self.gaps.copy_(torch.where(observed, smooth, self.gaps))
        self.decay.copy_(torch.where(observed, decay, self.decay))
        self.seen.logical_or_(observed)
        kept = self.settings.alpha2_decay
        slow = torch.where(first, self._mean(self.gaps), kept * self.slow + (1 - kept) * self._mean(self.gaps))
        self.slow.copy_(torch.where(observed.any(), slow, self.slow))

    def forget_presence(self) -> None:
        """Start to collect ``present`` anew, after an optimizer step."""
        self.present.zero_()

    def alpha2(self) -> Tensor:
        """Share of the relation gap in the total gap, a scalar."""
        relation, prototype = self.slow
        return relation / (relation + prototype).clamp(min=torch.finfo(self.slow.dtype).tiny)  # Eq. (15)

    def total(self) -> Tensor:
        """Total gap ``(M,)``; a sequence that was never observed counts as the mean of the others."""
        alpha = self.alpha2()
        total = alpha * self.gaps[0] + (1 - alpha) * self.gaps[1]  # Eq. (14)
        return torch.where(self.seen, total, self._mean(total))

    def weights(self) -> Tensor:
        """Weight of each sequence's own loss ``(M,)``, without gradient; equal before any observation."""
        return gap_weights(self.total(), self.settings)

    def curves(self) -> dict[str, Tensor]:
        """What the monitor sees, for the log."""
        relation, prototype = self.gaps.clone()
        return {
            "w": self.weights(),
            "gap_relation": relation,
            "gap_prototype": prototype,
            "gap_total": self.total(),
            "decay": self.decay.clone(),
            "alpha2": self.alpha2(),
        }

    def _ratio(self) -> Tensor:
        relation, prototype = self.gaps + self.settings.epsilon
        return relation / prototype

    def _mean(self, values: Tensor) -> Tensor:
        """Mean over the sequences seen so far of ``(..., M)``; zero if there is none."""
        return (values * self.seen).sum(-1) / self.seen.sum().clamp(min=1)
