"""Contact sheets of simulated hearts: one row a case, the three sequences, and the labels as outlines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from DMAFTraining.data.simulation.heart.case import HeartCase
from DMAFTraining.data.simulation.heart.contrast import SEQUENCES
from DMAFTraining.data.simulation.heart.tissue import WALL, Part, PartArray
from DMAFTraining.data.simulation.types import FloatArray

_HALF = 95.0  # mm around the middle of the image; the stored slices show about this much
_COLORS = {Part.LEFT: "#ff5a50", Part.RIGHT: "#58a6ff", Part.EDEMA: "#5cd65c", Part.SCAR: "#e070ff"}


def write_heart_sheet(cases: Sequence[HeartCase], path: str | Path) -> None:
    """Write the slice with the largest lesion of each case as PNG.

    Raises:
        ValueError: no case.
    """
    if not cases:
        raise ValueError("A contact sheet needs at least one case.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 2.15 * len(cases) + 0.4), facecolor="black")
    axes = figure.subplots(len(cases), len(SEQUENCES) + 1, squeeze=False)
    for row, case in zip(axes, cases, strict=True):
        level, part = _best_slice(case.labels), _middle(case)
        for axis, name in zip(row, (*SEQUENCES, SEQUENCES[0]), strict=True):
            axis.imshow(_window(case.images[name][part][:, :, level]).T, cmap="gray", vmin=0.0, vmax=1.0)
            axis.set_title(name, color="white", fontsize=7, pad=2)
            axis.set_axis_off()
        _outline(row[-1], case.labels[part][:, :, level])
        row[-1].set_title(_caption(case, level), color="white", fontsize=6, pad=2)
    top = 1.0 - 0.35 / figure.get_figheight()
    figure.suptitle(
        "Simulated hearts: no patient data", color="white", fontsize=9, y=1.0 - 0.06 / figure.get_figheight()
    )
    figure.subplots_adjust(left=0.0, right=1.0, bottom=0.0, top=top, wspace=0.02, hspace=0.1)
    FigureCanvasAgg(figure).print_png(str(path))


def _best_slice(labels: PartArray) -> int:
    """The slice with the most scar and edema, else the middle one."""
    area = (3 * (labels == Part.SCAR) + (labels == Part.EDEMA)).sum(axis=(0, 1))
    return int(area.argmax()) if area.any() else labels.shape[2] // 2


def _middle(case: HeartCase) -> tuple[slice, slice]:
    """The central square of an image."""
    half = round(_HALF / float(np.linalg.norm(case.affine[:3, 0])))
    x, y = (slice(max(0, size // 2 - half), size // 2 + half) for size in case.labels.shape[:2])
    return x, y


def _window(image: FloatArray) -> FloatArray:
    top = float(np.percentile(image, 99.5))
    return np.clip(image / max(top, 1e-6), 0.0, 1.0)


def _outline(axis: Any, labels: PartArray) -> None:
    """Thin lines around the pools, the wall and the lesions of a slice ``(X, Y)``."""
    masks = [(np.isin(labels, (Part.LEFT, *WALL)), "#f0be5a")]
    masks += [(labels == part, color) for part, color in _COLORS.items()]
    for mask, color in masks:
        if mask.any():
            axis.contour(mask.T, [0.5], colors=[color], linewidths=0.7)


def _caption(case: HeartCase, level: int) -> str:
    slices = case.labels.shape[2]
    return f"{case.name}, slice {level + 1} of {slices}, scar {case.info['volumes_ml']['SCAR']:.0f} mL"
