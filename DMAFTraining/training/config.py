"""What a training run is told; every field is a command-line option and a line of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from DMAFTraining.balancing.base import StrategySettings
from DMAFTraining.balancing.dmaf import DMAFBalancing
from DMAFTraining.data.config import DataConfig
from DMAFTraining.networks.base import NetworkConfig
from DMAFTraining.networks.dmafnet import DMAFNetConfig


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (amsgrad) and its schedule.

    Attributes:
        learning_rate: start of the schedule.
        weight_decay: of AdamW.
        schedule: polynomial decay that changes once per epoch (published) or with every step, or a constant rate.
        power: of the polynomial decay.
        warmup_steps: steps of linear warm-up before the schedule counts.
        clip: largest gradient norm; null leaves gradients as they are (published).
    """

    learning_rate: float = 2e-4
    weight_decay: float = 1e-4
    schedule: Literal["poly-epoch", "poly-step", "constant"] = "poly-epoch"
    power: float = 0.9
    warmup_steps: int = 0
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or (self.clip is not None and self.clip <= 0):
            raise ValueError("optimizer.learning_rate and optimizer.clip should be positive.")


@dataclass(frozen=True)
class ValidationConfig:
    """Dice on whole validation cases with the sliding window that the exported model uses.

    Attributes:
        every: epochs between validations; 0 never validates.
        cases: how many validation cases, the first by name; null takes all.
        subsets: "all" averages over every subset of sequences, "full" takes all sequences only.
        patience: validations without a better mean Dice after which the run ends; null never does.
    """

    every: int = 0
    cases: int | None = None
    subsets: Literal["all", "full"] = "all"
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.every < 0 or (self.cases is not None and self.cases < 1) or (self.patience or 1) < 1:
            raise ValueError("validation.every should be 0 or more, validation.cases and patience 1 or more.")


@dataclass(frozen=True)
class ExportConfig:
    """The bundle that every run ends with.

    Attributes:
        name: file-safe name of the model.
        title: what people read in a list of models.
        version: of the model.
        training_data: what the cases are, for the model's description.
        weights: the best validated weights (the last where nothing was validated), or the last.
        window: sliding window in voxels; null takes the training patch.
        overlap: share of the window that neighbors have in common.
    """

    name: str = "dmaf-run"
    title: str = "Own training run"
    version: str = "0.1.0"
    training_data: str = "Not described."
    weights: Literal["best", "last"] = "best"
    window: tuple[int, ...] | None = None
    overlap: float = 0.5


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Attributes:
        output: run folder: config.yaml, metrics.jsonl, checkpoints, curves.png, model.safetensors.
        data: cases, missing sequences, patches.
        network: backbone and its shape.
        strategy: balancing method and its settings.
        optimizer: AdamW and its schedule.
        validation: off by default.
        export: how the model describes itself.
        epochs: passes over the training cases.
        iterations: optimizer steps per epoch; null takes as many as give each case one visit.
        batch: patches per step over all ranks.
        accumulate: backward passes per optimizer step; the batch is that of one pass.
        precision: of the network; losses are always computed in fp32.
        device: "auto" takes CUDA where there is one.
        average_decay: decay of the exponential average of the weights that is then validated and
            exported; 0 (published) uses the weights themselves.
        initial: weights to start from: a checkpoint.pt or best.pt of another run, or a model (.safetensors) of the
            same network, whose training-only parts then start at random.
        checkpoint_every: optimizer steps between checkpoints; null saves after each epoch.
        log_every: optimizer steps between lines of metrics.jsonl.
        seed: of patches, hidden sequences, dropout and initial weights.
    """

    output: Path
    data: DataConfig
    network: NetworkConfig = field(default_factory=DMAFNetConfig)
    strategy: StrategySettings = field(default_factory=DMAFBalancing)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    epochs: int = 300
    iterations: int | None = None
    batch: int = 1
    accumulate: int = 1
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    device: str = "auto"
    average_decay: float = 0.0
    initial: Path | None = None
    checkpoint_every: int | None = None
    log_every: int = 10
    seed: int = 1037

    def __post_init__(self) -> None:
        counts = (self.epochs, self.iterations or 1, self.batch, self.accumulate, self.log_every)
        if min(*counts, self.checkpoint_every or 1) < 1:
            raise ValueError("epochs, iterations, batch, accumulate, log_every and checkpoint_every start at 1.")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay should lie in [0, 1), not {self.average_decay}.")
