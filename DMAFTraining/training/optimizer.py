"""AdamW over a network and its strategy, and the learning rate of every step."""

from __future__ import annotations

import torch

from DMAFTraining.balancing.base import Strategy
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training.config import OptimizerConfig


def build_optimizer(config: OptimizerConfig, network: SegmentationNetwork, strategy: Strategy) -> torch.optim.AdamW:
    """One parameter group per sequence's encoder (in order), one for the rest, then the strategy's own."""
    groups = [{"params": list(encoder.parameters())} for encoder in network.encoders]
    own = {id(p) for group in groups for p in group["params"]}
    groups.append({"params": [p for p in network.parameters() if id(p) not in own]})
    decays = [1.0] * len(groups)
    for parameters, factor in strategy.extra_parameters():
        groups.append({"params": list(parameters)})
        decays.append(factor)
    options = [
        {**group, "weight_decay": config.weight_decay * factor} for group, factor in zip(groups, decays, strict=True)
    ]
    # Fused: skips a step with non-finite gradients on the device, without asking the host.
    return torch.optim.AdamW(options, lr=config.learning_rate, amsgrad=True, fused=True)


def learning_rate(config: OptimizerConfig, step: int, iterations: int, epochs: int) -> float:
    """Learning rate of optimizer step ``step`` (from 0) in a run of ``epochs`` times ``iterations``.

    The published schedule is ``lr (1 - epoch / epochs)^0.9``, constant within an epoch.
    """
    rate = config.learning_rate
    if step < config.warmup_steps:
        return rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return rate
    done = step // iterations / epochs if config.schedule == "poly-epoch" else step / (iterations * epochs)
    return rate * (1 - done) ** config.power
