"""One worker: takes runs that nobody else works on, trains and scores them, some at a time."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Literal

import torch

from DMAFTraining.benchmarking.matrix.claims import Claim
from DMAFTraining.benchmarking.matrix.forecast import steps_done
from DMAFTraining.benchmarking.matrix.plan import MatrixPlan
from DMAFTraining.benchmarking.matrix.process import ChildProcess
from DMAFTraining.benchmarking.matrix.runs import PlannedRun
from DMAFTraining.benchmarking.matrix.state import (
    LOG,
    Times,
    clear_failure,
    failed_at,
    note_failure,
    read_times,
    stage,
    write_times,
)
from DMAFTraining.benchmarking.matrix.view import MatrixView
from DMAFTraining.training.checkpoint import CHECKPOINT

Work = Literal["train", "score"]

_TURN_S = 0.2
_ASK_EVERY_S = 1.0
_NOTE_EVERY_S = 30.0


class StopRequest:
    """A context in which Ctrl-C and SIGTERM are counted instead of acting."""

    def __init__(self) -> None:
        self.signal_number = 0
        self.count = 0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self.count += 1


@dataclass
class ActiveRun:
    """A run that this worker is on.

    Attributes:
        run: which.
        claim: held while it lasts.
        work: what the process does.
        process: the child.
        before: times of earlier processes.
        first: step that this process began after.
        began: clock time of its start.
        noted: clock time when its times were last written.
    """

    run: PlannedRun
    claim: Claim
    work: Work
    process: ChildProcess
    before: Times = field(init=False)
    first: int = field(init=False)
    began: float = field(init=False)
    noted: float = field(init=False)

    def __post_init__(self) -> None:
        self.before = read_times(self.run.folder)
        self.first = steps_done(self.run)
        self.began = self.noted = time.monotonic()

    def note_times(self) -> None:
        """Add what this process took so far to the times of the run."""
        self.noted = time.monotonic()
        seconds, before = self.noted - self.began, self.before
        if self.work == "train":
            steps = max(0, steps_done(self.run) - self.first)
            times = Times(before.training + seconds, before.steps + steps, before.scoring)
        else:
            times = Times(before.training, before.steps, before.scoring + seconds)
        write_times(self.run.folder, times)


class Worker:
    """Works until no run is left that it could take.

    Args:
        runs: in the order in which this worker tries to take them.
        plan: what models are scored on.
        view: shows what happens.
        parallel: runs at a time, which share the threads.
        keep_checkpoints: leave the optimizer's state of finished runs on the disk.
    """

    def __init__(
        self, runs: Sequence[PlannedRun], plan: MatrixPlan, view: MatrixView, parallel: int, keep_checkpoints: bool
    ) -> None:
        self._runs = runs
        self._plan = plan
        self._view = view
        self._parallel = parallel
        self._threads = max(1, torch.get_num_threads() // parallel)
        self._keep = keep_checkpoints
        self._active: list[ActiveRun] = []
        self._began = time.time()
        self._asked = 0.0

    def work(self, stop: StopRequest) -> None:
        """Do all there is to do, or until ``stop`` is asked for."""
        try:
            while self._turn(stop):
                time.sleep(_TURN_S)
        finally:
            for active in self._active:  # only after an error of our own
                active.process.kill()
                active.claim.release()

    def _turn(self, stop: StopRequest) -> bool:
        """Look after the runs once; False when there is nothing more to do."""
        for active in list(self._active):
            self._look_after(active, bool(stop.count))
        if stop.count:
            self._stop(at_once=stop.count > 1)
        else:
            self._fill()
        self._view.show(self._active)
        return bool(self._active)

    def _look_after(self, active: ActiveRun, stopping: bool) -> None:
        code = active.process.poll()
        if active.claim.lost:
            active.process.kill()
            self._leave(active, "another worker took it over")
        elif code is None:
            if time.monotonic() - active.noted > _NOTE_EVERY_S:
                active.note_times()
        else:
            active.note_times()
            self._follow(active, code, stopping)

    def _follow(self, active: ActiveRun, code: int, stopping: bool) -> None:
        """What comes after a process has ended."""
        folder = active.run.folder
        reached = stage(folder)
        if reached == "done":
            self._tidy(folder)
            self._leave(active, "done", finished=True)
        elif stopping:
            self._leave(active, f"stopped at step {steps_done(active.run)}, saved")
        elif reached == "trained" and code == 0 and active.work == "train":
            self._active.remove(active)
            self._start(active.run, active.claim)
        else:
            note_failure(folder, code)
            self._leave(active, f"FAILED, see {folder / LOG}")

    def _leave(self, active: ActiveRun, news: str, finished: bool = False) -> None:
        active.claim.release(finished)
        self._active.remove(active)
        self._view.tell(f"{active.run.cell}: {news}")

    def _fill(self) -> None:
        while len(self._active) < self._parallel:
            taken = self._take()
            if not taken:
                return
            clear_failure(taken[0].folder)
            self._start(*taken)

    def _take(self) -> tuple[PlannedRun, Claim] | None:
        """The next run that is not done, has not failed since this worker began, and is nobody's."""
        for run in self._runs:
            if stage(run.folder) == "done":
                self._tidy(run.folder)
            elif failed_at(run.folder) < self._began and (claim := Claim.take(run.folder)):
                if stage(run.folder) != "done":
                    return run, claim
                claim.release(finished=True)  # by another worker, just now
        return None

    def _start(self, run: PlannedRun, claim: Claim) -> None:
        work: Work = "score" if stage(run.folder) == "trained" else "train"
        arguments = run.arguments
        if work == "score":
            arguments = (str(run.folder), self._plan.cases, self._plan.split, self._plan.empty, run.config.device)
        process = ChildProcess((work, *arguments), run.folder / LOG, self._threads)
        self._active.append(ActiveRun(run, claim, work, process))
        self._view.tell(f"{run.cell}: {'training' if work == 'train' else 'scoring'}")

    def _stop(self, at_once: bool) -> None:
        """Ask the runs to save and leave; end those that have nothing to save."""
        again = time.monotonic() - self._asked > _ASK_EVERY_S
        self._asked = time.monotonic() if again else self._asked
        for active in self._active:
            if at_once or stage(active.run.folder) != "part":
                active.process.kill()
            elif again:
                active.process.ask_to_stop()

    def _tidy(self, folder: Path) -> None:
        if not self._keep:
            (folder / CHECKPOINT).unlink(missing_ok=True)
