"""Contact sheets: one row a case, the four sequences through the tumor, and the outlines of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from DMAFTraining.data.simulation.case import SimulatedCase
from DMAFTraining.data.simulation.contrast import SEQUENCES
from DMAFTraining.data.simulation.tumor import EDEMA, ENHANCING, NECROSIS
from DMAFTraining.data.simulation.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = 12
"""How many cases a sheet shows unless told otherwise."""

_PARTS = {
    EDEMA: ("edema", "#35d07f"),
    NECROSIS: ("necrotic or non-enhancing core", "#4da3ff"),
    ENHANCING: ("enhancing tumor", "#ffd23f"),
}
_OUTLINED = ("t1ce", "flair")
_INCHES = 1.9
_HEADER_INCHES = 0.75


def write_sheet(cases: Sequence[SimulatedCase], path: str | Path, rows: int = ROWS) -> None:
    """Write axial slices through the largest tumor area of the first cases as PNG.

    Args:
        cases: what to show.
        path: the PNG file.
        rows: how many cases at most.

    Raises:
        ValueError: no case, or fewer than one row.
    """
    if not cases or rows < 1:
        raise ValueError("A contact sheet needs at least one case and one row.")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = cases[:rows]
    columns = len(SEQUENCES) + len(_OUTLINED)
    height = _INCHES * len(shown) + _HEADER_INCHES
    figure = Figure(figsize=(_INCHES * columns * 0.9, height), facecolor="black")
    axes = figure.subplots(len(shown), columns, squeeze=False)
    for row, case in zip(axes, shown, strict=True):
        _draw_case(list(row), case)
    top = 1.0 - _HEADER_INCHES / height
    figure.subplots_adjust(left=0.0, right=1.0, bottom=0.0, top=top, wspace=0.02, hspace=0.14)
    _draw_header(figure, shown)
    FigureCanvasAgg(figure).print_png(str(path))


def sheet_title(cases: Sequence[SimulatedCase]) -> str:
    """Says that the cases are simulated, how many there are, and from which seeds."""
    seeds = sorted({str(case.info["seed"]) for case in cases if "seed" in case.info})
    origin = f", seed {' '.join(seeds)}" if seeds else ""
    count = "1 simulated case" if len(cases) == 1 else f"{len(cases)} simulated cases"
    return f"{count}{origin} (not patients; research use only)"


def _draw_header(figure: Figure, cases: Sequence[SimulatedCase]) -> None:
    from matplotlib.lines import Line2D

    figure.suptitle(sheet_title(cases), color="white", fontsize=10, y=0.995, va="top")
    lines = [Line2D([], [], color=color, label=name) for name, color in _PARTS.values()]
    place = 1.0 - 0.25 / float(figure.get_figheight())
    figure.legend(
        handles=lines, loc="upper center", bbox_to_anchor=(0.5, place), ncol=len(lines), frameon=False, fontsize=8,
        labelcolor="white",
    )  # fmt: skip


def _draw_case(row: list[Axes], case: SimulatedCase) -> None:
    level = _best_slice(case)
    for axis, name in zip(row, (*SEQUENCES, *_OUTLINED), strict=True):
        image = _window(case.images[name])[:, :, level].T
        axis.imshow(image, origin="lower", cmap="gray", vmin=0.0, vmax=1.0)
        axis.set_title(name, color="white", fontsize=7, pad=2)
        axis.set_axis_off()
    for axis in row[len(SEQUENCES) :]:
        _outline(axis, case.labels[:, :, level].T)
    volume = case.info.get("volumes_ml", {}).get("WT", 0.0)
    row[0].set_title(f"{case.name}: {SEQUENCES[0]}", color="white", fontsize=7, pad=2)
    row[-1].set_title(f"{_OUTLINED[-1]}, whole tumor {volume:.0f} mL", color="white", fontsize=7, pad=2)


def _outline(axis: Axes, labels: np.ndarray) -> None:
    for value, (_, color) in _PARTS.items():
        region = labels == value
        if region.any():
            axis.contour(region, levels=[0.5], colors=[color], linewidths=0.7)


def _best_slice(case: SimulatedCase) -> int:
    """Axial slice with the most core, else the most tumor, else the middle of the brain."""
    area = ((case.labels > 0) + 3 * np.isin(case.labels, (NECROSIS, ENHANCING))).sum(axis=(0, 1))
    return int(area.argmax()) if area.any() else case.labels.shape[2] // 2


def _window(image: FloatArray) -> FloatArray:
    inside = image[image > 0]
    top = float(np.percentile(inside, 99.5)) if inside.size else 1.0
    return np.clip(image / max(top, 1e-6), 0.0, 1.0)
