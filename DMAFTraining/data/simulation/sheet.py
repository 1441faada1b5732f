"""Contact sheets: one row a case, the four sequences and the labels through the tumor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from DMAFTraining.data.simulation.case import SimulatedCase
from DMAFTraining.data.simulation.contrast import SEQUENCES
from DMAFTraining.data.simulation.types import FloatArray


def write_sheet(cases: Sequence[SimulatedCase], path: str | Path) -> None:
    """Write axial slices through the largest tumor area of each case as PNG.

    Raises:
        ValueError: no case.
    """
    if not cases:
        raise ValueError("A contact sheet needs at least one case.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.3 * len(cases)), facecolor="black")
    axes = np.atleast_2d(figure.subplots(len(cases), len(SEQUENCES) + 1, squeeze=False))
    for row, case in zip(axes, cases, strict=True):
        level = _best_slice(case)
        for axis, name in zip(row, SEQUENCES, strict=False):
            axis.imshow(_window(case.images[name])[:, :, level].T, origin="lower", cmap="gray", vmin=0.0, vmax=1.0)
            axis.set_title(name, color="white", fontsize=7)
        row[-1].imshow(_window(case.images["flair"])[:, :, level].T, origin="lower", cmap="gray", vmin=0.0, vmax=1.0)
        labels = np.ma.masked_equal(case.labels[:, :, level].T, 0)
        row[-1].imshow(labels, origin="lower", cmap="brg", vmin=1, vmax=3, alpha=0.6, interpolation="nearest")
        volume = case.info.get("volumes_ml", {}).get("WT", 0.0)
        row[-1].set_title(f"{case.name} WT {volume:.0f} mL", color="white", fontsize=7)
        for axis in row:
            axis.set_axis_off()
    figure.subplots_adjust(left=0.0, right=1.0, bottom=0.0, top=0.97, wspace=0.02, hspace=0.12)
    FigureCanvasAgg(figure).print_png(str(path))


def _best_slice(case: SimulatedCase) -> int:
    """Axial slice with the most core, else the most tumor, else the middle of the brain."""
    area = ((case.labels > 0) + 3 * np.isin(case.labels, (1, 3))).sum(axis=(0, 1))
    return int(area.argmax()) if area.any() else case.labels.shape[2] // 2


def _window(image: FloatArray) -> FloatArray:
    inside = image[image > 0]
    top = float(np.percentile(inside, 99.5)) if inside.size else 1.0
    return np.clip(image / max(top, 1e-6), 0.0, 1.0)
