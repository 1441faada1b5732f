"""A sheet of pictures and texts placed in pixels from the upper left corner, saved as PNG."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path

from DMAFTraining.evaluation.slices import Picture

_DPI = 160
_POINTS_PER_PIXEL = 72 / _DPI


@dataclass(frozen=True)
class TextStyle:
    """How a text looks: ``size`` in pixels, ``align`` "left", "center" or "right" of its position."""

    size: float
    color: str
    bold: bool = False
    align: str = "left"

    @property
    def font(self) -> FontProperties:
        """The font, its size in points."""
        return FontProperties(size=self.size * _POINTS_PER_PIXEL, weight="bold" if self.bold else "normal")

    def width(self, text: str) -> float:
        """Width of a text in pixels."""
        points, _, _ = text_to_path.get_text_width_height_descent(text, self.font, ismath=False)
        return float(points) / _POINTS_PER_PIXEL


class Sheet:
    """Collects what is drawn; the height is known only when everything is placed.

    Args:
        width: of the sheet in pixels.
        ground: color of the background.
    """

    def __init__(self, width: int, ground: str) -> None:
        self.width = width
        self._ground = ground
        self._texts: list[tuple[float, float, str, TextStyle]] = []
        self._pictures: list[tuple[int, int, Picture]] = []
        self._swatches: list[tuple[float, float, float, tuple[int, int, int]]] = []

    def text(self, x: float, y: float, text: str, style: TextStyle, limit: float = float("inf")) -> None:
        """A line of text with its upper edge at ``y``; made smaller where it is wider than ``limit``."""
        wide = style.width(text)
        fitting = style if wide <= limit else replace(style, size=style.size * limit / wide)
        self._texts.append((x, y, text, fitting))

    def picture(self, x: int, y: int, picture: Picture) -> None:
        """A picture, pixel for pixel."""
        self._pictures.append((x, y, picture))

    def swatch(self, x: float, y: float, side: float, color: tuple[int, int, int]) -> None:
        """A filled square."""
        self._swatches.append((x, y, side, color))

    def save(self, path: Path, height: int) -> None:
        """Draw everything and write the file."""
        self._canvas(height).print_png(str(path))

    def pixels(self, height: int) -> Picture:
        """Draw everything."""
        canvas = self._canvas(height)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]

    def _canvas(self, height: int) -> FigureCanvasAgg:
        figure = Figure(figsize=(self.width / _DPI, height / _DPI), dpi=_DPI, facecolor=self._ground)
        for left, top, picture in self._pictures:
            figure.figimage(picture, left, height - top - picture.shape[0])
        for x, y, side, color in self._swatches:
            corner = (x / self.width, 1 - (y + side) / height)
            face = tuple(part / 255 for part in color)
            figure.add_artist(Rectangle(corner, side / self.width, side / height, facecolor=face, linewidth=0))
        for x, y, text, style in self._texts:
            drawn = figure.text(x / self.width, 1 - y / height, text, parse_math=False, color=style.color, va="top")
            drawn.set(fontproperties=style.font, ha=style.align)
        return FigureCanvasAgg(figure)
