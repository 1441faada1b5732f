"""What a run leaves in its folder: metrics, configuration, checkpoints, curves."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from DMAFTraining.modalities import BRATS
from DMAFTraining.training.checkpoint import load_checkpoint, save_checkpoint
from DMAFTraining.training.curves import draw_curves
from DMAFTraining.training.logs import RunLog, read_metrics
from DMAFTraining.training.run_folder import claim


def _write(folder: Path, steps: range, after: int = 0) -> None:
    log = RunLog(folder, after, BRATS.names)
    for step in steps:
        log.write("train", step, {"loss": 1 / step, "curves": {"w": [0.1, 0.2, 0.3, 0.4], "alpha1": 0.6}})
    log.close()


def test_a_resumed_run_writes_every_step_once(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 8))
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"event": "train", "st')  # the process died here
    _write(tmp_path, range(6, 10), after=5)
    assert [row["step"] for row in read_metrics(tmp_path)] == list(range(1, 10))
    assert len((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 9


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    _write(tmp_path, range(1, 4))
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [round(e.value, 4) for e in events.Scalars("train/loss")] == [1.0, 0.5, 0.3333]
    assert events.Scalars("train/curves/w/flair")[0].value == pytest.approx(0.3)


def test_values_that_are_not_finite_stay_valid_json(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0, BRATS.names)
    log.write("train", 1, {"loss": float("nan"), "curves": {"D": [1.0, float("inf"), 0.5, 2.0]}})
    log.close()
    text = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    row = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert (row["loss"], row["curves"]["D"]) == (None, [1.0, None, 0.5, 2.0])


def test_a_folder_belongs_to_one_configuration(tmp_path: Path) -> None:
    claim(tmp_path / "run", "seed: 1\ndevice: cpu\ndata:\n  patch: [64, 64]\n")
    claim(tmp_path / "run", "seed: 1\ndevice: cuda\ndata:\n  patch: [64, 64]\n")
    with pytest.raises(ValueError, match=r"holds a run with other settings \(data.patch, seed\)"):
        claim(tmp_path / "run", "seed: 2\ndevice: cpu\ndata:\n  patch: [32, 64]\n")


def test_damaged_checkpoints_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 3, "network": {"w": torch.ones(2)}})
    assert load_checkpoint(path)["step"] == 3
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        load_checkpoint(path)
    with pytest.raises(ValueError, match="does not exist"):
        load_checkpoint(tmp_path / "none.pt")


def test_curves_show_a_line_per_sequence(tmp_path: Path) -> None:
    assert draw_curves(tmp_path, BRATS) is None
    _write(tmp_path, range(1, 2))
    assert draw_curves(tmp_path, BRATS) is not None  # a run of one step has curves, too
    _write(tmp_path, range(1, 30))
    path = draw_curves(tmp_path, BRATS)
    assert path is not None
    picture = matplotlib.image.imread(path)[..., :3]
    for color in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73), (0xCC, 0x79, 0xA7)):
        hits = (abs(picture - [c / 255 for c in color]) < 0.02).all(axis=-1)
        assert hits.sum() > 100  # a drawn line and its entry in the legend
