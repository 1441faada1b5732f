"""Shape of a heart: left ventricle as a truncated ellipsoid, right ventricle as a crescent around it.

Sizes follow healthy and infarcted adults at the end of diastole: Petersen et al., J Cardiovasc Magn Reson
19:18 (2017), DOI 10.1186/s12968-017-0327-9; the wall at rest measures 6 to 12 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.heart.outline import Outline, angle_from, wobble
from DMAFTraining.data.simulation.types import Matrix

_EQUATOR = 0.7  # widest place of the left ventricle, as a share of its length from the apex
_RIGHT_APEX = 0.12  # where the right ventricle begins
_THINNEST, _THICKEST = 6.3, 13.5
_LEVELS = 200


@dataclass(frozen=True)
class Papillary:
    """A papillary muscle: a column from ``low`` to ``high`` (shares of the length) at an angle in rad.

    ``radius`` in mm, ``gap`` in mm from the wall to its middle; above 1, ``stretch`` makes it longer toward the wall.
    """

    turn: float
    low: float
    high: float
    radius: float
    gap: float
    stretch: float


@dataclass(frozen=True)
class Outlines:
    """Lines of a heart at a number of levels: left cavity, left wall, right cavity."""

    cavity: Outline
    outer: Outline
    right: Outline


@dataclass(frozen=True)
class HeartShape:
    """Numbers that describe a heart.

    Attributes:
        length: of the left cavity from apex to valve in mm.
        radius: largest radius of the left cavity in mm.
        wall: thickness of the left wall near the base in mm.
        septum: direction from the left to the right ventricle in the image, in rad.
        right_width: widest distance from the septum to the free wall of the right ventricle in mm.
        right_wall: thickness of that wall in mm.
        tilt: how far the axis of the left ventricle moves in the plane, in mm per mm of height.
        papillaries: muscles in the left cavity.
        seed: of the unevenness of all outlines.
    """

    length: float
    radius: float
    wall: float
    septum: float
    right_width: float
    right_wall: float
    tilt: tuple[float, float]
    papillaries: tuple[Papillary, ...]
    seed: int

    @property
    def left_ml(self) -> float:
        """Volume of the whole left cavity in mL, papillary muscles counted in."""
        heights = (np.arange(_LEVELS) + 0.5) * self.length / _LEVELS
        area = np.pi * (self.outlines(heights).cavity.radius ** 2).mean(axis=1)
        return float(area.sum() * self.length / _LEVELS / 1000.0)

    def outlines(self, heights: Matrix) -> Outlines:
        """The outlines at these heights over the apex in mm (L,)."""
        rng = np.random.default_rng(self.seed)
        share = heights / self.length
        center = np.outer(heights - 0.6 * self.length, self.tilt)
        flat = np.exp(-((angle_from(self.septum) / 0.8) ** 2))
        ring = self.radius * _ellipse(share)
        cavity = ring[:, None] * (1.0 - 0.05 * flat + 0.035 * wobble(heights, rng))
        thin = 0.76 + 0.24 * np.clip(share / 0.55, 0.0, 1.0)
        wall = self.wall * thin[:, None] * (1.0 + 0.05 * flat + 0.085 * wobble(heights, rng, (1, 2, 3)))
        outer = cavity + np.clip(wall, _THINNEST, _THICKEST)
        return Outlines(Outline(center, cavity), Outline(center, outer), self._right(heights, center, outer, rng))

    def _right(self, heights: Matrix, center: Matrix, outer: Matrix, rng: np.random.Generator) -> Outline:
        """An oval that reaches into the left ventricle: only what lies outside that one is right blood."""
        reach = np.clip((heights / self.length - _RIGHT_APEX) / (0.85 - _RIGHT_APEX), 0.0, 1.0)
        width = self.right_width * np.sqrt(reach)
        radius = outer.mean(axis=1)
        away = 0.66 * radius
        direction = np.array([np.cos(self.septum), np.sin(self.septum)])
        along = np.maximum(width + radius - away, 1.0)[:, None]
        across = (radius * (0.72 + 0.40 * np.sqrt(reach)))[:, None]
        angle = angle_from(self.septum)
        oval = 1.0 / np.sqrt((np.cos(angle) / along) ** 2 + (np.sin(angle) / across) ** 2)
        corners = 1.0 - 0.08 * np.cos(3.0 * angle)
        uneven = 1.0 + 0.04 * wobble(heights, rng, (2, 3, 4))
        return Outline(center + away[:, None] * direction, oval * corners * uneven)


def draw_shape(rng: np.random.Generator) -> HeartShape:
    """Draw a heart; the left cavity holds about 60 to 190 mL."""
    radius = rng.uniform(21.0, 28.5)
    septum = np.pi + rng.uniform(-0.15, 0.6)
    places = (2.35 + rng.normal(0.0, 0.12), 4.0 + rng.normal(0.0, 0.15))  # antero-lateral, postero-medial
    return HeartShape(
        length=rng.uniform(2.9, 3.4) * radius,
        radius=radius,
        wall=rng.uniform(8.0, 11.0),
        septum=septum,
        right_width=rng.uniform(20.0, 34.0),
        right_wall=rng.uniform(2.4, 3.8),
        tilt=(rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12)),
        papillaries=tuple(_draw_papillary(septum + place, rng) for place in places),
        seed=int(rng.integers(2**31)),
    )


def _draw_papillary(turn: float, rng: np.random.Generator) -> Papillary:
    low, high = rng.uniform(0.15, 0.3), rng.uniform(0.6, 0.8)
    radius, gap = rng.uniform(3.0, 5.4), rng.uniform(2.0, 6.5)
    return Papillary(turn, low, high, radius, gap, stretch=rng.uniform(0.75, 1.35))


def _ellipse(share: Matrix) -> Matrix:
    """Radius of the cavity over its largest one, by height over length."""
    reach = np.where(share < _EQUATOR, _EQUATOR, 1.0)
    return np.sqrt(np.clip(1.0 - ((share - _EQUATOR) / reach) ** 2, 0.0, 1.0))
