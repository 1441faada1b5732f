"""Interruptions: kill -9, SIGTERM, and what the run is afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from DMAFTraining.train import main
from DMAFTraining.training.checkpoint import load_checkpoint
from DMAFTraining.training.logs import read_metrics
from tiny_cohort import tiny_arguments

STEPS = ("epochs=2", "iterations=4", "checkpoint_every=2", "average_decay=0.9")


def _leaves(state: object, path: str = "") -> dict[str, object]:
    if isinstance(state, dict):
        return {k: v for name, part in state.items() for k, v in _leaves(part, f"{path}/{name}").items()}
    if isinstance(state, list):
        return {k: v for n, part in enumerate(state) for k, v in _leaves(part, f"{path}/{n}").items()}
    return {path: state}


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "DMAFTraining.train", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not any(row["step"] >= step for row in read_metrics(folder)):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline, "the run never got there"
        time.sleep(0.02)


@pytest.mark.parametrize("strategy", ["DMAFBalancing", "PASSION"])
def test_a_killed_run_resumes_bit_for_bit(cohort: Path, tmp_path: Path, strategy: str) -> None:
    more = (*STEPS, f"strategy={strategy}")
    assert main(tiny_arguments(cohort, tmp_path / "whole", *more)) == 0
    process = _start(tiny_arguments(cohort, tmp_path / "cut", *more))
    _wait_for_step(tmp_path / "cut", 5, process)  # within the second epoch, after the checkpoint at 4
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"]
    assert saved % 2 == 0
    assert 4 <= saved < 8
    assert main(tiny_arguments(cohort, tmp_path / "cut", *more)) == 0
    whole, cut = (_leaves(load_checkpoint(tmp_path / name / "checkpoint.pt")) for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    for name, value in whole.items():
        same = torch.equal(value, cut[name]) if isinstance(value, torch.Tensor) else value == cut[name]
        assert same, name
    timing = {"patches_per_second", "memory_mb"}
    rows = [
        [{k: v for k, v in row.items() if k not in timing} for row in read_metrics(tmp_path / name)]
        for name in ("whole", "cut")
    ]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == list(range(1, 9))


def test_sigterm_saves_the_step_and_leaves(cohort: Path, tmp_path: Path) -> None:
    arguments = tiny_arguments(cohort, tmp_path / "run", "epochs=1000")
    process = _start(arguments)
    _wait_for_step(tmp_path / "run", 3, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"]
    assert f"stopped after step {saved}, which is saved" in errors
    rows = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(rows[-1])["step"] == saved
    assert not (tmp_path / "run" / "model.safetensors").exists()
