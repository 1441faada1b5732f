"""Two processes with half the batch each do what one does with all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from DMAFTraining.train import main
from DMAFTraining.training.logs import read_metrics
from tiny_cohort import tiny_arguments

_SELF_DEPENDENT = {"patches_per_second", "memory_mb"}
_OF_GRADIENTS = {"gradient_norm", "similarity"}  # a voxel at the kink of an activation may fall on either side of it
# AdamW turns the rounding noise of a gradient that is zero in truth (a bias before a norm) into a full step.
_SMALL_STEPS = ("optimizer.learning_rate=0.000002",)


@pytest.mark.parametrize("strategy", ["DMAFBalancing", "PASSION"])
def test_two_ranks_equal_one(cohort: Path, tmp_path: Path, strategy: str) -> None:
    more = (f"strategy={strategy}", "network.dropout=0", *_SMALL_STEPS, "epochs=4", "iterations=1")
    assert main(tiny_arguments(cohort, tmp_path / "one", *more)) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "DMAFTraining.train", *tiny_arguments(cohort, tmp_path / "two", *more)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two" / "model.safetensors").exists()
    one, two = (read_metrics(tmp_path / name) for name in ("one", "two"))
    assert [row["step"] for row in two] == [1, 2, 3, 4]
    for a, b in zip(one, two, strict=True):  # the loss of step 4 follows three updates
        values, others = ({**row, **row["curves"]} for row in (a, b))
        for name in values.keys() - _SELF_DEPENDENT - {"event", "curves"}:
            tolerance = 3e-4 if name in _OF_GRADIENTS else 1e-5
            assert others[name] == pytest.approx(values[name], rel=tolerance, abs=1e-5), (a["step"], name)


def test_a_batch_that_ranks_cannot_share_is_refused(cohort: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = tiny_arguments(cohort, tmp_path / "run", "batch=3")
    command = [*launch, "-m", "DMAFTraining.train", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "A batch of 3 cannot be shared equally by 2 processes" in done.stderr
