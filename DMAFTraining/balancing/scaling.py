"""Gradient scaling of dynamic training monitoring: encoders of lagging sequences take larger steps.

Source: DMAF-Net (arXiv:2506.11691), Eq. (18). ``gamma_m = clip(1 / w_m)``, times 0.7 where the
encoder's gradient turned against the last one it had. AdamW does not see a constant factor on a
gradient, so with it only the changes of gamma act; ``gamma_target: lr`` moves the step length itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

_NO_DIRECTION = 1e-12
"""A gradient with a smaller norm has no direction to compare."""


@dataclass(frozen=True)
class ScalingSettings:
    """What happens to the encoders' gradients.

    Attributes:
        gamma_bounds: gamma is clipped to this range; weights that sum to one never reach the lower end.
        gamma_target: "gradient" multiplies the encoder's gradient, as published; "lr" multiplies its
            learning rate by gamma over the mean of all gammas.
        gamma_normalize: "mean" divides gamma by the mean over all sequences.
        damping: factor on gamma when the direction turned.
        damping_threshold: cosine of the two gradients below which it did.
        checkpoint_history: keep the last gradients in checkpoints, which an exact resume needs; they
            are as large as the encoders.
    """

    gamma_bounds: tuple[float, float] = (0.1, 10.0)
    gamma_target: Literal["gradient", "lr"] = "gradient"
    gamma_normalize: Literal["none", "mean"] = "none"
    damping: float = 0.7
    damping_threshold: float = -0.5
    checkpoint_history: bool = True


def gamma(weights: Tensor, settings: ScalingSettings) -> Tensor:
    """Factor of each encoder ``(M,)`` before damping, from the loss weights ``(M,)``."""
    factors = (1 / weights).clamp(*settings.gamma_bounds)  # Eq. (18)
    relative = settings.gamma_normalize == "mean" or settings.gamma_target == "lr"
    return factors / factors.mean() if relative else factors


class GradientScaling(nn.Module):
    """Scales encoder gradients and remembers the last raw gradient of each encoder.

    Args:
        settings: of the scaling.
        encoders: one per sequence; only their sizes are read.

    Attributes:
        similarity: cosine of the last two raw gradients of each encoder ``(M,)``; 1 without history.
        steps: optimizer steps in which each sequence was present ``(M,)``.
        damped: those of them in which its gradient was damped ``(M,)``.
    """

    similarity: Tensor
    steps: Tensor
    damped: Tensor

    def __init__(self, settings: ScalingSettings, encoders: Iterable[nn.Module], modalities: int) -> None:
        super().__init__()
        self.settings = settings
        for m, encoder in enumerate(encoders):
            size = sum(parameter.numel() for parameter in encoder.parameters())
            self.register_buffer(f"history_{m}", torch.zeros(size), persistent=settings.checkpoint_history)
        self.register_buffer("similarity", torch.ones(modalities))
        self.register_buffer("steps", torch.zeros(modalities, dtype=torch.long))
        self.register_buffer("damped", torch.zeros(modalities, dtype=torch.long))

    @torch.no_grad()
    def scale(self, encoders: Iterable[nn.Module], weights: Tensor, present: Tensor) -> None:
        """Scale the gradients of one optimizer step in place.

        Args:
            encoders: one per sequence. Without any gradient an encoder is left alone.
            weights: loss weight of each sequence ``(M,)``.
            present: which sequences any case of the step had ``(M,)``, on the device; others keep
                their history, similarity and counts.
        """
        encoders = list(encoders)
        for m, encoder in enumerate(encoders):
            if any(parameter.grad is not None for parameter in encoder.parameters()):
                self._compare(m, encoder, present[m])
        self.steps.add_(present)
        self.damped.add_(present & self._turned())
        if self.settings.gamma_target == "gradient":
            for encoder, factor in zip(encoders, self.factors(weights), strict=False):
                for parameter in encoder.parameters():
                    if parameter.grad is not None:
                        parameter.grad.mul_(factor)

    def factors(self, weights: Tensor) -> Tensor:
        """Gamma ``(M,)`` of the loss weights ``(M,)``, damped where the last direction turned."""
        return gamma(weights, self.settings) * torch.where(self._turned(), self.settings.damping, 1.0)

    def curves(self) -> dict[str, Tensor]:
        """What the scaling did, for the log."""
        rate = self.damped / self.steps.clamp(min=1)
        return {"similarity": self.similarity.clone(), "damped": self.damped.clone(), "damped_rate": rate}

    def _turned(self) -> Tensor:
        return self.similarity < self.settings.damping_threshold

    def _compare(self, m: int, encoder: nn.Module, present: Tensor) -> None:
        """Cosine of this gradient and the last one; then this one is the last one."""
        history: Tensor = getattr(self, f"history_{m}")
        pieces = [p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in encoder.parameters()]
        gradient = torch.cat(pieces).to(history.dtype)
        norm, last = gradient.norm(), history.norm()
        directed = norm.isfinite() & (norm >= _NO_DIRECTION)
        known = directed & (last >= _NO_DIRECTION)
        cosine = torch.where(known, gradient.dot(history) / (norm * last), 1.0)
        self.similarity[m] = torch.where(present, cosine, self.similarity[m])
        history.copy_(torch.where(present & directed, gradient, history))
