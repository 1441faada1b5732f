"""The picture of a run: losses, validation Dice, and what the balancing did to each sequence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from DMAFTraining.modalities import ModalitySet
from DMAFTraining.training.logs import read_metrics

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_STYLES = ("-", "--", "-.", ":")
_COLUMNS = 3
_POINTS = 60  # of a smoothed line
_NOT_LOSSES = {"epoch", "learning_rate", "skipped_steps", "memory_mb", "patches_per_second", "curves", "gradient_norm"}
_TITLES = {
    "w": "weight w of the sequence's own loss, Eq. (16)",
    "gamma": "gradient factor γ, Eq. (18)",
    "gap_relation": "relation gap, Eq. (12)",
    "gap_prototype": "prototype gap, Eq. (12)",
    "gap_total": "total gap, Eq. (14)",
    "decay": "share of the old gap that is kept, Eq. (13)",
    "similarity": "cosine of the last two gradients of the encoder",
    "damped_rate": "share of steps with a damped gradient",
    "D": "distance D to the fused prediction",
    "RP": "relative preference RP (above 0: lagging)",
    "r": "share of visits in which the sequence lags",
    "beta": "weight β, updated once per epoch",
}
_NOT_DRAWN = {"damped"}  # its rate is

Rows = list[dict[str, Any]]


def draw_curves(folder: Path, modalities: ModalitySet) -> Path | None:
    """Draw ``curves.png`` from a run folder's metrics; None if nothing is logged yet."""
    rows = read_metrics(folder)
    train = [row for row in rows if row["event"] == "train"]
    validation = [row for row in rows if row["event"] == "validation"]
    if not train:
        return None
    drawn = {name: value for name, value in train[-1]["curves"].items() if name not in _NOT_DRAWN}
    vectors = [name for name, value in drawn.items() if isinstance(value, list)]
    scalars = [name for name, value in drawn.items() if not isinstance(value, list)]
    panels = 2 + bool(validation) + len(vectors) + bool(scalars)
    figure = Figure(figsize=(5 * _COLUMNS, 3.1 * -(-panels // _COLUMNS)), layout="constrained")
    axes = iter(figure.subplots(-(-panels // _COLUMNS), _COLUMNS, squeeze=False).ravel())
    _draw_losses(next(axes), train)
    _draw_lines(next(axes), train, ["gradient_norm"], "gradient norm (smoothed)", log=True)
    if validation:
        _draw_validation(next(axes), validation)
    for name in vectors:
        _draw_vector(next(axes), train, name, modalities)
    if scalars:
        _draw_scalars(next(axes), train, scalars)
    for unused in axes:
        unused.set_axis_off()
    path = folder / "curves.png"
    figure.savefig(path, dpi=110)
    return path


def _draw_losses(axes: Axes, rows: Rows) -> None:
    names = [name for name, value in rows[-1].items() if isinstance(value, float) and name not in _NOT_LOSSES]
    _draw_lines(axes, rows, names, "training loss and its terms (smoothed)", log=True)


def _draw_lines(axes: Axes, rows: Rows, names: Sequence[str], title: str, log: bool = False) -> None:
    for number, name in enumerate(names):
        _line(axes, [r["step"] for r in rows], [r.get(name) for r in rows], name, number)
    if log and any((row.get(name) or 0) > 0 for row in rows for name in names):
        axes.set_yscale("log")
    _finish(axes, title)


def _draw_validation(axes: Axes, rows: Rows) -> None:
    for number, region in enumerate(rows[-1]["mean"]):
        values = [row["mean"][region] for row in rows]
        steps, color, style = [row["step"] for row in rows], _COLORS[number], _STYLES[number]
        axes.plot(steps, values, marker="o", markersize=3, label=region, color=color, linestyle=style)
    axes.set_ylim(0, 1)
    _finish(axes, "validation Dice, mean over subsets")


def _draw_vector(axes: Axes, rows: Rows, name: str, modalities: ModalitySet) -> None:
    for number, modality in enumerate(modalities):
        values = [row["curves"][name][number] for row in rows]
        _line(axes, [r["step"] for r in rows], values, modality.title, number)
    _finish(axes, _TITLES.get(name, name.replace("_", " ")))


def _draw_scalars(axes: Axes, rows: Rows, names: Iterable[str]) -> None:
    for number, name in enumerate(names):
        _line(axes, [r["step"] for r in rows], [r["curves"][name] for r in rows], name.replace("_", " "), number)
    _finish(axes, "other balancing values")


def _line(axes: Axes, steps: Sequence[int], values: Sequence[float | None], label: str, number: int) -> None:
    """The values' running mean; the raw ones stay visible behind it."""
    y = np.array([np.nan if value is None else value for value in values], float)
    color, style = _COLORS[number % len(_COLORS)], _STYLES[number % len(_STYLES)]
    axes.plot(steps, y, alpha=0.2, linewidth=0.8, color=color)
    axes.plot(steps, _smooth(y), label=label, linewidth=1.6, color=color, linestyle=style)


def _smooth(values: np.ndarray) -> np.ndarray:
    width = min(max(1, len(values) // _POINTS), (len(values) - 1) // 2)
    valid = np.isfinite(values).astype(float)
    kernel = np.ones(2 * width + 1)
    total = np.convolve(np.where(valid > 0, values, 0), kernel, "same")
    count = np.convolve(valid, kernel, "same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("optimizer step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
