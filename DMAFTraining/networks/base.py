"""The contract of every backbone: encode once, decode for as many subsets as wanted.

A balancing strategy composes the pieces it needs; ``forward`` is the plain composition.
``present`` and ``pairs`` are small and live on the CPU, so that no step waits for the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from DMAFTraining.networks.blocks import select_pairs

Features = list[Tensor]
"""What ``encode`` gives: per level ``(B, M, C_l, *S_l)``, finest first, zero where absent; a backbone
may append further tensors of the form ``(B, M, ...)`` that only its own decoder reads."""


@dataclass(frozen=True)
class NetworkConfig:
    """What every backbone is told.

    Attributes:
        modalities: number of sequences M.
        classes: output classes K, background included.
        dims: 2 or 3.
        width: channels at full resolution.
    """

    modalities: int = 4
    classes: int = 4
    dims: int = 3
    width: int = 8


@dataclass
class Decoded:
    """A fused prediction in training, one row per asked-for subset.

    Attributes:
        logits: ``(R, K, *S)``.
        deep: deep-supervision logits, finest first, most often at ``S/2, S/4, ...``; the loss weighs
            them by 1/2, 1/4, ... whatever their sizes (RFNet and M2FTrans begin at full size).
        embedding: last decoder features ``(R, C, *S)``, from which the head predicts.
        bottleneck: fused features of the coarsest level ``(R, C_L, *S_L)``.
    """

    logits: Tensor
    deep: tuple[Tensor, ...]
    embedding: Tensor
    bottleneck: Tensor


class SegmentationNetwork(nn.Module, ABC):
    """A network that segments from any subset of sequences.

    Args:
        config: shape of the network.
        training_heads: build the parts that only training uses; a bundle does not carry them.

    Attributes:
        encoders: one module per sequence, with everything only that sequence trains.
        bottleneck_channels: C_L.
        training_only: name prefixes of weights that only training uses; a bundle leaves them out.
    """

    encoders: nn.ModuleList
    bottleneck_channels: int
    training_only: ClassVar[tuple[str, ...]] = ("unimodal_decoder.", "deep_heads.")
    config_class: ClassVar[type[NetworkConfig]]

    def __init__(self, config: NetworkConfig, training_heads: bool = True) -> None:
        super().__init__()
        self.config = config
        self.training_heads = training_heads

    @abstractmethod
    def encode(self, images: Tensor, present: Tensor) -> Features:
        """Encode ``images (B, M, *S)`` where ``present (B, M)``; absent content is never read."""

    @abstractmethod
    def decode(self, features: Features, present: Tensor) -> Tensor:
        """Logits ``(R, K, *S)`` for each row of ``present (R, M)``; one case may serve all rows."""

    @abstractmethod
    def decode_training(self, features: Features, present: Tensor, rows: Sequence[int]) -> Decoded:
        """Decode row ``r`` of ``present (R, M)`` from the features of case ``rows[r]``."""

    @abstractmethod
    def decode_unimodal(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Logits ``(P, K, *S)`` of the uni-modal decoder for each ``(case, sequence)``."""

    def require_training_heads(self) -> None:
        """Refuse to train a network without its training parts.

        Raises:
            ValueError: it was built with ``training_heads=False``, as a bundle's network is.
        """
        if not self.training_heads:
            raise ValueError("This network has no training heads; build it with training_heads=True to train it.")

    def bottleneck(self, features: Features, pairs: Sequence[tuple[int, int]]) -> Tensor:
        """Coarsest features ``(P, C_L, *S_L)`` of each ``(case, sequence)``: e^m of distillation."""
        return select_pairs(features[-1], pairs)

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """Logits ``(B, K, *S)`` of ``images (B, M, *S)`` of which ``present (B, M)`` exist."""
        return self.decode(self.encode(images, present), present)
