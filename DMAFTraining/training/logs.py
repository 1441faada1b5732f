"""The record of a run: metrics.jsonl always, TensorBoard events beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from DMAFTraining.data.files import write_atomically

METRICS = "metrics.jsonl"


class RunLog:
    """Writes one JSON object per line, flushed at once, and the same numbers to TensorBoard.

    Args:
        folder: run folder.
        step: the run goes on after this step: later lines of an interrupted run are dropped, so
            that no step is written twice.
        names: titles of the sequences, for vectors with one value each.
    """

    def __init__(self, folder: Path, step: int, names: Sequence[str]) -> None:
        self.names = list(names)
        _keep_until(folder / METRICS, step)
        self._stream = (folder / METRICS).open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """Log ``values`` (numbers, lists with one number per sequence, or nested mappings of numbers)."""
        finite = _finite({"event": event, "step": step, **values})
        self._stream.write(json.dumps(finite, allow_nan=False) + "\n")
        self._stream.flush()
        for name, value in self._scalars(event, values):
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Finish both files."""
        self._stream.close()
        self._board.close()

    def _scalars(self, prefix: str, values: Mapping[str, Any]) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for name, value in values.items():
            if isinstance(value, Mapping):
                found += self._scalars(f"{prefix}/{name}", value)
            elif isinstance(value, list):
                found += [(f"{prefix}/{name}/{n}", v) for n, v in zip(self.names, value, strict=True)]
            elif isinstance(value, int | float):
                found.append((f"{prefix}/{name}", value))
        return found


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All complete lines of a run's metrics; a line cut short by a crash is left out."""
    path = folder / METRICS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _finite(value: Any) -> Any:
    """The value with null for every number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _keep_until(path: Path, step: int) -> None:
    kept = [row for row in read_metrics(path.parent) if row["step"] <= step]
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
