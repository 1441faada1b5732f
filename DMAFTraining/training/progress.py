"""Progress of a run for people: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 30.0


class RunProgress:
    """Shows step, loss, validation Dice, throughput, time left and memory on stderr.

    Args:
        steps: of the whole run.
        quiet: show nothing (every rank but the first).
    """

    def __init__(self, steps: int, quiet: bool = False) -> None:
        self._steps = steps
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._notes: dict[str, str] = {}
        self._first: tuple[int, float] | None = None
        self._last_line = float("-inf")
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))
        self._task = self._bar.add_task("training", total=steps, note="")

    def __enter__(self) -> RunProgress:
        if self._terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._bar.stop()

    def __call__(self, step: int, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Show that ``step`` is done; ``rows`` is what was logged, if anything."""
        if self._quiet:
            return
        self._first = self._first or (step, time.monotonic())
        self._note(rows)
        note = ", ".join(self._notes.values())
        if self._terminal:
            self._bar.update(self._task, completed=step, note=note)
        elif rows and (time.monotonic() - self._last_line > _LINE_EVERY_S or step == self._steps):
            self._last_line = time.monotonic()
            print(f"step {step}/{self._steps}, {note}, {self._left(step)}", file=sys.stderr, flush=True)

    def _note(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        if train := rows.get("train"):
            self._notes["loss"] = f"loss {train['loss']:.3f}"
            self._notes["speed"] = f"{train['patches_per_second']:.2f} patches/s"
            self._notes["memory"] = f"{train['memory_mb'] / 1024:.1f} GB"
            if train["skipped_steps"]:
                self._notes["skipped"] = f"{train['skipped_steps']} non-finite steps skipped"
        if validation := rows.get("validation"):
            dice = " / ".join(f"{value:.3f}" for value in validation["mean"].values())
            self._notes["dice"] = f"Dice {dice}"

    def _left(self, step: int) -> str:
        begun, start = self._first or (step, time.monotonic())
        if step == begun:
            return "time left unknown"
        seconds = (time.monotonic() - start) / (step - begun) * (self._steps - step)
        return f"{seconds / 60:.0f} min left"
