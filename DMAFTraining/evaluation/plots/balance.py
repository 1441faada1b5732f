"""How far each sequence got in training: its Dice alone, and its gap to the fused prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from DMAFTraining.evaluation.plots.style import WIDTH, in_style, look
from DMAFTraining.evaluation.study import Study
from DMAFTraining.evaluation.tables.captions import heading
from DMAFTraining.modalities import ModalitySet
from DMAFTraining.training.logs import read_metrics

_GAPS = {"gap_total": "total gap, Eq. (14)", "D": "distance D to the fused prediction"}
_BINS = 60
_MARKERS = 8  # on a line
_ROW = 1.9  # height of a method in inches

Line = tuple[list[int], list[float]]
"""Steps and values."""


@in_style
def draw_balance(study: Study, setting: str, methods: Sequence[str]) -> Figure | None:
    """A row per method with a log: Dice of each sequence alone, and its gap where the method measures one.

    The first seed is drawn. There is no column of Dice if no run was validated. Returns None if no run of the
    setting has a log with either.
    """
    sequences, rows = study.dataset.modalities, []
    for run in [study.of(setting, method)[0] for method in methods if study.of(setting, method)]:
        log = read_metrics(run.folder)
        alone, (gap, gaps) = dice_alone(log, sequences, study.main_regions), gap_lines(log, sequences)
        if alone or gaps:
            rows.append((run, alone, gap, gaps))
    if not rows:
        return None
    validated = any(alone for _, alone, _, _ in rows)
    figure = Figure(figsize=(WIDTH, _ROW * len(rows) + 0.6), layout="constrained")
    grid = figure.subplots(len(rows), 1 + validated, squeeze=False, sharex=True)
    for panels, (run, alone, gap, gaps) in zip(grid, rows, strict=True):
        who, what = f"{study.plan.methods[run.method]}, seed {run.seed}", _GAPS.get(gap, "no gap logged")
        _draw_panel(panels[-1], gaps, sequences, what if validated else f"{who}: {what}")
        if validated:
            _draw_panel(panels[0], alone, sequences, who)
            panels[0].set_ylabel("Dice % alone")
            panels[0].set_ylim(0, 100)
    for axes in grid[-1]:
        axes.set_xlabel("optimizer step")
    figure.suptitle(f"{heading(study)}, {study.plan.settings[setting]}: training")
    drawn = next(axes for axes in grid.ravel() if axes.lines)
    figure.legend(*drawn.get_legend_handles_labels(), loc="outside lower center", ncols=len(sequences))
    return figure


def dice_alone(log: Sequence[dict[str, Any]], sequences: ModalitySet, regions: Sequence[str]) -> dict[str, Line]:
    """Validation Dice in percent of each sequence alone, mean over regions, by name of the sequence."""
    found: dict[str, Line] = {}
    for row in log:
        for modality in sequences if row["event"] == "validation" else ():
            scores = row["subsets"].get(modality.title)
            if scores:
                steps, values = found.setdefault(modality.name, ([], []))
                steps.append(row["step"])
                values.append(100 * float(np.mean([scores[region] for region in regions])))
    return found


def gap_lines(log: Sequence[dict[str, Any]], sequences: ModalitySet) -> tuple[str, dict[str, Line]]:
    """Name of the gap that the method logs and its course for each sequence, in bins; no lines if it logs none."""
    rows = [row for row in log if row["event"] == "train"]
    gap = next((name for name in _GAPS if rows and name in rows[-1].get("curves", {})), "")
    if not gap:
        return "", {}
    rows = [row for row in rows if gap in row["curves"]]
    values = np.array([row["curves"][gap] for row in rows], float)
    bins = np.array_split(np.arange(len(rows)), min(_BINS, len(rows)))
    steps = [rows[part[-1]]["step"] for part in bins]
    means = np.array([np.mean(values[part], axis=0) for part in bins])
    return gap, {name: (steps, means[:, n].tolist()) for n, name in enumerate(sequences.names)}


def _draw_panel(axes: Axes, lines: dict[str, Line], sequences: ModalitySet, title: str) -> None:
    axes.set_title(title)
    for number, modality in enumerate(sequences):
        if modality.name in lines:
            style, (steps, values) = look(number), lines[modality.name]
            axes.plot(
                steps,
                values,
                color=style.color,
                linestyle=style.line,
                marker=style.marker,
                markevery=max(1, len(steps) // _MARKERS),
                label=modality.title,
            )
    if not lines:
        axes.set_axis_off()
