"""The training loop: learns, resumes exactly, and ends with a model that predict loads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DMAFTraining.data.cases import TrainingCase, read_cases
from DMAFTraining.data.sampling import draw_batch, draw_presence
from DMAFTraining.inference.bundle import load_bundle
from DMAFTraining.modalities import BRATS
from DMAFTraining.train import read_config, train
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.loop import Trainer
from tiny import TINY

CONFIGS = Path(__file__).parents[2] / "DMAFTraining" / "configs"


def _config(output: Path, **changes: object) -> TrainingConfig:
    base = TrainingConfig(
        cases=Path("unused"),
        output=output,
        network=TINY,
        patch=(32, 32, 32),
        window=(32, 32, 32),
        batch=2,
        steps=6,
        learning_rate=5e-3,
        missing_rates=(0.5, 0.5, 0.2, 0.8),
        checkpoint_every=3,
    )
    return replace(base, **changes)


def _cases() -> list[TrainingCase]:
    """Balls of three nested labels that every sequence shows with another contrast."""
    cases = []
    for n in range(3):
        x, y, z = np.mgrid[:36, :36, :36] - (14 + 3 * n)
        r = np.sqrt(x**2 + y**2 + z**2)
        labels = np.select([r < 4, r < 6, r < 10], [1, 3, 2], 0).astype(np.uint8)
        noise = np.random.default_rng(n).normal(0, 0.1, (4, 36, 36, 36))
        looks = np.array([[0.5, -1, 0.5, 1], [0.5, -1, 0.5, 2], [0.5, 1, 2, 1.5], [0.5, 2, 1.5, 1]])
        cases.append(TrainingCase(str(n), (looks[:, labels] + noise).astype(np.float16), labels))
    return cases


def test_loss_falls(tmp_path: Path) -> None:
    trainer = Trainer(_config(tmp_path, steps=40, precision="fp32"), _cases())
    losses: list[float] = []
    trainer.run(lambda _, values: losses.append(values["loss"]))
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").open()] == list(range(1, 41))


def test_interrupted_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole = Trainer(_config(tmp_path / "a"), _cases())
    whole.run()
    first = Trainer(_config(tmp_path / "b"), _cases())

    def stop(step: int, _: dict[str, float]) -> None:
        if step == 5:  # two steps after the checkpoint at 3
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    second = Trainer(_config(tmp_path / "b"), _cases())
    second.run()
    for name, tensor in whole.export_weights().items():
        assert torch.equal(tensor, second.export_weights()[name]), name


def test_hidden_sequences_follow_their_rates_and_never_all_vanish() -> None:
    rng = np.random.default_rng(0)
    rows = np.array([draw_presence((0.2, 0.4, 0.6, 0.8), rng) for _ in range(20_000)])
    assert rows.any(axis=1).all()
    # science 1.4: expectation of the missing rate after redrawing is 1 - (1-p) / (1 - prod p)
    assert 1 - rows.mean(axis=0) == pytest.approx([0.168, 0.376, 0.584, 0.792], abs=0.01)


def test_batch_hides_content_and_keeps_labels_valid() -> None:
    batch = draw_batch(_cases(), 8, (40, 32, 32), (0.5,) * 4, np.random.default_rng(1))
    assert batch.images.shape == (8, 4, 40, 32, 32)
    assert not batch.images[~batch.present].any()
    assert batch.images[batch.present].any()
    assert set(batch.labels.unique().tolist()) <= {0, 1, 2, 3}


def test_images_and_labels_of_a_crop_stay_together() -> None:
    case = _cases()[0]
    marked = TrainingCase("m", np.repeat(case.labels[None].astype(np.float16) + 1, 4, axis=0), case.labels)
    batch = draw_batch([marked], 6, (32, 32, 32), (0.0,) * 4, np.random.default_rng(2))
    inside = batch.labels > 0
    for image, labels, where in zip(batch.images[:, 0], batch.labels, inside, strict=True):
        assert np.corrcoef(image[where], labels[where])[0, 1] > 0.9


def test_command_ends_with_a_bundle(tmp_path: Path) -> None:
    for case in _cases()[:2]:
        folder = tmp_path / "cases" / f"c{case.name}"
        folder.mkdir(parents=True)
        for modality, image in zip(BRATS, case.images, strict=True):
            path = folder / f"c{case.name}_{modality.name}.nii.gz"
            sitk.WriteImage(sitk.GetImageFromArray(image.astype(np.float32).transpose(2, 1, 0)), str(path))
        seg = sitk.GetImageFromArray(case.labels.transpose(2, 1, 0))
        sitk.WriteImage(seg, str(folder / f"c{case.name}_seg.nii.gz"))
    assert read_cases(tmp_path / "cases", BRATS)[0].images.shape == (4, 36, 36, 36)
    config = _config(tmp_path / "run", cases=tmp_path / "cases", steps=2, unimodal_weight=0.0)
    metadata = load_bundle(train(config)).metadata
    assert (metadata.modalities, metadata.simulated_training) == (BRATS, True)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = read_config([f"--config={path}", "--steps=7"])
    assert config.steps == 7
    assert config.network.dropout == 0
    assert len(config.missing_rates) == len(BRATS)


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing_rates should lie in \[0, 1\)"):
        _config(tmp_path, missing_rates=(0.5, 1.0, 0.5, 0.5))
    with pytest.raises(ValueError, match="There are no cases in"):
        read_cases(tmp_path, BRATS)
