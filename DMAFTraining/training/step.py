"""Network and strategy as one module, so that distributed training wraps both."""

from __future__ import annotations

from torch import Tensor, nn

from DMAFTraining.balancing.base import Strategy
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import SegmentationNetwork


class Objective(nn.Module):
    """The loss of a batch as a function of all weights."""

    def __init__(self, network: SegmentationNetwork, strategy: Strategy) -> None:
        super().__init__()
        self.network = network
        self.strategy = strategy

    def forward(self, sample: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss to minimize and its detached terms."""
        loss = self.strategy(self.network, sample)
        return loss.total, {"loss": loss.total.detach(), **loss.terms}
