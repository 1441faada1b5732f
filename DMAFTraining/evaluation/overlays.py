"""What is drawn over a gray picture: counts and values in colors, outlines, and the difference of two masks."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.evaluation.slices import Frame, Picture

Color = tuple[int, int, int]
Mask = NDArray[np.bool_]

ONLY_A: Color = (230, 159, 0)
ONLY_B: Color = (86, 180, 233)
BOTH: Color = (255, 255, 255)
"""Okabe and Ito's orange and sky blue, told apart with any color vision; white is the outline of what both have."""

_MAP = "viridis"
_OUTLINE_PIXELS = 2


def count_colors(most: int) -> list[Color]:
    """The color of each count from 1 to ``most``: dark for few, bright for all."""
    return [_color(number / max(most - 1, 1)) for number in range(most)]


def scale_picture(steps: int = 64) -> Picture:
    """The colors of :func:`color_values` from 0 to the highest value, as a strip."""
    strip = np.array([_color(number / (steps - 1)) for number in range(steps)], np.uint8)
    return np.repeat(np.repeat(strip[None], 8, axis=0), 4, axis=1)


def color_counts(picture: Picture, counts: NDArray[np.uint8], frame: Frame, most: int) -> Picture:
    """The picture with every voxel of a count in the color of that count."""
    enlarged = _nearest(frame, counts)
    colors = np.array([(0, 0, 0), *count_colors(most)], np.uint8)
    return np.where((enlarged > 0)[..., None], colors[enlarged], picture)


def color_values(picture: Picture, values: NDArray[np.float32], shown: Mask, frame: Frame, high: float) -> Picture:
    """The picture with the values of the voxels ``shown (I, J, K)`` in colors, from 0 to ``high``."""
    enlarged = frame.enlarge(frame.cut(values), order=1) / max(high, 1e-12)
    colors = np.rint(255 * colormaps[_MAP](np.clip(enlarged, 0, 1))[..., :3]).astype(np.uint8)
    return np.where(_enlarged(frame, shown)[..., None], colors, picture)


def draw_outline(picture: Picture, mask: Mask, frame: Frame, color: Color) -> Picture:
    """The picture with a line along the inner rim of a mask."""
    drawn = picture.copy()
    drawn[_rim(_enlarged(frame, mask))] = color
    return drawn


def draw_difference(picture: Picture, a: Mask, b: Mask, frame: Frame) -> Picture:
    """The picture with what only ``a`` and what only ``b`` has in two colors, and a line around what both have."""
    first, second = _enlarged(frame, a), _enlarged(frame, b)
    drawn = picture.copy()
    drawn[_rim(first & second)] = BOTH
    drawn[first & ~second] = ONLY_A
    drawn[second & ~first] = ONLY_B
    return drawn


def _color(share: float) -> Color:
    red, green, blue = (round(255 * part) for part in colormaps[_MAP](share)[:3])
    return red, green, blue


def _enlarged(frame: Frame, mask: Mask) -> Mask:
    enlarged: Mask = frame.enlarge(frame.cut(mask), order=1) > 0.5
    return enlarged


def _nearest(frame: Frame, counts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.rint(frame.enlarge(frame.cut(counts), order=0)).astype(np.uint8)


def _rim(area: Mask) -> Mask:
    # Beyond the picture counts as inside, as where labels are drawn.
    rim: Mask = area & ~ndimage.binary_erosion(area, iterations=_OUTLINE_PIXELS, border_value=1)
    return rim
