"""Relation alignment: covariances and attention of a single sequence follow the fused features (Eq. 4-7).

The fused features are the teacher; whether it receives a gradient is the caller's choice (detach it or not).
The learned projections serve training only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.losses.directions import unit


class CovarianceConsistency(nn.Module):
    """Mean squared difference of the covariances of projected single-sequence and fused features.

    Projecting the features by W projects the covariance to ``W Sigma W^T``, so the projection of the
    equation and the linear layer of the figure are one. The mean runs over all entries of the matrix.

    Args:
        modalities: number of sequences M, each with its own projection.
        channels: C.
        axis: covariance of the channels over space ``(C, C)``, or of places over the channels
            ``(T, T)``; features are centered per channel in both.
        normalize: covariance, or correlation (every variable at unit length).

    Raises:
        ValueError: an unknown axis or normalization.
    """

    def __init__(
        self,
        modalities: int,
        channels: int,
        axis: Literal["channel", "spatial"] = "channel",
        normalize: Literal["none", "correlation"] = "none",
    ) -> None:
        super().__init__()
        if axis not in ("channel", "spatial") or normalize not in ("none", "correlation"):
            raise ValueError(
                f"Covariance has axis 'channel' or 'spatial' and normalize 'none' or 'correlation', "
                f"not {axis!r} and {normalize!r}."
            )
        self.axis = axis
        self.normalize = normalize
        # One parameter each: the projection of a sequence that is absent gets no gradient at all.
        self.projections = nn.ParameterList(torch.eye(channels) for _ in range(modalities))

    def forward(self, e: Tensor, f: Tensor, modality: Sequence[int]) -> Tensor:
        """Loss ``(P,)`` of student ``e (P, C, *s)`` of each ``modality`` and teacher ``f (P, C, *s)``."""
        with torch.autocast(e.device.type, enabled=False):
            projection = torch.stack([self.projections[m] for m in modality])
            student = self.covariance(projection @ e.float().flatten(2))
            teacher = self.covariance(f.float().flatten(2))
            return (student - teacher).square().mean((1, 2))  # Eq. (5)

    def covariance(self, x: Tensor) -> Tensor:
        """Covariance or correlation ``(P, V, V)`` of features ``x (P, C, T)``; V is C or T."""
        places = x.shape[2]
        x = x - x.mean(2, keepdim=True)
        variables = x if self.axis == "channel" else x.mT
        if self.normalize == "correlation":
            variables = unit(variables, -1)
            return variables @ variables.mT
        return variables @ variables.mT / places  # Eq. (4)


class AttentionAlignment(nn.Module):
    """Mean squared difference of fused features and what a single sequence attends to in them.

    One attention serves all sequences. It has no positions: alignment has to come from content.

    Args:
        channels: C.
        heads: attention heads, must divide C; by default one per 16 channels.

    Raises:
        ValueError: heads do not divide the channels.
    """

    def __init__(self, channels: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads or max(1, channels // 16)
        if channels % self.heads:
            raise ValueError(f"{self.heads} attention heads do not divide {channels} channels.")
        self.norm_queries = nn.LayerNorm(channels)
        self.norm_keys = nn.LayerNorm(channels)
        self.queries = nn.Linear(channels, channels)
        self.keys_values = nn.Linear(channels, 2 * channels)
        self.projection = nn.Linear(channels, channels)

    def forward(self, e: Tensor, f: Tensor, keys: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Loss ``(P,)``.

        Args:
            e: student features ``(P, C, *s)``, the queries.
            f: teacher features ``(P, C, *s)``.
            keys: tokens to attend to ``(P, N, C)`` instead of those of ``f``.
            mask: bool ``(P, N)``, True where a key may be attended to; at least one in each row.
        """
        with torch.autocast(e.device.type, enabled=False):
            target = f.float().flatten(2).mT
            source = target if keys is None else keys.float()
            attended = self.attend(e.float().flatten(2).mT, source, mask)
            return (attended - target).square().mean((1, 2))  # Eq. (7)

    def attend(self, tokens: Tensor, source: Tensor, mask: Tensor | None) -> Tensor:
        """Multi-head attention ``(P, T, C)`` of ``tokens (P, T, C)`` to ``source (P, N, C)``."""
        q = self._split(self.queries(self.norm_queries(tokens)))
        k, v = (self._split(x) for x in self.keys_values(self.norm_keys(source)).chunk(2, dim=-1))
        allowed = None if mask is None else mask.to(tokens.device)[:, None, None, :]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)  # Eq. (6)
        return self.projection(attended.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
