"""The chest around a heart, at arm's length: skin fat, muscle, ribs, lungs, liver, stomach, spleen, spine, aorta.

Everything is painted from the back to the front into one label map; only its looks at the borders of the heart
matter, so that a network cannot find the heart by the lack of everything else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.heart.geometry import HeartShape
from DMAFTraining.data.simulation.heart.stack import Stack
from DMAFTraining.data.simulation.heart.tissue import Tissue
from DMAFTraining.data.simulation.noise import smooth_noise
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray


@dataclass(frozen=True)
class Oval:
    """A filled ellipse: middle, half axes in mm, and turn in rad."""

    x: float
    y: float
    wide: float
    high: float
    turn: float = 0.0

    def outside(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """About the distance to the border in mm, negative inside."""
        cosine, sine = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        right, down = x - np.float32(self.x), y - np.float32(self.y)
        along, across = right * cosine + down * sine, down * cosine - right * sine
        reach = np.hypot(along / np.float32(self.wide), across / np.float32(self.high))
        return np.asarray((reach - 1.0) * min(self.wide, self.high), np.float32)


def draw_chest(shape: HeartShape, stack: Stack, rng: np.random.Generator) -> LabelArray:
    """Values of :class:`Tissue` around the heart, (X, Y, Z)."""
    trunk = _draw_trunk(shape, rng)
    return np.stack([_paint(trunk, _Plane(stack, height, rng)) for height in stack.heights.tolist()], axis=-1)


@dataclass(frozen=True)
class _Trunk:
    """What all slices of a chest share; lengths in mm.

    Attributes:
        body: outline of the skin.
        heart: both ventricles, roughly.
        fat, muscle: thickness of the layers of the chest wall.
        pad: reach of the fat between heart and chest wall.
        ribs: how many lie around the body, where they begin, what share of the circle they take.
        dome: of the diaphragm: its height below the heart, steepness, slope.
        middle: height over the apex at which that holds.
        border: x between liver and stomach.
        stomach, spleen, spine, aorta: organs.
        gas: how much of the stomach is filled with it, -1 to 1.
        seed: of the unevenness.
    """

    body: Oval
    heart: Oval
    fat: float
    muscle: float
    pad: float
    ribs: tuple[int, float, float]
    dome: tuple[float, float, float]
    middle: float
    border: float
    stomach: Oval
    spleen: Oval
    spine: Oval
    aorta: Oval
    gas: float
    seed: int


def _draw_trunk(shape: HeartShape, rng: np.random.Generator) -> _Trunk:
    heart = shape.radius + shape.wall
    fat, muscle = rng.uniform(6.0, 26.0), rng.uniform(10.0, 17.0)
    high = rng.uniform(98.0, 122.0)
    center = high - heart - rng.uniform(6.0, 20.0) - fat - muscle
    body = Oval(rng.uniform(-15.0, 25.0), center, rng.uniform(145.0, 185.0), high, rng.uniform(-0.25, 0.15))
    below = heart + rng.uniform(-2.0, 9.0)
    stomach = Oval(rng.uniform(25.0, 60.0), below + rng.uniform(22.0, 34.0), rng.uniform(22.0, 38.0), 20.0, 0.3)
    back = (rng.uniform(25.0, 70.0), center + high - fat - rng.uniform(34.0, 44.0))
    turn = rng.uniform(2.2, 3.4)
    return _Trunk(
        body=body,
        heart=_oval_of(shape),
        fat=fat,
        muscle=muscle,
        pad=rng.uniform(6.0, 34.0),
        ribs=(int(rng.integers(9, 14)), rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.22, 0.4)),
        dome=(below, rng.uniform(-0.0005, 0.003), rng.uniform(0.0, 0.4)),
        middle=0.5 * shape.length,
        border=rng.uniform(-5.0, 30.0),
        stomach=stomach,
        gas=rng.uniform(-0.6, 0.6),
        spleen=Oval(rng.uniform(85.0, 105.0), below + rng.uniform(10.0, 30.0), 20.0, rng.uniform(30.0, 42.0), 0.4),
        spine=Oval(*back, rng.uniform(18.0, 22.0), rng.uniform(16.0, 20.0)),
        aorta=Oval(back[0] + 32.0 * np.cos(turn), back[1] + 26.0 * np.sin(-turn), 12.0, 12.0),
        seed=int(rng.integers(2**31)),
    )


def _oval_of(shape: HeartShape) -> Oval:
    """Both ventricles, roughly."""
    radius, away = shape.radius + shape.wall, 0.5 * shape.right_width
    x, y = away * np.cos(shape.septum), away * np.sin(shape.septum)
    return Oval(float(x), float(y), radius + away, radius, shape.septum)


class _Plane:
    """One slice: positions in mm from the left ventricle as (X, 1) and (1, Y), and noise for it."""

    def __init__(self, stack: Stack, height: float, rng: np.random.Generator) -> None:
        self.x, self.y = (axis[..., 0] for axis in stack.axes())
        self.height = height
        self._stack = stack
        self._rng = rng

    def noise(self, scale: float, rng: np.random.Generator | None = None) -> FloatArray:
        """A smooth field (X, Y) with blobs of ``scale`` mm; one of its own unless a generator is given."""
        return smooth_noise(self._stack.shape[:2], self._stack.pixel, scale, rng or self._rng)


def _paint(trunk: _Trunk, plane: _Plane) -> LabelArray:
    """Labels of one slice (X, Y): the layers of the chest wall, then what lies inside."""
    shared = np.random.default_rng(trunk.seed)  # slices have most of their unevenness in common
    uneven = np.asarray(4.0 * plane.noise(70.0, shared) + plane.noise(25.0), np.float32)
    depth = -(trunk.body.outside(plane.x, plane.y) + uneven)
    layer = depth - trunk.fat - 0.8 * uneven
    inward = depth - trunk.fat - trunk.muscle
    inside = inward > 0
    tissue = np.zeros(depth.shape, np.uint8)
    tissue[depth > 0] = Tissue.FAT
    tissue[layer > 0] = Tissue.MUSCLE
    tissue[np.abs(layer - 0.35 * trunk.muscle + 0.6 * uneven) < 1.0] = Tissue.FAT  # between two muscles
    _add_ribs(tissue, inward, trunk, plane)
    tissue[inside] = Tissue.LUNG
    tissue[inside & (plane.noise(5.0) > 2.2)] = Tissue.VESSEL
    apart = np.maximum(trunk.heart.outside(plane.x, plane.y), 0.0) + np.maximum(inward, 0.0)
    tissue[inside & (apart < trunk.pad + 1.5 * uneven)] = Tissue.FAT
    _add_belly(tissue, inside, trunk, plane, uneven)
    _add_back(tissue, depth > trunk.fat, trunk, plane)
    return tissue


def _add_ribs(tissue: LabelArray, inward: FloatArray, trunk: _Trunk, plane: _Plane) -> None:
    """Cut ribs in the muscle layer: marrow in a dark shell; they move from slice to slice."""
    count, begin, share = trunk.ribs
    body = trunk.body
    angle = np.arctan2((plane.y - body.y) / body.high, (plane.x - body.x) / body.wide)
    wave = count * angle + begin + 0.05 * plane.height + np.sin(3.0 * angle + 2.0 * begin)  # unequal distances
    along = np.angle(np.exp(1j * wave)) / (np.pi * share)
    across = (inward + 0.4 * trunk.muscle) / (0.36 * trunk.muscle)
    rib = 1.0 - along**2 - across**2
    tissue[rib > 0] = Tissue.SHELL
    tissue[rib > 0.35] = Tissue.MARROW


def _add_belly(tissue: LabelArray, inside: BoolArray, trunk: _Trunk, plane: _Plane, uneven: FloatArray) -> None:
    """What lies below the diaphragm: liver to the left of the picture, stomach and spleen to its right."""
    # Toward the base the diaphragm lies lower in the picture.
    x, y = plane.x, np.asarray(plane.y + uneven - 0.22 * (plane.height - trunk.middle), np.float32)
    below, steep, slope = trunk.dome
    belly = inside & (y > below + steep * (x + 20.0) ** 2 + slope * (x + 20.0))
    tissue[belly] = Tissue.FAT
    liver = belly & (x < trunk.border + 0.3 * (y - below))
    tissue[liver] = Tissue.LIVER
    tissue[liver & (plane.noise(9.0) > 2.0)] = Tissue.VESSEL
    stomach = belly & ~liver & (trunk.stomach.outside(x, y) < 0)
    tissue[stomach] = Tissue.STOMACH
    # The gas lies above a level line.
    tissue[stomach & (plane.y < trunk.stomach.y + trunk.gas * trunk.stomach.high)] = Tissue.AIR
    tissue[belly & (trunk.spleen.outside(x, y) < 0)] = Tissue.SPLEEN


def _add_back(tissue: LabelArray, body: BoolArray, trunk: _Trunk, plane: _Plane) -> None:
    """Spine with its muscles and canal, and the aorta in front of it."""
    spine = trunk.spine
    muscles = Oval(spine.x, spine.y + 1.1 * spine.high, 2.4 * spine.wide, 1.5 * spine.high)
    canal = Oval(spine.x, spine.y + spine.high + 6.0, 8.0, 6.0)
    for oval, kind in ((muscles, Tissue.MUSCLE), (spine, Tissue.MARROW), (canal, Tissue.FLUID)):
        tissue[body & (oval.outside(plane.x, plane.y) < 0)] = kind
    distance = trunk.aorta.outside(plane.x, plane.y)
    tissue[body & (distance < 2.5)] = Tissue.FAT
    tissue[body & (distance < 0)] = Tissue.VESSEL
