"""Star-shaped outlines that change with height: how the walls of both ventricles are described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data.simulation.types import FloatArray, Matrix

ANGLES = 360
_KNOTS = 35.0  # mm between heights at which a wobble is drawn anew
_REACH = 240.0  # mm that the knots cover

TURNS: Matrix = np.linspace(0.0, 2.0 * np.pi, ANGLES, endpoint=False)
"""The angles of all tables in rad: 0 to the right of the image, a quarter turn points down."""


@dataclass(frozen=True)
class Polar:
    """Pixels around a center: distance in mm and number of the angle in the tables, both (X, Y, L)."""

    distance: FloatArray
    angle: NDArray[np.intp]

    def look_up(self, table: Matrix) -> FloatArray:
        """The value ``table (L, ANGLES)`` has in the direction of each pixel."""
        return table.astype(np.float32)[np.arange(len(table)), self.angle]


@dataclass(frozen=True)
class Outline:
    """A closed line around a center at each level.

    Attributes:
        center: positions in mm (L, 2).
        radius: distance of the line from the center in mm (L, ANGLES).
    """

    center: Matrix
    radius: Matrix

    def polar(self, x: FloatArray, y: FloatArray) -> Polar:
        """Pixels at ``x (X, 1, 1)`` and ``y (1, Y, 1)`` seen from the centers."""
        right, down = (place - self.center[:, axis].astype(np.float32) for axis, place in enumerate((x, y)))
        turn = np.arctan2(down, right) * np.float32(ANGLES / (2.0 * np.pi))
        return Polar(np.hypot(right, down), np.rint(turn).astype(np.intp) % ANGLES)

    def outside(self, polar: Polar) -> FloatArray:
        """Distance to the line in mm, along the ray from the center; negative inside."""
        return polar.distance - polar.look_up(self.radius)


def angle_from(turn: float) -> Matrix:
    """Signed angle in rad from ``turn`` to each of :data:`TURNS`, -pi to pi (ANGLES,)."""
    return np.angle(np.exp(1j * (TURNS - turn)))


def wobble(
    heights: Matrix, rng: np.random.Generator, harmonics: Sequence[int] = (2, 3, 4, 5), knots: float = _KNOTS
) -> Matrix:
    """A random table (L, ANGLES), smooth around the circle and along the height; standard deviation about 1.

    Args:
        heights: of the levels in mm (L,).
        rng: source of randomness.
        harmonics: waves per turn; a wave of order k has an amplitude of 1/k.
        knots: mm of height over which it changes.
    """
    places = np.arange(0.0, _REACH, knots)
    table = np.zeros((len(heights), ANGLES))
    for order in harmonics:
        for wave in (np.cos(order * TURNS), np.sin(order * TURNS)):
            along = np.interp(heights, places, rng.standard_normal(len(places)))
            table += along[:, None] * wave / order
    return table / np.sqrt(sum(1.0 / order**2 for order in harmonics))
