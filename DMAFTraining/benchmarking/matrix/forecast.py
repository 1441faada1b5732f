"""How long the rest of a grid takes, from what is done of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from DMAFTraining.benchmarking.matrix.runs import PlannedRun
from DMAFTraining.benchmarking.matrix.state import Times, last_train_row, read_times, stage


def steps_of(run: PlannedRun) -> int | None:
    """Optimizer steps of the whole run; None if the number of cases decides and it has not begun."""
    if run.config.iterations:
        return run.config.epochs * run.config.iterations
    row = last_train_row(run.folder)
    return round(row["step"] / row["epoch"]) * run.config.epochs if row else None


def steps_done(run: PlannedRun) -> int:
    """Last logged step."""
    row = last_train_row(run.folder)
    return row["step"] if row else 0


@dataclass(frozen=True)
class Pace:
    """Seconds per step by method, and of scoring; ``""`` is the mean of all methods."""

    per_step: dict[str, float]
    scoring: float
    steps: int

    def left(self, run: PlannedRun) -> float:
        """Seconds of work left on a run, on one worker."""
        now = stage(run.folder)
        if now == "done":
            return 0.0
        if now == "trained":
            return self.scoring
        per_step = self.per_step.get(run.cell.method, self.per_step[""])
        return max(0, (steps_of(run) or self.steps) - steps_done(run)) * per_step + self.scoring


def measure_pace(runs: Sequence[PlannedRun]) -> Pace | None:
    """The pace so far; None before anything was timed."""
    times: dict[str, list[Times]] = defaultdict(list)
    for run in runs:
        spent = read_times(run.folder)
        if spent.steps:
            times[run.cell.method].append(spent)
    if not times:
        return None
    times[""] = [spent for part in times.values() for spent in part]
    per_step = {
        method: sum(spent.training for spent in part) / sum(spent.steps for spent in part)
        for method, part in times.items()
    }
    scored = [spent.scoring for spent in times[""] if spent.scoring]
    scoring = sum(scored) / len(scored) if scored else 0.0
    return Pace(per_step, scoring, max(spent.steps for spent in times[""]))


def seconds_left(runs: Sequence[PlannedRun], at_once: int) -> float | None:
    """Seconds until all runs are done, with so many going on at once; None before anything was timed."""
    pace = measure_pace(runs)
    return sum(pace.left(run) for run in runs) / at_once if pace else None


def duration(seconds: float | None) -> str:
    """Seconds in words for people."""
    if seconds is None:
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def count_done(runs: Iterable[PlannedRun]) -> int:
    """How many are done."""
    return sum(stage(run.folder) == "done" for run in runs)
