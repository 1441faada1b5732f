"""The verb ``matrix`` of the benchmark: what its command line takes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from DMAFTraining import RESEARCH_NOTICE

_HELP = """examples:
  # what there is to do; writes nothing
  python -m DMAFTraining.benchmark matrix DMAFTraining/configs/matrix/simulated_brain.yaml --output runs/brain --dry-run

  # all of it on this machine, two runs at a time; the same command goes on after an interruption
  python -m DMAFTraining.benchmark matrix DMAFTraining/configs/matrix/simulated_brain.yaml --output runs/brain \\
      --parallel 2

  # data that lies elsewhere
  python -m DMAFTraining.benchmark matrix PLAN.yaml --output runs/grid --set data.root=BraTS2020 data.workers=8

  # several machines on one network drive, in a SLURM job; every task is a worker
  srun --ntasks 8 --gpus-per-task 1 python -m DMAFTraining.benchmark matrix PLAN.yaml --output runs/grid

Each run is train.py in a process of its own, in OUTPUT/<setting>/<method>/seed<seed>, followed by the scores of
its model on the plan's cases from every combination of sequences (scores.csv). What is done is skipped, also by a
plan that has grown. Failed runs do not stop the others and are named at the end; the same command tries them again.
Ctrl-C and SIGTERM save what is running; a second time they end it at once. docs/matrix.md describes plans.
Exit code 0 done, 1 runs failed, 2 bad input, 130 or 143 stopped.

"""


def add_matrix(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of the benchmark."""
    parser = commands.add_parser(
        "matrix",
        help="train and score a grid of settings, methods and seeds",
        description="Train and score every run of a plan: setting x method x seed.\n" + RESEARCH_NOTICE,
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", type=Path, metavar="PLAN.yaml", help="settings, methods, seeds, evaluation")
    parser.add_argument("--output", type=Path, required=True, metavar="RUNS", help="folder of the runs")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="runs at a time, which share the threads")
    parser.add_argument("--dry-run", action="store_true", help="list the runs, their state and the time left")
    parser.add_argument("--keep-checkpoints", action="store_true", help="keep the optimizer state of finished runs")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all runs, the last word")
    worker, workers = place_among_workers(os.environ)
    parser.add_argument(
        "--worker", type=int, default=worker, metavar="I", help="number of this worker, from 0 (default: SLURM, RANK)"
    )
    parser.add_argument("--workers", type=int, default=workers, metavar="N", help="how many there are (default: same)")
    parser.set_defaults(run=_run)


def place_among_workers(environment: Mapping[str, str]) -> tuple[int, int]:
    """Number of this worker and how many there are, as SLURM or torchrun say; alone without them."""
    for number, count in (("SLURM_PROCID", "SLURM_NTASKS"), ("RANK", "WORLD_SIZE")):
        if number in environment and count in environment:
            return int(environment[number]), int(environment[count])
    return 0, 1


def _run(options: argparse.Namespace) -> Iterator[str]:
    # Imported here: processes that measure the memory of a step import this module too.
    from DMAFTraining.benchmarking.matrix.grid import run_matrix

    yield from run_matrix(options)
