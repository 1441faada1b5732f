"""A heart attack: scar that grows from the inside of the wall in one coronary territory, edema around it.

Territories follow the 17-segment model (Cerqueira et al., Circulation 105:539, 2002); necrosis moves from the
endocardium outward and the edema marks the whole area at risk (Reimer and Jennings, Lab Invest 40:633, 1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.heart.geometry import HeartShape
from DMAFTraining.data.simulation.heart.outline import angle_from, wobble
from DMAFTraining.data.simulation.types import Matrix

_OBSTRUCTED = 0.35  # share of the large infarcts with microvascular obstruction


@dataclass(frozen=True)
class Territory:
    """Where one coronary artery feeds the wall: angle from the septum in rad, height as a share of the length."""

    name: str
    turn: float
    half_turn: tuple[float, float]
    height: tuple[float, float]
    half_height: tuple[float, float]


TERRITORIES = (
    Territory("LAD", 0.9, (0.75, 1.35), (0.25, 0.6), (0.35, 0.6)),
    Territory("RCA", 4.95, (0.5, 1.0), (0.45, 0.8), (0.3, 0.45)),
    Territory("LCX", 3.45, (0.5, 1.0), (0.4, 0.75), (0.3, 0.45)),
)
_FREQUENCY = (0.45, 0.35, 0.2)


@dataclass(frozen=True)
class Extent:
    """How far an injury goes: half its width in rad and in mm of height, and its depth where it is deepest.

    ``depth`` is a share of the wall from the inside; above 1 a part of the injury is transmural.
    """

    half_turn: float
    half_height: float
    depth: float


@dataclass(frozen=True)
class Infarct:
    """An infarct.

    Attributes:
        territory: name of the artery.
        turn: direction of its middle in the image in rad.
        height: of its middle over the apex in mm.
        scar, edema: extents.
        obstructed: part of the scar's core has no flow: dark in LGE.
        seed: of the unevenness of its border.
    """

    territory: str
    turn: float
    height: float
    scar: Extent
    edema: Extent
    obstructed: bool
    seed: int

    def depths(self, heights: Matrix) -> tuple[Matrix, Matrix]:
        """How deep scar and edema reach into the wall as a share of it, 0 or less outside, (L, ANGLES) each."""
        rng = np.random.default_rng(self.seed)
        uneven = 0.13 * wobble(heights, rng, range(2, 9), knots=12.0)
        scar, edema = (extent.depth * (self._nearness(extent, heights) + uneven) for extent in (self.scar, self.edema))
        return scar, np.maximum(scar, edema)

    def _nearness(self, extent: Extent, heights: Matrix) -> Matrix:
        """1 in the middle, 0 at the border (L, ANGLES)."""
        around = (angle_from(self.turn) / extent.half_turn) ** 2
        along = ((heights - self.height) / extent.half_height) ** 2
        return 1.0 - around[None, :] - along[:, None]


def draw_infarct(shape: HeartShape, heights: Matrix, rng: np.random.Generator) -> Infarct:
    """Draw an infarct that the slices at these heights in mm meet."""
    territory = TERRITORIES[rng.choice(len(TERRITORIES), p=_FREQUENCY)]
    height = rng.uniform(*territory.height) * shape.length
    half_turn = rng.uniform(*territory.half_turn)
    half_height = rng.uniform(*territory.half_height) * shape.length
    depth = rng.uniform(0.5, 1.7)
    wider, longer = rng.uniform(1.2, 1.6, 2)
    return Infarct(
        territory=territory.name,
        turn=shape.septum + territory.turn + rng.normal(0.0, 0.2),
        height=float(np.clip(height, heights[0], heights[-1])),
        scar=Extent(half_turn, half_height, depth),
        edema=Extent(half_turn * wider, half_height * longer, rng.uniform(1.5, 2.6)),
        obstructed=bool(depth > 1.0 and rng.random() < _OBSTRUCTED),
        seed=int(rng.integers(2**31)),
    )
