"""How far a run is, read from its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from DMAFTraining.data.files import write_atomically
from DMAFTraining.training.checkpoint import CHECKPOINT
from DMAFTraining.training.export import BUNDLE
from DMAFTraining.training.logs import METRICS

SCORES = "scores.csv"
LOG = "run.log"
_FAILURE = "failed.txt"
_TIMES = "times.json"
_TAIL_BYTES = 2**16

Stage = Literal["done", "trained", "part", "waiting"]


@dataclass(frozen=True)
class Times:
    """Seconds of the work on a run so far; what was lost to a crash is not in it.

    Attributes:
        training: seconds of training processes, their start included.
        steps: optimizer steps that they took.
        scoring: seconds of scoring.
    """

    training: float = 0.0
    steps: int = 0
    scoring: float = 0.0


def stage(folder: Path) -> Stage:
    """What the files of a run folder say."""
    if (folder / SCORES).exists():
        return "done"
    if (folder / BUNDLE).exists():
        return "trained"
    return "part" if last_train_row(folder) or (folder / CHECKPOINT).exists() else "waiting"


def last_train_row(folder: Path) -> dict[str, Any] | None:
    """The last complete line of the metrics that a training step wrote; reads the end of the file only."""
    try:
        with (folder / METRICS).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - _TAIL_BYTES))
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:  # cut short by a crash, or by where reading began
            continue
        if isinstance(row, dict) and row.get("event") == "train":
            return row
    return None


def read_times(folder: Path) -> Times:
    """What :func:`write_times` wrote; nothing yet is zero."""
    try:
        return Times(**json.loads((folder / _TIMES).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Times()


def write_times(folder: Path, times: Times) -> None:
    """Keep the times of a run."""
    write_atomically(folder / _TIMES, json.dumps(asdict(times)).encode())


def failed_at(folder: Path) -> float:
    """When the last attempt at a run failed, seconds since 1970; 0 if it did not."""
    path = folder / _FAILURE
    return path.stat().st_mtime if path.exists() else 0.0


def failure(folder: Path) -> str:
    """Why it failed."""
    return (folder / _FAILURE).read_text(encoding="utf-8")


def note_failure(folder: Path, exit_code: int) -> None:
    """Write down why a run failed, with the end of its log."""
    lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    tail = "".join(f"  {line}\n" for line in lines[-8:])
    if exit_code < 0:
        end = f"ended by signal {-exit_code}" + (" (short of memory?)" if exit_code == -9 else "")
    else:
        end = f"exit code {exit_code}"
    write_atomically(folder / _FAILURE, f"{end}; the end of {folder / LOG}:\n{tail}".encode())


def clear_failure(folder: Path) -> None:
    """Forget the failure of an earlier attempt."""
    (folder / _FAILURE).unlink(missing_ok=True)
