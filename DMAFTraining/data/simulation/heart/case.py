"""A simulated heart: three short-axis stacks and the parts of the heart that are in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from DMAFTraining.data.simulation.heart.acquisition import PROTOCOLS, acquire
from DMAFTraining.data.simulation.heart.contrast import SEQUENCES, paint
from DMAFTraining.data.simulation.heart.geometry import HeartShape, draw_shape
from DMAFTraining.data.simulation.heart.heart_map import map_heart
from DMAFTraining.data.simulation.heart.lesion import Infarct, draw_infarct
from DMAFTraining.data.simulation.heart.stack import Stack, draw_stack, place_in_body
from DMAFTraining.data.simulation.heart.surroundings import draw_chest
from DMAFTraining.data.simulation.heart.tissue import WALL, Part, PartArray
from DMAFTraining.data.simulation.types import FloatArray, Matrix


@dataclass
class HeartCase:
    """Images and truth of one simulated person after a heart attack. Research use only, not a medical device.

    Attributes:
        name: of the patient.
        images: ``bssfp``, ``lge``, ``t2``; float32 (X, Y, Z), whole numbers from 0; z leads from apex to base.
        labels: int16 (X, Y, Z), values of :class:`~DMAFTraining.data.simulation.heart.tissue.Part`.
        affine: 4x4, voxel index to position in mm (RAS), oblique as short-axis planes are.
        info: what was drawn, for tables and for finding out why a case looks as it does.
    """

    name: str
    images: dict[str, FloatArray]
    labels: PartArray
    affine: Matrix
    info: dict[str, Any] = field(default_factory=dict)


def simulate_heart(rng: np.random.Generator, pixel: float | None = None) -> HeartCase:
    """Draw one case; the same state of ``rng`` gives the same case. ``pixel`` as in :func:`draw_stack`."""
    shape = draw_shape(rng)
    stack = draw_stack(shape.length, rng, pixel)
    infarct = draw_infarct(shape, stack.heights, rng)
    heart = map_heart(shape, infarct, stack, rng)
    chest = draw_chest(shape, stack, rng)
    images = {name: acquire(paint(name, chest, heart, stack, rng), PROTOCOLS[name], stack, rng) for name in SEQUENCES}
    labels = np.zeros(stack.shape, np.int16)
    labels[stack.window] = heart.parts
    return HeartCase("heart", images, labels, place_in_body(stack, rng), _describe(shape, stack, infarct, labels))


def _describe(shape: HeartShape, stack: Stack, infarct: Infarct, labels: PartArray) -> dict[str, Any]:
    """What was drawn, in the types of JSON; volumes are those of the labels in the stack."""
    to_ml = stack.pixel**2 * stack.step / 1000.0
    parts = {"LVB": (Part.LEFT,), "RVB": (Part.RIGHT,), "MYO": WALL, "EDEMA": (Part.EDEMA,), "SCAR": (Part.SCAR,)}
    return {
        "volumes_ml": {name: float(np.isin(labels, values).sum() * to_ml) for name, values in parts.items()},
        "left_ventricle_ml": shape.left_ml,
        "slices": len(stack.heights),
        "spacing_mm": [stack.pixel, stack.pixel, float(stack.step)],
        "thickness_mm": stack.thickness,
        "shape": asdict(shape),
        "infarct": asdict(infarct),
    }
