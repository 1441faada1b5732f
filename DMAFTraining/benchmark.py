"""Measurements and comparisons.

    python -m DMAFTraining.benchmark step --networks mmformer --strategies none passion
    python -m DMAFTraining.benchmark inference --networks dmafnet unet --precisions fp32 bf16
    python -m DMAFTraining.benchmark store --cohort BraTS2020
    python -m DMAFTraining.benchmark matrix PLAN.yaml --output RUNS_FOLDER
    python -m DMAFTraining.benchmark tables RUNS_FOLDER --output report
    python -m DMAFTraining.benchmark scans --case CASE --head HEAD_LABELS --output raw-test

``step``: speed and memory of training. ``inference``: of inference, beside a plain path. ``store``: of reading
patches. ``matrix``: a grid of training runs, each scored.
``tables``: the paper's tables and figures from finished runs. ``scans``: the way from raw-like scans to labels.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.balancing import STRATEGY_NAMES
from DMAFTraining.benchmarking.floor import measure_machine
from DMAFTraining.benchmarking.inference import add_inference
from DMAFTraining.benchmarking.matrix.command import add_matrix
from DMAFTraining.benchmarking.scans import add_scans
from DMAFTraining.benchmarking.step import StepFigures, measure_step
from DMAFTraining.benchmarking.store import add_store
from DMAFTraining.benchmarking.tables import add_tables
from DMAFTraining.data.config import DataConfig
from DMAFTraining.data.missing import draw_manifest
from DMAFTraining.networks import NETWORKS
from DMAFTraining.training import distributed
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.stepper import PRECISIONS

_EXAMPLES = """examples:
  # PASSION on mmFormer, all four sequences, one thread: the setting of the published code's cost
  python -m DMAFTraining.benchmark step --networks mmformer --strategies none passion --all-present --threads 1

  # the imbalanced setting of the paper, every strategy on every backbone
  python -m DMAFTraining.benchmark step --missing-rates 0.2 0.4 0.6 0.8 --precisions fp32 bf16

Each row runs in a process of its own, so its peak memory is its own. The floor is what the operations
would take at the speed of a square matrix product measured on this machine in the same precision.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 done, 2 bad input)."""
    options = _parser().parse_args(arguments)
    try:
        for line in options.run(options):
            print(line, flush=True)
    except ValueError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m DMAFTraining.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    step = commands.add_parser(
        "step",
        help="seconds and peak memory of one training step",
        description="Seconds and peak memory of one training step on a random patch.\n" + RESEARCH_NOTICE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    step.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=["dmafnet"])
    step.add_argument("--strategies", nargs="+", choices=list(STRATEGY_NAMES), default=["none", "passion", "dmaf"])
    step.add_argument("--precisions", nargs="+", choices=list(PRECISIONS), default=["fp32"])
    step.add_argument("--patch", type=int, nargs="+", default=[80, 80, 80], help="voxels (default 80 80 80)")
    step.add_argument("--width", type=int, default=8, help="channels at full resolution (default 8)")
    which = step.add_mutually_exclusive_group()
    which.add_argument("--all-present", action="store_true", help="one pattern: every sequence exists")
    which.add_argument(
        "--missing-rates",
        type=float,
        nargs="+",
        default=[0.2, 0.4, 0.6, 0.8],
        help="T1, T1ce, FLAIR, T2 (default 2468)",
    )
    step.add_argument("--patterns", type=int, default=12, help="patterns drawn for the rates (default 12)")
    step.add_argument("--rounds", type=int, default=2, help="measurements per pattern, the best counts (default 2)")
    step.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    step.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default cpu)")
    step.set_defaults(run=_step_table)
    add_inference(commands)
    add_matrix(commands)
    add_scans(commands)
    add_store(commands)
    add_tables(commands)
    return parser


def _step_table(options: argparse.Namespace) -> Iterator[str]:
    yield "| backbone | strategy | precision | s/step | GFLOP | floor s | times floor | peak MB | parameters | loss |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    rows = itertools.product(options.networks, options.strategies, options.precisions)
    for network, strategy, precision in rows:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            figures, floor = pool.apply(_measure, (options, network, strategy, precision))
        yield (
            f"| {network} | {strategy} | {precision} | {figures.seconds:.2f} | {figures.gflop:.0f} | {floor:.2f} | "
            f"{figures.seconds / floor:.1f} | {figures.peak_mb:.0f} | {figures.parameters:,} | {figures.loss:.6f} |"
        )


def _measure(options: argparse.Namespace, name: str, strategy: str, precision: str) -> tuple[StepFigures, float]:
    """One row, in its own process."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = distributed.start(options.device)
    network_class = NETWORKS[name]
    network = replace(network_class.config_class(), width=options.width, dims=len(options.patch))
    data = DataConfig(root=Path(), patch=tuple(options.patch))
    config = TrainingConfig(output=Path(), data=data, precision=precision)  # type: ignore[arg-type]
    figures = measure_step(
        network, STRATEGY_NAMES[strategy](), config, _patterns(options), max(1, options.rounds), device
    )
    floor = measure_machine(device, PRECISIONS[precision]).floor(figures.gflop * 1e9)
    return figures, floor


def _patterns(options: argparse.Namespace) -> list[list[bool]]:
    """Presence rows to measure: everything, or the first of a manifest with the asked-for rates."""
    if options.all_present:
        return [[True] * len(options.missing_rates)]
    count = 219  # the training cases of BraTS2020: the published manifest
    present = draw_manifest([str(n) for n in range(count)], options.missing_rates)
    picked = range(0, count, max(1, count // options.patterns))
    return [list(map(bool, present[n])) for n in picked][: options.patterns]


if __name__ == "__main__":
    sys.exit(main())
