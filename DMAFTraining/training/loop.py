"""The training loop: segmentation loss on cases with sequences hidden at random."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from DMAFTraining.data.cases import TrainingCase
from DMAFTraining.data.sampling import Batch, draw_batch
from DMAFTraining.losses.segmentation import deep_supervision_loss, one_hot, segmentation_loss
from DMAFTraining.networks.dmafnet import DMAFNet
from DMAFTraining.training.config import TrainingConfig

Report = Callable[[int, dict[str, float]], None]


class Trainer:
    """Network, averaged weights, optimizer and random state of one run.

    Args:
        config: the run.
        cases: training cases in memory.
        device: where the network runs.
    """

    def __init__(self, config: TrainingConfig, cases: Sequence[TrainingCase], device: str = "cpu") -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.cases = cases
        self.device = torch.device(device)
        self.network = DMAFNet(config.network, training_heads=True).to(self.device).train()
        self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.average_decay))
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, amsgrad=True
        )
        self.rng = np.random.default_rng(config.seed)
        self.step = 0
        if config.initial:
            self._start_from(config.initial)

    def run(self, report: Report | None = None) -> None:
        """Train to the configured step, resuming from the run folder's checkpoint if there is one.

        ``report(step, values)`` is called after each step. Progress is kept every
        ``checkpoint_every`` steps and at the end.
        """
        self.config.output.mkdir(parents=True, exist_ok=True)
        checkpoint = self.config.output / "checkpoint.pt"
        if checkpoint.exists():
            self.load(checkpoint)
        with (self.config.output / "metrics.jsonl").open("a") as log:
            while self.step < self.config.steps:
                values = self._train_step()
                self.step += 1
                log.write(json.dumps({"step": self.step, **values}) + "\n")
                log.flush()
                if report:
                    report(self.step, values)
                if self.step % self.config.checkpoint_every == 0 or self.step == self.config.steps:
                    self.save(checkpoint)

    def export_weights(self) -> dict[str, Tensor]:
        """Averaged weights by name."""
        return dict(self.averaged.module.state_dict())

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically; it loads with ``weights_only=True``."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "numpy_rng": json.dumps(self.rng.bit_generator.state),
        }
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"].cpu())
        self.rng.bit_generator.state = json.loads(state["numpy_rng"])
        self.step = state["step"]

    def _start_from(self, path: Path) -> None:
        averaged = torch.load(path, map_location=self.device, weights_only=True)["averaged"]
        weights = {name.removeprefix("module."): tensor for name, tensor in averaged.items() if name != "n_averaged"}
        self.network.load_state_dict(weights)
        self.averaged.module.load_state_dict(weights)

    def _train_step(self) -> dict[str, float]:
        """One optimizer step; returns what the log shows."""
        start = time.perf_counter()
        config = self.config
        rate = config.learning_rate * (1 - self.step / config.steps) ** 0.9
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = draw_batch(self.cases, config.batch, config.patch, config.missing_rates, self.rng)
        terms = self._losses(batch)
        loss = terms["fuse"] + config.unimodal_weight * terms["sep"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12.0)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
            self.averaged.update_parameters(self.network)
        values = {name: float(term.detach()) for name, term in terms.items()}
        return {"loss": float(loss.detach()), **values, "lr": rate, "seconds": time.perf_counter() - start}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Loss of the fused output and mean loss of the single sequences."""
        weighted = self.config.weighted_cross_entropy
        images, present = batch.images.to(self.device), batch.present.to(self.device)
        target = one_hot(batch.labels.to(self.device), self.config.network.classes)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            output = self.network(images, present, unimodal=self.config.unimodal_weight > 0)
        terms = {"fuse": deep_supervision_loss(output.logits, output.deep, target, weighted)}
        if output.unimodal is None or output.pairs is None:
            return terms | {"sep": terms["fuse"].new_zeros(())}
        return terms | {"sep": segmentation_loss(output.unimodal, target[output.pairs[:, 0]], weighted)}


def resolved(config: TrainingConfig) -> dict[str, object]:
    """The configuration as plain values, for the run folder and the bundle."""
    return json.loads(json.dumps(asdict(config), default=str))
