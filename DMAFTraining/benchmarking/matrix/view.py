"""What a person sees of a grid of runs: one line per run that is going on, and how long all of it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from DMAFTraining.benchmarking.matrix.claims import holder
from DMAFTraining.benchmarking.matrix.forecast import count_done, duration, seconds_left, steps_done, steps_of
from DMAFTraining.benchmarking.matrix.runs import PlannedRun
from DMAFTraining.benchmarking.matrix.state import failed_at, failure, stage

if TYPE_CHECKING:
    from DMAFTraining.benchmarking.matrix.worker import ActiveRun

_TERMINAL_EVERY_S = 1.0
_LINE_EVERY_S = 30.0


class MatrixView:
    """Shows the state on stderr: lines that renew themselves on a terminal, a line now and then elsewhere.

    Args:
        runs: the whole grid.
        at_once: how many runs go on at once over all workers.
    """

    def __init__(self, runs: Sequence[PlannedRun], at_once: int) -> None:
        self._runs = runs
        self._at_once = at_once
        self._shown = time.monotonic()
        self._console = Console(stderr=True, soft_wrap=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if sys.stderr.isatty() else None

    def __enter__(self) -> MatrixView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def tell(self, news: str) -> None:
        """Something happened."""
        self._console.print(Text(f"{count_done(self._runs)}/{len(self._runs)} done; {news}"))

    def show(self, active: Sequence[ActiveRun]) -> None:
        """Renew the state, if it is time to."""
        every = _TERMINAL_EVERY_S if self._live else _LINE_EVERY_S
        if not active or time.monotonic() - self._shown < every:
            return
        self._shown = time.monotonic()
        lines = [status_line(one, len(self._runs)) for one in active]
        left = duration(seconds_left(self._runs, self._at_once))
        lines.append(f"{count_done(self._runs)}/{len(self._runs)} done, {left} left in all")
        if self._live:
            self._live.update(Text("\n".join(lines)), refresh=True)
        else:
            self._console.print(Text("; ".join(lines)))


def status_line(active: ActiveRun, count: int) -> str:
    """Run k of n, its step, seconds per step and time left."""
    run = active.run
    head = f"run {run.number}/{count} {run.cell}"
    if active.work == "score":
        return f"{head}: scoring, {duration(time.monotonic() - active.began)}"
    step, steps = steps_done(run), steps_of(run)
    line = f"{head}: step {step}" + (f"/{steps}" if steps else "")
    taken = step - active.first
    if taken <= 0:
        return f"{line}, started {duration(time.monotonic() - active.began)} ago"
    per_step = (time.monotonic() - active.began) / taken
    left = f", {duration((steps - step) * per_step)} left" if steps else ""
    return f"{line}, {per_step:.2f} s/step{left}"


def overview(runs: Sequence[PlannedRun], at_once: int) -> Iterable[str]:
    """Every run with its state, and the time that is left; reads only."""
    for run in runs:
        yield f"{run.number:4d}  {run.cell!s:48s} {_state(run)}"
    left = seconds_left(runs, at_once)
    rest = f"Left, with {at_once} at a time and at the speed so far: {duration(left)}."
    if left is None:
        rest = "How long they take is told once one has begun; benchmark step times a step."
    yield f"{count_done(runs)} of {len(runs)} runs are done. {rest}"


def _state(run: PlannedRun) -> str:
    steps = steps_of(run)
    words = {
        "done": "done",
        "trained": "trained, not scored",
        "part": f"part, at step {steps_done(run)} of {steps or 'an unknown number'}",
        "waiting": f"waiting ({f'{steps} steps' if steps else 'as many steps as the cases make'})",
    }
    state = stage(run.folder)
    if state == "done":
        return words[state]
    if who := holder(run.folder):
        return f"{words[state]}; {who} is on it"
    return words[state] + ("; failed" if failed_at(run.folder) else "")


def closing(runs: Sequence[PlannedRun]) -> str:
    """What became of the runs: failures with the end of their logs, and what others hold."""
    failed = [run for run in runs if stage(run.folder) != "done" and failed_at(run.folder)]
    held = [(run, who) for run in runs if stage(run.folder) != "done" and (who := holder(run.folder))]
    lines = [f"{run.cell} is not done: {who} is on it." for run, who in held]
    lines += [f"FAILED {run.cell}: {failure(run.folder).rstrip()}" for run in failed]
    return "\n".join([*lines, f"{count_done(runs)} of {len(runs)} runs are done, {len(failed)} failed."])
