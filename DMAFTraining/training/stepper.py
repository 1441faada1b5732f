"""One optimizer step: forward, backward, balancing, clipping, update, average."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from DMAFTraining.balancing.base import Strategy
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training import distributed
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.meter import Meter
from DMAFTraining.training.optimizer import build_optimizer
from DMAFTraining.training.step import Objective

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FP16_SCALE = 2.0**16
_NEVER = 2**31 - 1


class Stepper:
    """Weights, optimizer and everything else that a step changes.

    Args:
        config: the run.
        network: backbone, on its device.
        strategy: balancing method, on the same device.
        device: where both are.
    """

    def __init__(
        self, config: TrainingConfig, network: SegmentationNetwork, strategy: Strategy, device: torch.device
    ) -> None:
        self.config = config
        self.network = network
        self.strategy = strategy
        self.device = device
        self.meter = Meter()
        self.skipped = torch.zeros((), device=device)
        self.optimizer = build_optimizer(config.optimizer, network, strategy)
        # Unscaled precisions use the scaler too (with scale 1): it skips non-finite steps on the device.
        half = config.precision == "fp16"
        self.scaler = torch.amp.GradScaler(
            device.type, init_scale=_FP16_SCALE if half else 1.0, growth_interval=2000 if half else _NEVER
        )
        objective = Objective(network, strategy)
        self.module: nn.Module = objective
        if distributed.world() > 1:
            # Gradients are averaged; weights that no rank used keep no gradient.
            self.module = DistributedDataParallel(objective, find_unused_parameters=True, broadcast_buffers=False)
        self.average = copy.deepcopy(network).requires_grad_(False) if config.average_decay else None

    @property
    def result(self) -> SegmentationNetwork:
        """The network that is validated and exported: averaged weights if the run averages."""
        return self.average if self.average is not None else self.network

    def step(self, samples: Sequence[Batch], rate: float) -> None:
        """Take one optimizer step over the given passes at a learning rate; nothing is read back."""
        self.optimizer.zero_grad(set_to_none=True)
        for number, sample in enumerate(samples, 1):
            with self._synchronize(number == len(samples)):
                self._backward(sample, len(samples))
        self.scaler.unscale_(self.optimizer)
        self.strategy.scale_gradients(self.network)
        self._set_rate(rate)
        gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.isfinite(norm)
        self.meter.add({"gradient_norm": torch.where(finite, norm, 0)})
        self.skipped += ~finite
        if self.config.optimizer.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.module.parameters(), self.config.optimizer.clip, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            update = get_ema_multi_avg_fn(self.config.average_decay)
            update(list(self.average.parameters()), list(self.network.parameters()), torch.zeros(()))

    def autocast(self) -> torch.autocast:
        """The precision of the network's forward passes."""
        precision = PRECISIONS[self.config.precision]
        return torch.autocast(self.device.type, precision, enabled=precision != torch.float32)

    def state_dict(self) -> dict[str, Any]:
        """Everything a step changes, except random generators."""
        return {
            "network": self.network.state_dict(),
            "strategy": self.strategy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": self.skipped,
            "average": self.average.state_dict() if self.average is not None else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict` of a run with the same configuration."""
        self.network.load_state_dict(state["network"])
        self.strategy.load_state_dict(state["strategy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.skipped.copy_(state["skipped"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _backward(self, sample: Batch, passes: int) -> None:
        with self.autocast():
            loss, terms = self.module(sample)
        self.scaler.scale(loss / passes).backward()
        self.meter.add(terms, len(sample.images))

    def _set_rate(self, rate: float) -> None:
        factors: Tensor | None = self.strategy.learning_rate_factors()
        for number, group in enumerate(self.optimizer.param_groups):
            own = factors is not None and number < len(self.network.encoders)
            group["lr"] = rate * factors[number] if factors is not None and own else rate

    def _synchronize(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Ranks exchange gradients in the last pass only."""
        if last or not isinstance(self.module, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.module.no_sync()
