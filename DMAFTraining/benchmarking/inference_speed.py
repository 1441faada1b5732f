"""Seconds of the fast path and of the plain path on the same windows, and whether they agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from DMAFTraining.benchmarking.floor import measure_machine, synchronize
from DMAFTraining.benchmarking.inference_plain import segment_plainly
from DMAFTraining.benchmarking.inference_work import count_work
from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.tiles import cut_tiles
from DMAFTraining.networks.base import SegmentationNetwork
from DMAFTraining.training.memory import peak_memory_mb

FP32_TOLERANCE = 1e-4
"""How far fp32 probabilities may be from the plain ones."""
BF16_DICE = 0.995
"""How much of the foreground bf16 has to share with plain fp32, on a case and with trained weights."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Setup:
    """What is measured.

    Attributes:
        network: in eval mode, on its device.
        images: ``(M, *S)`` on the CPU, zero outside the brain.
        window: window size in voxels.
        overlap: of the windows.
        temperature: divides the logits.
        precision: of the fast path, ``"fp32"`` or ``"bf16"``; the plain path is fp32.
        trained: whether network and images are real, so that Dice means something.
        most_windows: larger cases are cut to their central window for timing.
    """

    network: SegmentationNetwork
    images: Tensor
    window: tuple[int, ...]
    overlap: float
    temperature: float
    precision: str
    trained: bool
    most_windows: int

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device


@dataclass(frozen=True)
class Agreement:
    """How close the fast path is to the plain one, over all subsets together.

    Attributes:
        difference: largest of probabilities.
        equal_labels: share of voxels with the same most probable class.
        dice: of the foreground; 1 if there is none.
        worst_dice: the lowest of a single subset.
    """

    difference: float
    equal_labels: float
    dice: float
    worst_dice: float


@dataclass(frozen=True)
class InferenceFigures:
    """One measured configuration.

    Attributes:
        fast: seconds of each round.
        plain: the same of the plain path.
        apart: seconds of each round of the fast path that runs for one subset at a time.
        windows: that were timed.
        case_windows: that the whole case has.
        gflop: least operations of the timed windows.
        gbyte: least bytes of the timed windows.
        floor: seconds that these take at the speed of this machine.
        peak_mb: highest memory of the process before the plain path begins (GPU: of the device).
        agreement: with the plain path.
    """

    fast: tuple[float, ...]
    plain: tuple[float, ...]
    apart: tuple[float, ...]
    windows: int
    case_windows: int
    gflop: float
    gbyte: float
    floor: float
    peak_mb: float
    agreement: Agreement


def measure_inference(setup: Setup, subsets: Sequence[Sequence[bool]], rounds: int) -> InferenceFigures:
    """Time both paths in turns, after one round of each that only compares their results.

    Raises:
        ValueError: the results differ by more than rounding, see :func:`check`.
    """
    images, windows, whole = _timed_part(setup, subsets)
    engine = Engine(setup.network, setup.device, setup.precision)
    where = (setup.window, setup.overlap, setup.temperature)

    def fast(rows: Sequence[Sequence[bool]] = subsets) -> Tensor:
        return torch.stack([part.cpu() for part in engine.probabilities(images, rows, *where)])

    def plain() -> Tensor:
        return segment_plainly(setup.network, images.to(setup.device), subsets, *where).cpu()

    found = fast()
    peak = peak_memory_mb(setup.device)
    agreement = compare(found, plain())
    check(agreement, setup)
    paths = (fast, plain, lambda: [fast([row]) for row in subsets])
    seconds = [[_time(path, setup.device) for path in paths] for _ in range(rounds)]
    fast_times, plain_times, apart_times = zip(*seconds, strict=True)
    dtype = _DTYPES[setup.precision]
    window = torch.randn(1, len(images), *setup.window, device=setup.device)
    flops, moved = (windows * n for n in count_work(setup.network, window, torch.tensor(subsets), dtype.itemsize))
    floor = measure_machine(setup.device, dtype).floor(flops, moved)
    return InferenceFigures(
        fast_times, plain_times, apart_times, windows, whole, flops / 1e9, moved / 1e9, floor, peak, agreement
    )


def compare(found: Tensor, expected: Tensor) -> Agreement:
    """Compare probabilities ``(n, K, *S)``."""
    ours, theirs = found.argmax(dim=1), expected.argmax(dim=1)
    counts = [_foreground(a, b) for a, b in zip(ours, theirs, strict=True)]
    return Agreement(
        float((found - expected).abs().max()),
        float((ours == theirs).double().mean()),
        _dice(sum(both for both, _ in counts), sum(each for _, each in counts)),
        min(_dice(*count) for count in counts),
    )


def check(agreement: Agreement, setup: Setup) -> None:
    """Make sure that the fast path gives the plain results.

    Raises:
        ValueError: fp32 probabilities differ by more than 1e-4, or the foreground of bf16 has a Dice below .995 on a
            real case.
    """
    if setup.precision == "fp32" and not agreement.difference <= FP32_TOLERANCE:
        raise ValueError(
            f"The fast path's probabilities differ from the plain ones by {agreement.difference:.1e}, "
            f"more than {FP32_TOLERANCE:.0e}."
        )
    if setup.precision == "bf16" and setup.trained and not agreement.dice >= BF16_DICE:
        raise ValueError(f"In bf16 the foreground has a Dice of {agreement.dice:.4f} to plain fp32, below {BF16_DICE}.")


def _timed_part(setup: Setup, subsets: Sequence[Sequence[bool]]) -> tuple[Tensor, int, int]:
    """The images to time, their windows, and the windows of the whole case."""
    available = torch.tensor(subsets).any(dim=0)
    whole = len(cut_tiles(setup.images, available, setup.window, setup.overlap).places)
    if whole <= setup.most_windows:
        return setup.images, whole, whole
    corner = [max(0, (size - side) // 2) for size, side in zip(setup.images.shape[1:], setup.window, strict=True)]
    center = tuple(slice(first, first + side) for first, side in zip(corner, setup.window, strict=True))
    return setup.images[(slice(None), *center)].contiguous(), 1, whole


def _foreground(ours: Tensor, theirs: Tensor) -> tuple[int, int]:
    return int(((ours > 0) & (theirs > 0)).sum()), int((ours > 0).sum() + (theirs > 0).sum())


def _dice(both: int, each: int) -> float:
    return 2 * both / each if each else 1.0


def _time(work: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start
