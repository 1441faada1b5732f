"""How every figure looks and is saved; sizes and fonts stand in ``paper.mplstyle``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from matplotlib.figure import Figure
from matplotlib.style import context

WIDTH = 7.2
"""Printed width of a figure in inches: both columns of a page."""

FORMATS = ("png", "pdf")

_STYLE = Path(__file__).with_name("paper.mplstyle")
# Okabe and Ito (2008), distinguishable with any color vision. Dark and light take turns, so that neighbors
# differ in gray print too; marker and line tell the rest apart.
_COLORS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#D55E00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINES = ("-", "--", "-.", ":")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Look:
    """How one method or sequence is drawn."""

    color: str
    marker: str
    line: str


def look(number: int) -> Look:
    """The look of the method or sequence with this number; no two of the first 56 share color and marker."""
    return Look(_COLORS[number % len(_COLORS)], _MARKERS[number % len(_MARKERS)], _LINES[number % len(_LINES)])


def in_style(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a drawing function with the style of all figures."""

    @wraps(draw)
    def styled(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        with context(_STYLE):
            return draw(*arguments, **named)

    return styled


@in_style
def save(figure: Figure, folder: Path, name: str) -> list[str]:
    """Write the figure in every format; returns the names of the files, the one to show first."""
    files = [f"{name}.{ending}" for ending in FORMATS]
    for file in files:
        metadata = {"CreationDate": None} if file.endswith("pdf") else None
        figure.savefig(folder / file, metadata=metadata)
    return files
