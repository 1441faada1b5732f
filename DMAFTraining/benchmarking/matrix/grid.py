"""From the plan to finished runs: checks, preparation, one worker's work, and what became of it."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from DMAFTraining.benchmarking.matrix.claims import Claim, holder
from DMAFTraining.benchmarking.matrix.plan import PLAN, MatrixPlan, read_plan
from DMAFTraining.benchmarking.matrix.runs import PlannedRun, check_unchanged, planned_runs, prepare_stores
from DMAFTraining.benchmarking.matrix.state import failed_at, stage
from DMAFTraining.benchmarking.matrix.view import MatrixView, closing, overview
from DMAFTraining.benchmarking.matrix.worker import StopRequest, Worker
from DMAFTraining.data.files import write_atomically

_TELL_AFTER_S = 5.0


def run_matrix(options: argparse.Namespace) -> Iterator[str]:
    """Do what the command line says; yields what is printed.

    Raises:
        ValueError: bad input.
        SystemExit: runs failed, or the work was stopped.
    """
    if not (options.parallel >= 1 and 0 <= options.worker < options.workers):
        raise ValueError("--parallel should be 1 or more, and --worker from 0 to before --workers.")
    plan = read_plan(options.plan)
    check_plan(plan, options.output)
    runs = planned_runs(plan, options.plan.parent, options.output, options.set)
    check_unchanged(runs)
    if options.dry_run:
        yield from overview(runs, options.parallel * options.workers)
        return
    if not Path(plan.cases).exists():
        raise ValueError(f"The cases to score on, {plan.cases}, do not exist; see evaluation.cases of the plan.")
    began = time.time()
    try:
        with alone(options.output):
            write_plan(options.plan, plan, options.output)
            prepare_stores(runs)
        stopped_by = _work(options, plan, runs)
    except KeyboardInterrupt:
        stopped_by = signal.SIGINT
    yield closing(runs)
    failed = any(stage(run.folder) != "done" and failed_at(run.folder) >= began for run in runs)
    if stopped_by or failed:  # the other commands know only done and bad input
        raise SystemExit(128 + stopped_by if stopped_by else 1)


def check_plan(plan: MatrixPlan, output: Path) -> None:
    """Compare a plan with the one a folder was begun with.

    Raises:
        ValueError: it does more than add to it.
    """
    if not (output / PLAN).exists():
        return
    if changed := read_plan(output / PLAN).changes(plan):
        raise ValueError(
            f"{output} holds runs of another plan (changed: {', '.join(changed)}). A plan may grow by settings, "
            f"methods and seeds only; give another --output, or undo the changes ({output / PLAN} is the old plan)."
        )


def write_plan(source: Path, plan: MatrixPlan, output: Path) -> None:
    """Copy the plan into the folder of the runs, unless a worker with a larger one was faster."""
    check_plan(plan, output)
    write_atomically(output / PLAN, source.read_bytes())


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A context that one worker at a time is in; the others wait."""
    began = time.monotonic()
    told = False
    while not (claim := Claim.take(folder)):
        if not told and time.monotonic() - began > _TELL_AFTER_S:
            told = True
            print(f"Waiting for {holder(folder)}, which prepares the cases.", file=sys.stderr, flush=True)
        time.sleep(0.2)
    try:
        yield
    finally:
        claim.release(finished=True)


def _work(options: argparse.Namespace, plan: MatrixPlan, runs: Sequence[PlannedRun]) -> int:
    """Be a worker; returns the number of the signal that stopped it, or 0."""
    mine = [
        run for n in range(options.workers) for run in runs[(options.worker + n) % options.workers :: options.workers]
    ]
    with StopRequest() as stop, MatrixView(runs, options.parallel * options.workers) as view:
        worker = Worker(mine, plan, view, options.parallel, options.keep_checkpoints)
        worker.work(stop)
    return stop.signal_number
