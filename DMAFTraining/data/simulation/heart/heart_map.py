"""What each pixel around a heart is made of: shares of tissues with partial volume, and the true labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.heart.geometry import HeartShape, Outlines
from DMAFTraining.data.simulation.heart.lesion import Infarct
from DMAFTraining.data.simulation.heart.outline import Polar, wobble
from DMAFTraining.data.simulation.heart.stack import SUBLEVELS, Stack
from DMAFTraining.data.simulation.heart.tissue import Part, PartArray, Tissue
from DMAFTraining.data.simulation.noise import smooth_noise
from DMAFTraining.data.simulation.types import FloatArray

_RIM = 2.5  # mm over which blood near a wall is slow
_GROOVE = 9.0  # mm over which fat fills the grooves between the ventricles


@dataclass(frozen=True)
class HeartMap:
    """The heart inside the window of a stack.

    Attributes:
        shares: of each tissue of the heart, 0 to 1, (X, Y, Z); what is missing to 1 is not heart.
        slow: blood close to a wall, 0 to 1 (X, Y, Z): it stays bright where moving blood is dark.
        parts: the truth, values of :class:`Part` (X, Y, Z).
    """

    shares: Mapping[Tissue, FloatArray]
    slow: FloatArray
    parts: PartArray


@dataclass(frozen=True)
class _Distances:
    """Signed distances in mm at every sublevel, (X, Y, L) each, negative inside."""

    cavity: FloatArray
    outer: FloatArray
    right: FloatArray
    fat: FloatArray
    columns: FloatArray
    depth: FloatArray


def map_heart(shape: HeartShape, infarct: Infarct, stack: Stack, rng: np.random.Generator) -> HeartMap:
    """Lay a heart on the pixels of a stack."""
    heights = stack.sublevels
    outlines = shape.outlines(heights)
    x, y = stack.axes(stack.window)
    polar = outlines.cavity.polar(x, y)
    at = _measure(shape, outlines, polar, stack, rng)
    scar, edema = (polar.look_up(table) for table in infarct.depths(heights))
    fine = [smooth_noise(at.cavity.shape[:2], stack.pixel, scale, rng)[:, :, None] for scale in (6.0, 3.5)]
    uneven = at.depth + 0.07 * fine[0]
    thickness = np.maximum(at.cavity - at.outer, 1.0)
    injury = {
        Tissue.EDEMA: (uneven - edema) * thickness,
        Tissue.SCAR: (uneven - scar) * thickness,
        Tissue.OBSTRUCTION: _core(at.depth, scar, infarct) * thickness,
    }
    levels = _shares(at, injury, shape.right_wall, fine, stack.pixel)
    to_wall = np.where(at.cavity < 0, at.cavity, np.maximum(at.right, -at.outer))
    return HeartMap(
        {tissue: _per_slice(share) for tissue, share in levels.items()},
        _per_slice(np.exp(np.minimum(to_wall, 0.0) / _RIM)),
        _label(at, injury)[:, :, SUBLEVELS // 2 :: SUBLEVELS],
    )


def _measure(shape: HeartShape, outlines: Outlines, polar: Polar, stack: Stack, rng: np.random.Generator) -> _Distances:
    x, y = stack.axes(stack.window)
    cavity, outer = outlines.cavity.outside(polar), outlines.outer.outside(polar)
    from_right = outlines.right.polar(x, y)
    right = outlines.right.outside(from_right)
    thick = np.clip(2.5 + 2.5 * wobble(stack.sublevels, rng, (1, 2, 3, 4)), 0.3, 9.0)
    fat = _merged(outer, right - shape.right_wall) - from_right.look_up(thick)
    depth = np.clip(cavity / np.maximum(cavity - outer, 1.0), 0.0, 1.0)
    return _Distances(cavity, outer, right, fat, _columns(shape, outlines, stack), depth)


def _merged(one: FloatArray, other: FloatArray) -> FloatArray:
    """Distance to the union of two bodies, their groove filled in."""
    near = np.clip(0.5 + 0.5 * (one - other) / _GROOVE, 0.0, 1.0)
    return one + near * (other - one) - _GROOVE * near * (1.0 - near)


def _columns(shape: HeartShape, outlines: Outlines, stack: Stack) -> FloatArray:
    """Distance to the nearest papillary muscle in mm."""
    x, y = stack.axes(stack.window)
    share = stack.sublevels / shape.length
    nearest = np.full((x.shape[0], y.shape[1], len(share)), 1e3, np.float32)
    for muscle in shape.papillaries:
        degree = round(np.degrees(muscle.turn)) % 360
        away = outlines.cavity.radius[:, degree] - muscle.gap
        cosine, sine = np.cos(muscle.turn), np.sin(muscle.turn)
        place = outlines.cavity.center + away[:, None] * np.array([cosine, sine])
        beyond = np.maximum(np.maximum(muscle.low - share, share - muscle.high), 0.0) * shape.length
        right, down = (at - place[:, axis].astype(np.float32) for axis, at in enumerate((x, y)))
        along, across = (
            right * np.float32(cosine) + down * np.float32(sine),
            down * np.float32(cosine) - right * np.float32(sine),
        )
        oval = np.hypot(along / np.float32(muscle.stretch), across * np.float32(muscle.stretch))
        nearest = np.minimum(nearest, oval - (muscle.radius - 0.5 * beyond).astype(np.float32))
    return nearest


def _core(depth: FloatArray, scar: FloatArray, infarct: Infarct) -> FloatArray:
    """Negative in the middle of a deep scar without flow, a share of the wall; bright scar stays around it."""
    return np.abs(depth - 0.36) - (np.minimum(0.6 * (scar - 0.7), 0.24) if infarct.obstructed else -1.0)


def _cover(outside: FloatArray, pixel: float) -> FloatArray:
    """Share of a pixel that lies inside, from the signed distance of its middle."""
    return np.clip(0.5 - outside / pixel, 0.0, 1.0)


def _shares(
    at: _Distances,
    injury: Mapping[Tissue, FloatArray],
    right_wall: float,
    fine: list[FloatArray],
    pixel: float,
) -> dict[Tissue, FloatArray]:
    """Shares of tissues at every sublevel."""
    cavity, outer, right = (_cover(distance, pixel) for distance in (at.cavity, at.outer, at.right))
    ventricles = 1.0 - (1.0 - outer) * (1.0 - _cover(at.right - right_wall, pixel))
    # Trabeculae: near a wall, blood and muscle interleave.
    bars = _cover(at.columns, pixel)
    left_bars = np.maximum(bars, _trabeculae(at.cavity, fine[1], 2.5))
    right_bars = _trabeculae(at.right, fine[1], 5.0)
    wall = np.maximum(outer - cavity, 0.0)
    edema, scar, core = (_cover(injury[t], pixel) for t in (Tissue.EDEMA, Tissue.SCAR, Tissue.OBSTRUCTION))
    injured = np.maximum(edema, scar)
    in_right = right * (1.0 - outer)
    healthy = wall * (1.0 - injured) + cavity * left_bars
    return {
        Tissue.LEFT_BLOOD: cavity * (1.0 - left_bars),
        Tissue.RIGHT_BLOOD: in_right * (1.0 - right_bars),
        Tissue.MYOCARDIUM: healthy + in_right * right_bars + np.maximum(ventricles - outer - in_right, 0.0),
        Tissue.EDEMA: wall * (injured - scar),
        Tissue.SCAR: wall * scar * (1.0 - core),
        Tissue.OBSTRUCTION: wall * scar * core,
        Tissue.FAT: _cover(at.fat, pixel) * (1.0 - ventricles),
    }


def _trabeculae(outside: FloatArray, noise: FloatArray, reach: float) -> FloatArray:
    """Share of muscle among the blood of a ventricle."""
    return np.clip(np.exp(np.minimum(outside, 0.0) / reach) * 1.6 + 0.55 * noise - 1.0, 0.0, 0.85).astype(np.float32)


def _label(at: _Distances, injury: Mapping[Tissue, FloatArray]) -> PartArray:
    inner = [at.cavity < 0, (at.outer < 0) & (injury[Tissue.SCAR] < 0), (at.outer < 0) & (injury[Tissue.EDEMA] < 0)]
    return np.select(
        [*inner, at.outer < 0, at.right < 0],
        [Part.LEFT, Part.SCAR, Part.EDEMA, Part.NORMAL, Part.RIGHT],
        Part.BACKGROUND,
    ).astype(np.int16)


def _per_slice(levels: FloatArray) -> FloatArray:
    """Mean over the sublevels of each slice, (X, Y, L) to (X, Y, Z)."""
    return levels.reshape(*levels.shape[:2], -1, SUBLEVELS).mean(axis=3, dtype=np.float32)
