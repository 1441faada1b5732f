"""Seconds and peak memory of one training step, for any backbone and strategy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.base import StrategySettings, Task
from DMAFTraining.benchmarking.floor import synchronize
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks import build_network
from DMAFTraining.networks.base import NetworkConfig
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.memory import peak_memory_mb
from DMAFTraining.training.stepper import Stepper


@dataclass(frozen=True)
class StepFigures:
    """One measured configuration; seconds are over the presence patterns, of the best round each.

    Attributes:
        seconds: mean over the patterns.
        peak_mb: highest memory of the process (GPU: of the device).
        gflop: forward and backward operations, mean over the patterns.
        parameters: of the network.
        loss: of the first step, so that two programs can be compared.
    """

    seconds: float
    peak_mb: float
    gflop: float
    parameters: int
    loss: float


def measure_step(
    network: NetworkConfig,
    strategy: StrategySettings,
    config: TrainingConfig,
    patterns: Sequence[Sequence[bool]],
    rounds: int,
    device: torch.device,
) -> StepFigures:
    """Time optimizer steps on one random patch per presence pattern.

    Args:
        network: backbone.
        strategy: balancing method.
        config: precision, patch and optimizer of the step.
        patterns: which sequences exist, one row of M per measured step.
        rounds: measurements of each pattern, after one that is not counted.
        device: where to run.
    """
    torch.manual_seed(config.seed)
    model = build_network(network).to(device).train()
    shares = np.mean(np.array(patterns, float), axis=0)
    task = Task(network.classes, tuple(1 / max(share, 1e-3) for share in shares), config.epochs)
    stepper = Stepper(config, model, build_strategy(strategy, task, model).to(device), device)
    samples = [_sample(network, config.data.patch, pattern, device) for pattern in patterns]
    with FlopCounterMode(display=False) as counter:
        for sample in samples:
            stepper.step([sample], config.optimizer.learning_rate)
    loss = stepper.meter.take()["loss"]
    times = [_best(stepper, sample, rounds, device) for sample in samples]
    return StepFigures(
        statistics.mean(times),
        peak_memory_mb(device),
        counter.get_total_flops() / 1e9 / len(samples),
        sum(p.numel() for p in model.parameters()),
        loss,
    )


def _best(stepper: Stepper, sample: Batch, rounds: int, device: torch.device) -> float:
    times = []
    for _ in range(rounds):
        synchronize(device)
        start = time.perf_counter()
        stepper.step([sample], stepper.config.optimizer.learning_rate)
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _sample(network: NetworkConfig, patch: Sequence[int], pattern: Sequence[bool], device: torch.device) -> Batch:
    """A random patch with every class in it: nested boxes, like a tumor in tissue."""
    generator = torch.Generator().manual_seed(7)
    size = patch[: network.dims]
    present = torch.tensor([list(pattern)])
    images = torch.randn(1, network.modalities, *size, generator=generator)
    labels = torch.zeros(1, *size, dtype=torch.uint8)
    for value in range(1, network.classes):
        margins = [side * value // (2 * network.classes) for side in size]
        inner = tuple(slice(margin, side - margin) for margin, side in zip(margins, size, strict=True))
        labels[0][inner] = value
    images = images * present.view(1, -1, *(1,) * network.dims)
    return Batch(images.to(device), labels.to(device), present, present)
