"""The training loop: any backbone with any balancing strategy, exactly resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.base import Task
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks import build_network
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training import distributed
from DMAFTraining.training.checkpoint import (
    BEST,
    CHECKPOINT,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from DMAFTraining.training.cohort import TrainingCohort
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.initial import start_from
from DMAFTraining.training.interruption import Interruption
from DMAFTraining.training.logs import RunLog
from DMAFTraining.training.memory import peak_memory_mb
from DMAFTraining.training.optimizer import learning_rate
from DMAFTraining.training.stepper import Stepper
from DMAFTraining.training.validation import Score, validate

Report = Callable[[int, dict[str, Any]], None]


class Trainer:
    """A run: weights, optimizer, strategy, its place in the data and its folder.

    Args:
        config: the run.
        cohort: its cases.
        device: of this rank.

    Raises:
        ValueError: network and data do not fit, or weights to start from cannot be used.
    """

    def __init__(self, config: TrainingConfig, cohort: TrainingCohort, device: torch.device) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.cohort = cohort
        self.device = device
        self.iterations = config.iterations or -(-len(cohort) // (config.batch * config.accumulate))
        self.step = 0
        self.best = float("-inf")
        self.stale = 0  # validations since the best
        network = _build(config, cohort).to(device).train()
        task = Task(cohort.spec.classes, cohort.rule.weights(), config.epochs)
        strategy = build_strategy(config.strategy, task, network).to(device)
        if config.initial:
            start_from(network, config.initial)
        self.stepper = Stepper(config, network, strategy, device)
        torch.manual_seed(config.seed + distributed.rank())  # ranks draw their own dropout

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.config.epochs * self.iterations

    def run(self, report: Report | None = None, interruption: Interruption | None = None) -> None:
        """Train to the end, resuming from the run folder's checkpoint if there is one.

        Args:
            report: told the step after each, with the logged values where there are some.
            interruption: asked after each step whether to stop.

        Raises:
            Interrupted: the run was asked to stop; its checkpoint holds the last step.
        """
        self.config.output.mkdir(parents=True, exist_ok=True)
        self.resume()
        lead = distributed.rank() == 0
        log = RunLog(self.config.output, self.step, self.cohort.spec.modalities.names) if lead else None
        passes = self.config.accumulate
        batches = self.cohort.batches(self.config, self.step * passes, self.steps * passes)
        try:
            while self.step < self.steps and not self._out_of_patience():
                values = self._advance(batches)
                if log:
                    for event, row in values.items():
                        log.write(event, self.step, row)
                if report:
                    report(self.step, values)
                if self._is_checkpoint():
                    self.save()
                if interruption and interruption.wanted(self.step, self.config.log_every, self.device):
                    self.save()
                    interruption.stop(self.step)
            self.save()
        finally:
            if log:
                log.close()

    def save(self) -> None:
        """Write the checkpoint (rank 0)."""
        state = {
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
            "random": distributed.gather(random_state(self.device), self.device),
            "result": self.stepper.result.state_dict(),
            **self.stepper.state_dict(),
        }
        if distributed.rank() == 0:
            save_checkpoint(self.config.output / CHECKPOINT, state)

    def resume(self) -> None:
        """Continue from the run folder's checkpoint, if it has one."""
        path = self.config.output / CHECKPOINT
        if not path.exists():
            return
        state = load_checkpoint(path, self.device)
        ranks = len(state["random"])
        if ranks != distributed.world():
            raise ValueError(
                f"{path} was written by {ranks} processes; resume with as many, not {distributed.world()}."
            )
        self.step, self.best, self.stale = state["step"], state["best"], state["stale"]
        self.stepper.load_state_dict(state)
        restore_random_state(state["random"][distributed.rank()], self.device)

    def result_weights(self) -> dict[str, torch.Tensor]:
        """Weights to export: the best validated or the last, as configured."""
        best = self.config.output / BEST
        if self.config.export.weights == "best" and best.exists():
            return load_checkpoint(best)["result"]
        return dict(self.stepper.result.state_dict())

    def _advance(self, batches: Iterator[Batch]) -> dict[str, dict[str, Any]]:
        """One optimizer step and what follows it; returns log rows by event."""
        config, stepper = self.config, self.stepper
        rate = learning_rate(config.optimizer, self.step, self.iterations, config.epochs)
        stepper.step([next(batches).to(self.device) for _ in range(config.accumulate)], rate)
        self.step += 1
        epoch, within = divmod(self.step, self.iterations)
        if within == 0:
            stepper.strategy.end_epoch(epoch - 1)
        rows: dict[str, dict[str, Any]] = {}
        if self.step % config.log_every == 0 or self.step == self.steps:
            rows["train"] = self._row(rate)
        every = config.validation.every
        if every and within == 0 and (epoch % every == 0 or epoch == config.epochs):
            rows["validation"] = self._validate()
        return rows

    def _row(self, rate: float) -> dict[str, Any]:
        curves = {name: value.tolist() for name, value in self.stepper.strategy.curves().items()}
        return {
            "epoch": self.step / self.iterations,
            "learning_rate": rate,
            **self.stepper.meter.take(),
            "skipped_steps": int(self.stepper.skipped),
            "memory_mb": peak_memory_mb(self.device),
            "curves": curves,
        }

    def _validate(self) -> dict[str, Any]:
        score = self._score()
        self.stale += 1
        if score.overall > self.best:
            self.best, self.stale = score.overall, 0
            if distributed.rank() == 0:
                weights = self.stepper.result.state_dict()
                save_checkpoint(self.config.output / BEST, {"step": self.step, "dice": self.best, "result": weights})
        return {"mean": score.mean, "overall": score.overall, "subsets": score.by_subset}

    def _score(self) -> Score:
        cohort, settings = self.cohort, self.config.validation
        modalities = cohort.spec.modalities
        subsets = modalities.subsets() if settings.subsets == "all" else [modalities.full()]
        window = self.config.export.window or self.config.data.patch
        cases = range(len(cohort.validation))[: settings.cases]
        with self.stepper.autocast():
            return validate(self.stepper.result, cohort.validation, cases, subsets, window, self.config.export.overlap)

    def _is_checkpoint(self) -> bool:
        return self.step % (self.config.checkpoint_every or self.iterations) == 0

    def _out_of_patience(self) -> bool:
        patience = self.config.validation.patience
        return patience is not None and self.stale >= patience


def _build(config: TrainingConfig, cohort: TrainingCohort) -> SegmentationNetwork:
    """The backbone, once it is clear that it fits the data."""
    spec = cohort.spec
    wanted = {"modalities": len(spec.modalities), "classes": spec.classes, "dims": spec.dims}
    for name, value in wanted.items():
        if getattr(config.network, name) != value:
            raise ValueError(f"network.{name} is {getattr(config.network, name)}, but the data has {value}.")
    return build_network(config.network)
