"""The reference: every sequence's loss counts the same, nothing is balanced."""

from __future__ import annotations

from dataclasses import dataclass

from DMAFTraining.balancing.base import StepLoss, Strategy, StrategySettings
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import SegmentationNetwork


@dataclass(frozen=True)
class NoBalancing(StrategySettings):
    """The backbone's own training: fused loss plus the loss of each single sequence.

    Attributes:
        fused_weight: of the fused loss with its deep supervision.
        unimodal_weight: of the uni-modal decoder's losses; 0 leaves that decoder out.
    """

    fused_weight: float = 1.0
    unimodal_weight: float = 1.0


class NoBalancingStrategy(Strategy):
    """``L = fused_weight L_fuse + unimodal_weight sum_m I_m L_sep^m``, mean over the batch."""

    settings: NoBalancing

    def forward(self, network: SegmentationNetwork, sample: Batch) -> StepLoss:
        target = self.target(sample)
        features = network.encode(sample.images, sample.available)
        decoded = network.decode_training(features, sample.present, range(len(target)))
        fused = self.fused_loss(decoded, target).mean()
        total, terms = self.settings.fused_weight * fused, {"fuse": fused.detach()}
        if self.settings.unimodal_weight:
            alone = self.unimodal_loss(network, features, target, sample.pairs).sum() / len(target)
            total, terms = total + self.settings.unimodal_weight * alone, {**terms, "sep": alone.detach()}
        return StepLoss(total, terms)
