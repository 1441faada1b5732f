"""The loop: it learns, validates, averages, skips what is not finite, and ends when asked to."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from DMAFTraining.balancing.base import StepLoss
from DMAFTraining.balancing.none import NoBalancingStrategy
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.train import main, read_config
from DMAFTraining.training.checkpoint import load_checkpoint
from DMAFTraining.training.cohort import open_cohort
from DMAFTraining.training.logs import read_metrics
from DMAFTraining.training.loop import Trainer
from tiny_cohort import tiny_arguments, write_tiny_hearts

CPU = torch.device("cpu")


def _trainer(cohort: Path, output: Path, *more: str) -> Trainer:
    config, _ = read_config(tiny_arguments(cohort, output, *more))
    return Trainer(config, open_cohort(config), CPU)


@pytest.mark.parametrize("strategy", ["DMAFBalancing", "PASSION"])
def test_loss_falls_and_validation_dice_rises(cohort: Path, tmp_path: Path, strategy: str) -> None:
    validation = (f"data.validation={cohort}", "validation.every=1", "validation.subsets=full", "validation.cases=1")
    trainer = _trainer(cohort, tmp_path, f"strategy={strategy}", "iterations=14", "network.dropout=0", *validation)
    trainer.run()
    rows = read_metrics(tmp_path)
    losses = [row["fuse"] for row in rows if row["event"] == "train"]
    dice = [row["mean"]["WT"] for row in rows if row["event"] == "validation"]
    assert np.mean(losses[-6:]) < 0.85 * np.mean(losses[:6])
    assert dice[-1] > dice[0]
    best = load_checkpoint(tmp_path / "best.pt")
    assert best["dice"] == max(row["overall"] for row in rows if row["event"] == "validation")


def test_every_run_ends_with_a_model_and_a_picture(cohort: Path, tmp_path: Path) -> None:
    assert main(tiny_arguments(cohort, tmp_path / "run")) == 0
    written = {path.name for path in (tmp_path / "run").iterdir()}
    expected = {"config.yaml", "environment.json", "metrics.jsonl", "checkpoint.pt", "curves.png", "model.safetensors"}
    assert expected <= written
    assert not [name for name in written if name.endswith(".part")]
    again, text = read_config([f"--config={tmp_path / 'run' / 'config.yaml'}"])
    assert text == (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert again.network.width == 2


def test_accumulating_two_passes_is_one_batch_of_two(cohort: Path, tmp_path: Path) -> None:
    shared = ("strategy=NoBalancing", "network.dropout=0", "epochs=1", "iterations=1", "optimizer.learning_rate=0.001")
    together = _trainer(cohort, tmp_path / "a", *shared, "batch=2")
    apart = _trainer(cohort, tmp_path / "b", *shared, "batch=1", "accumulate=2")
    batch = next(together.cohort.batches(together.config, 0, 1))
    parts = list(apart.cohort.batches(apart.config, 0, 2))
    # The passes of an accumulated step have other random crops; give both the same ones.
    parts = [type(batch)(*(x[n : n + 1] for x in vars(batch).values())) for n in range(len(parts))]
    for trainer, passes in ((together, [batch]), (apart, parts)):
        trainer._advance(iter(passes))
    for (name, a), b in zip(
        together.stepper.network.named_parameters(), apart.stepper.network.parameters(), strict=True
    ):
        if a.grad is not None:
            assert (a.grad - b.grad).norm() <= 5e-3 * a.grad.norm() + 1e-5, name  # a wrong mean would double it


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(cohort, tmp_path, "strategy=NoBalancing")
    plain = NoBalancingStrategy.forward

    def poisoned(self: Any, network: Any, sample: Any) -> StepLoss:
        loss = plain(self, network, sample)
        return StepLoss(loss.total * float("nan"), loss.terms) if trainer.step == 1 else loss

    monkeypatch.setattr(NoBalancingStrategy, "forward", poisoned)
    weights: list[dict[str, torch.Tensor]] = []
    trainer.run(lambda *_: weights.append({k: v.clone() for k, v in trainer.stepper.network.state_dict().items()}))
    same = [all(torch.equal(a[k], b[k]) for k in a) for a, b in itertools.pairwise(weights)]
    assert same == [True, False, False]
    assert [row["skipped_steps"] for row in read_metrics(tmp_path)] == [0, 1, 1, 1]


def test_exported_weights_are_averaged_where_the_run_averages(cohort: Path, tmp_path: Path) -> None:
    trainer = _trainer(cohort, tmp_path, "average_decay=0.75", "epochs=1", "iterations=1")
    before = {k: v.clone() for k, v in trainer.stepper.network.state_dict().items()}
    trainer.run()
    after = trainer.stepper.network.state_dict()
    for name, value in trainer.result_weights().items():
        assert torch.allclose(value, 0.75 * before[name] + 0.25 * after[name], atol=1e-6), name


def test_a_run_stops_when_validation_no_longer_improves(cohort: Path, tmp_path: Path) -> None:
    trainer = _trainer(
        cohort,
        tmp_path,
        f"data.validation={cohort}",
        "epochs=9",
        "iterations=1",
        "validation.every=1",
        "validation.subsets=full",
        "validation.cases=1",
        "validation.patience=2",
        "optimizer.learning_rate=1e-12",
    )
    trainer.run()
    assert trainer.step == 3  # the first validation is the best one


def test_a_run_can_start_from_the_weights_of_another(cohort: Path, tmp_path: Path) -> None:
    first = _trainer(cohort, tmp_path / "a")
    first.run()
    second = _trainer(cohort, tmp_path / "b", f"initial={tmp_path / 'a' / 'checkpoint.pt'}")
    for name, value in second.stepper.network.state_dict().items():
        assert torch.equal(value, first.stepper.network.state_dict()[name]), name


def test_network_and_data_must_fit(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"network\.modalities is 3, but the data has 4"):
        _trainer(cohort, tmp_path, "network.modalities=3")
    with pytest.raises(ValueError, match="There are no validation cases"):
        _trainer(cohort, tmp_path, "validation.every=1")


def test_slices_of_the_heart_end_with_a_model_that_segments_volumes(tmp_path: Path) -> None:
    hearts = write_tiny_hearts(tmp_path / "raw")
    flat = ("network.modalities=3", "network.dims=2", "network.grid=[2,2]", "data.patch=[32,32]")
    rates = ("data.missing_rates=[0.3,0.2,0.3]", "data.setting=rates", f"data.store={tmp_path / 'store'}")
    assert main([*tiny_arguments(hearts, tmp_path / "run"), *flat, *rates]) == 0
    segmenter = Segmenter(tmp_path / "run" / "model.safetensors", "cpu")
    case = segmenter.prepare({"lge": hearts / "myops_training_101_DE.nii.gz"})
    (result,) = segmenter.segment(case)
    assert (str(result.subset), result.labels.shape) == ("LGE", (40, 40, 2))
