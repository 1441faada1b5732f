"""The contract of every network: ``encode`` once, ``decode`` for as many subsets as wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

Features = list[Tensor]
"""Encoder features per level, finest first, each ``(B, M, C_l, *S_l)``; zero where absent."""


@dataclass
class NetworkOutput:
    """What a forward pass gives; everything after ``logits`` exists in training mode only.

    Attributes:
        logits: fused prediction ``(B, K, *S)``.
        deep: deep-supervision logits at sizes ``S/2, S/4, ...``, finest first.
        unimodal: logits ``(P, K, *S)`` of single sequences, one row per present pair.
        pairs: ``(P, 2)`` batch row and sequence of each row of ``unimodal``.
        features: encoder features per level.
        fused: fused features per level.
    """

    logits: Tensor
    deep: tuple[Tensor, ...] = ()
    unimodal: Tensor | None = None
    pairs: Tensor | None = None
    features: Features | None = None
    fused: list[Tensor] | None = None


class SegmentationNetwork(nn.Module, ABC):
    """A network that segments from any subset of sequences."""

    @abstractmethod
    def encode(self, images: Tensor, present: Tensor) -> Features:
        """Encode ``images (B, M, *S)`` where ``present (B, M)``; absent content is never read."""

    @abstractmethod
    def decode(self, features: Features, present: Tensor) -> Tensor:
        """Logits ``(B, K, *S)`` for each row of ``present (B, M)``; one encoding may serve all rows."""
