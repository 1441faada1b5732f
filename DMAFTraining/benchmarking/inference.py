"""The verb ``inference``: seconds, memory and agreement of inference, beside a plain path and a floor."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import NETWORKS, build_network
from DMAFTraining.networks.base import SegmentationNetwork

if TYPE_CHECKING:
    from DMAFTraining.benchmarking.inference_speed import InferenceFigures, Setup

_EXAMPLES = """examples:
  # every backbone with random weights, one thread, on windows of the usual size
  python -m DMAFTraining.benchmark inference --networks dmafnet mmformer rfnet m2ftrans unet --threads 1

  # a model on a case of yours; bf16 has to keep the foreground (Dice at least .995)
  python -m DMAFTraining.benchmark inference --bundle model.safetensors --precisions fp32 bf16 \\
      --case t1=T1.nii.gz t1ce=T1ce.nii.gz flair=FLAIR.nii.gz t2=T2.nii.gz

  # a quick look in two dimensions
  python -m DMAFTraining.benchmark inference --patch 192 192 --volume 240 240 --rounds 1

The plain path is ordinary eager PyTorch in fp32: subset by subset, window by window, one layer after the other.
Both paths see the same windows, in turns. Every row runs in a process of its own, so its peak memory is its own,
and stops if fp32 probabilities differ by more than 1e-4. Seconds are the best round, the median in brackets.
The floor is what the operations and bytes that cannot be avoided take at the speed of a matrix product and of a
copy measured in the same process.

"""
_HEADER = (
    "| backbone | precision | subsets | fast s/window | plain s/window | plain / fast | fast s/case | GFLOP/window "
    "| GB/window | floor s/window | fast / floor | together / one by one | peak MB | to plain fp32 |"
)
_PATCH = (80, 80, 80)
_WIDTH = 8
_VOLUMES = {2: (240, 240), 3: (240, 240, 155)}
_OVERLAP = 0.5
_BRAIN = 0.36  # half axes of the ellipsoid that stands for a brain, over the sides of the volume

Row = tuple[str, str, bool]
"""Backbone, precision, and whether all subsets are decoded or only the fullest."""


def add_inference(commands: Any) -> None:
    """Register the verb at the subparsers of a command; ``run`` of its options does the work."""
    parser = commands.add_parser(
        "inference",
        help="seconds and peak memory of inference, beside a plain path",
        description="Seconds and peak memory of inference, for one and for all subsets of sequences, beside a plain "
        "path and a floor.\n" + RESEARCH_NOTICE,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), help="random weights (default dmafnet)")
    parser.add_argument("--bundle", type=Path, help="a model file, with its own window, instead of --networks")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default cpu)")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32"], help="default fp32")
    parser.add_argument("--volume", type=int, nargs="+", help="voxels of a random case (default 240 240 155)")
    parser.add_argument("--case", nargs="+", metavar="NAME=FILE", help="images of a case, with --bundle")
    parser.add_argument("--patch", type=int, nargs="+", help="voxels of a window (default 80 80 80)")
    parser.add_argument("--width", type=int, help="channels at full resolution (default 8)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each path (default 5)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument(
        "--windows", type=int, default=4, help="time cases of up to so many windows whole (default 4), else one window"
    )
    parser.set_defaults(run=inference_table)


def inference_table(
    options: argparse.Namespace, measure: Callable[[argparse.Namespace, Row], InferenceFigures] | None = None
) -> Iterator[str]:
    """Measure; yields the lines of a table.

    Args:
        options: of the command.
        measure: gives the figures of a row; default :func:`measure_row` in a process of its own.

    Raises:
        ValueError: options that do not fit, or paths that do not agree.
    """
    check_options(options)
    yield _HEADER
    yield "|---" * _HEADER.count(" | ") + "|---|"
    names = ["bundle"] if options.bundle else options.networks or ["dmafnet"]
    for row in itertools.product(names, options.precisions, (False, True)):
        yield _line(row, (measure or _apart)(options, row))


def check_options(options: argparse.Namespace) -> None:
    """Refuse options that do not fit together.

    Raises:
        ValueError: one sentence on what to do.
    """
    if options.rounds < 1 or options.windows < 1 or options.threads < 0:
        raise ValueError("Give --rounds and --windows a number from 1 on, and --threads none below 0.")
    if options.bundle and (options.networks or options.patch or options.width):
        raise ValueError("A bundle has its own network and window; leave out --networks, --patch and --width.")
    if options.case and not options.bundle:
        raise ValueError("A case needs a model that knows its sequences; give --bundle.")
    if options.case and options.volume:
        raise ValueError("Give either --case or --volume.")
    if wrong := [text for text in options.case or () if not all(text.partition("="))]:
        raise ValueError(f"Name the sequence of each image of --case, as in t1=T1.nii.gz, not {wrong[0]!r}.")
    dims = len(options.patch or _PATCH)
    if not options.bundle and dims not in _VOLUMES:
        raise ValueError(f"--patch has 2 or 3 numbers, not {dims}.")
    if not options.bundle and options.volume and len(options.volume) != dims:
        raise ValueError(f"--volume has {len(options.volume)} numbers and --patch has {dims}; give both as many.")


def measure_row(options: argparse.Namespace, row: Row) -> InferenceFigures:
    """One row of the table, in this process."""
    from DMAFTraining.benchmarking.inference_speed import measure_inference

    name, precision, every = row
    if options.threads:
        torch.set_num_threads(options.threads)
    setup, subsets = _bundle(options, precision) if options.bundle else _random(options, name, precision)
    return measure_inference(setup, subsets if every else subsets[:1], options.rounds)


def _apart(options: argparse.Namespace, row: Row) -> InferenceFigures:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure_row, (options, row))


def _random(options: argparse.Namespace, name: str, precision: str) -> tuple[Setup, list[tuple[bool, ...]]]:
    """A network with random weights and a random case, all subsets, the fullest first."""
    from DMAFTraining.benchmarking.inference_speed import Setup
    from DMAFTraining.inference.segmenter import choose_device

    patch = tuple(options.patch or _PATCH)
    network = random_network(name, len(patch), options.width or _WIDTH).to(choose_device(options.device))
    images = random_case(network.config.modalities, tuple(options.volume or _VOLUMES[len(patch)]))
    rows = [BRATS.flags(subset) for subset in sorted(BRATS.subsets(), key=len, reverse=True)]
    return Setup(network, images, patch, _OVERLAP, 1.0, precision, False, options.windows), rows


def _bundle(options: argparse.Namespace, precision: str) -> tuple[Setup, list[tuple[bool, ...]]]:
    """A model and a case, all subsets of what the case has, the fullest first.

    Raises:
        ValueError: a case of slices, which has no windows to compare, or a volume of other dimensions.
    """
    from DMAFTraining.benchmarking.inference_speed import Setup
    from DMAFTraining.inference.segmenter import Segmenter

    segmenter = Segmenter(options.bundle, options.device)
    metadata, network = segmenter.metadata, segmenter.bundle.network
    dims, modalities = network.config.dims, metadata.modalities
    if options.case:
        if metadata.preprocessing.slice_size:
            raise ValueError("A model of slices is measured on a random slice; leave out --case.")
        case = segmenter.prepare(dict(text.split("=", 1) for text in options.case))
        images, available = torch.from_numpy(case.images), case.available
        subsets = segmenter.subsets("all", available)
    else:
        size = tuple(options.volume or _VOLUMES[dims])
        if len(size) != dims:
            raise ValueError(f"The bundle's network has {dims} dimensions; give --volume {dims} numbers.")
        images = random_case(len(modalities.names), size)
        subsets = sorted(modalities.subsets(), key=len, reverse=True)
    rows = [modalities.flags(subset) for subset in subsets]
    window = metadata.window
    trained = bool(options.case)
    setup = Setup(
        network, images, window.patch, window.overlap, metadata.temperature, precision, trained, options.windows
    )
    return setup, rows


def random_network(name: str, dims: int, width: int) -> SegmentationNetwork:
    """A backbone with random weights in eval mode, the same each time, as it is published but for its width."""
    torch.manual_seed(0)
    config = NETWORKS[name].config_class()
    sides: dict[str, Any] = {f.name: getattr(config, f.name) for f in fields(config) if f.name in ("grid", "window")}
    cut = {field: value[:dims] for field, value in sides.items()}
    network = build_network(replace(config, dims=dims, width=width, **cut), training_heads=False).eval()
    for parameter in network.parameters():
        if not parameter.any():  # what starts at zero would hide what it multiplies
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def random_case(modalities: int, size: tuple[int, ...]) -> torch.Tensor:
    """Noise ``(M, *size)`` in an ellipsoid, zero around it, the same each time."""
    axes = [torch.linspace(-0.5, 0.5, side) / _BRAIN for side in size]
    inside = sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij")) < 1
    return torch.randn(modalities, *size, generator=torch.Generator().manual_seed(7)) * inside


def _line(row: Row, figures: InferenceFigures) -> str:
    name, precision, every = row
    windows, agreement = figures.windows, figures.agreement
    fast, plain = min(figures.fast), min(figures.plain)
    agrees = f"probabilities {agreement.difference:.1e}, labels {agreement.equal_labels:.4f}, "
    agrees += f"Dice {agreement.dice:.4f} (worst {agreement.worst_dice:.4f})"
    cells = [
        name,
        precision,
        "all" if every else "1",
        _seconds(figures.fast, windows),
        _seconds(figures.plain, windows),
        f"{plain / fast:.2f}",
        f"{fast / windows * figures.case_windows:.1f} ({windows} of {figures.case_windows} windows timed)",
        f"{figures.gflop / windows:.1f}",
        f"{figures.gbyte / windows:.2f}",
        f"{figures.floor / windows:.3f}",
        f"{fast / figures.floor:.2f}",
        f"{fast / min(figures.apart):.2f}" if every else "-",
        f"{figures.peak_mb:.0f}",
        agrees,
    ]
    return f"| {' | '.join(cells)} |"


def _seconds(times: tuple[float, ...], windows: int) -> str:
    return f"{min(times) / windows:.3f} ({statistics.median(times) / windows:.3f})"
