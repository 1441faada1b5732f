"""What a training run is told; every field is a command-line option and a line of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from DMAFTraining.networks.dmafnet import DMAFNetConfig


@dataclass(frozen=True)
class TrainingConfig:
    """One training run on a folder of complete cases with sequences hidden at random.

    Attributes:
        cases: folder of cases, as ``prepare simulate`` writes it.
        output: run folder: metrics.jsonl, checkpoint.pt, model.safetensors.
        network: shape of DMAF-Net.
        patch: size of a training crop in voxels of the cases' grid.
        window: sliding-window size the exported bundle asks for.
        batch: crops per step.
        steps: optimizer steps.
        learning_rate: start of the polynomial decay (power 0.9) of AdamW.
        weight_decay: of AdamW.
        missing_rates: probability that each sequence is hidden, in channel order; draws that hide
            everything are repeated. Unequal rates are the imbalanced setting.
        unimodal_weight: weight of the uni-modal decoder's loss; 0 skips that decoder.
        weighted_cross_entropy: the papers' class weights, or plain cross-entropy.
        average_decay: decay of the averaged weights that are exported.
        precision: bf16 runs the network in bfloat16, losses stay in fp32.
        initial: checkpoint whose averaged weights the run starts from.
        checkpoint_every: steps between checkpoints; the same command resumes from the last.
        seed: of crops, hidden sequences and initial weights.
        name: name of the exported bundle.
        title: what people read in a list of models.
        training_data: what the cases are, for the bundle's description.
    """

    cases: Path
    output: Path
    network: DMAFNetConfig = field(default_factory=DMAFNetConfig)
    patch: tuple[int, int, int] = (64, 64, 64)
    window: tuple[int, int, int] = (80, 96, 80)
    batch: int = 2
    steps: int = 2000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    missing_rates: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5)
    unimodal_weight: float = 1.0
    weighted_cross_entropy: bool = True
    average_decay: float = 0.995
    precision: Literal["bf16", "fp32"] = "bf16"
    initial: Path | None = None
    checkpoint_every: int = 100
    seed: int = 1037
    name: str = "dmaf-run"
    title: str = "Brain tumor, own training run"
    training_data: str = "Simulated brain tumors."

    def __post_init__(self) -> None:
        if not all(0 <= rate < 1 for rate in self.missing_rates):
            raise ValueError(f"missing_rates should lie in [0, 1), not {self.missing_rates}.")
        if self.steps < 1 or self.batch < 1:
            raise ValueError("steps and batch should be at least 1.")
