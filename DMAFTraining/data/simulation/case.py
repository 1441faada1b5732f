"""A simulated case: four MR sequences and the tumor that is in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from DMAFTraining.data.simulation.anatomy import PARENCHYMA, Anatomy, brain_box, shifted
from DMAFTraining.data.simulation.appearance import draw_appearance, paint_tumor
from DMAFTraining.data.simulation.artifacts import degrade, strip_mask
from DMAFTraining.data.simulation.contrast import SEQUENCES, draw_texture
from DMAFTraining.data.simulation.healthy import draw_extras, paint_healthy
from DMAFTraining.data.simulation.look import TRAINING, Look
from DMAFTraining.data.simulation.shape import Pose, draw_pose
from DMAFTraining.data.simulation.statistics import tissue_medians
from DMAFTraining.data.simulation.tissue_map import TissueMap, brain_hull
from DMAFTraining.data.simulation.tumor import EDEMA, ENHANCING, NECROSIS, Tumor, grow_tumor, no_tumor
from DMAFTraining.data.simulation.tumor_plan import Plan, draw_plan
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray, Matrix

HEALTHY_SHARE = 0.05
"""Share of cases without any tumor."""


@dataclass
class SimulatedCase:
    """Images and truth of one simulated person. Research use only, not a medical device.

    Attributes:
        name: where the anatomy came from.
        images: ``t1``, ``t1ce``, ``flair``, ``t2``; float32 (X, Y, Z), 0 outside the brain, positive inside.
        labels: uint8 (X, Y, Z): 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumor.
        affine: 4x4, voxel index to position in mm (RAS).
        info: what was drawn, for tables and for finding out why a case looks as it does.
    """

    name: str
    images: dict[str, FloatArray]
    labels: LabelArray
    affine: Matrix
    info: dict[str, Any] = field(default_factory=dict)


def simulate_case(
    anatomy: Anatomy, rng: np.random.Generator, spacing: float = 2.0, look: Look = TRAINING
) -> SimulatedCase:
    """Draw one case on a healthy anatomy.

    Args:
        anatomy: tissue map of a healthy head.
        rng: source of randomness; one made from the same seed gives the same case.
        spacing: voxel edge of the case in mm.
        look: ranges of contrast, resolution and shape.

    Raises:
        ValueError: spacing not positive, or the anatomy holds no white matter.
    """
    if spacing <= 0:
        raise ValueError(f"The spacing is {spacing} mm; give a positive number, for example 2.")
    # Each part draws from a source of its own: the same patient has the same plan at any spacing.
    for_pose, for_tumor, for_paint, for_scan = rng.spawn(4)
    pose = draw_pose(anatomy.tissue.shape, find_midline(anatomy.tissue), spacing, for_pose)
    tissues, tumor, plan = place_tumor(anatomy.tissue, pose, for_tumor, look)
    texture = draw_texture(pose.grid, for_paint)
    images = paint_healthy(tissues, draw_extras(tissues, for_paint), texture, for_paint, look)
    if plan is not None:
        looks = draw_appearance(plan.kind, for_paint)
        images = {name: paint_tumor(images[name], tumor, looks[name], texture, for_paint) for name in SEQUENCES}
    mask = strip_mask(brain_hull(tissues.labels, spacing), pose.grid, for_scan)
    images = {name: degrade(images[name], pose.grid, for_scan, look=look) for name in SEQUENCES}
    return finish(anatomy.name, images, mask, tumor, tissues, plan)


def find_midline(tissue: LabelArray) -> float:
    """Mean position of the brain along the first axis, in voxels: the plane between the hemispheres."""
    count = np.isin(tissue, PARENCHYMA).sum(axis=(1, 2)).astype(float)
    return float((count * np.arange(len(count))).sum() / max(count.sum(), 1.0))


def place_tumor(
    tissue: LabelArray, pose: Pose, rng: np.random.Generator, look: Look = TRAINING
) -> tuple[TissueMap, Tumor, Plan | None]:
    """Draw a tumor, push the anatomy aside and grow the tumor in it; no plan means a case without tumor."""
    if rng.random() < HEALTHY_SHARE:
        return TissueMap(tissue, pose), no_tumor(pose.grid), None
    plan = draw_plan(rng, look)
    tissues, tumor = grow_tumor(plan, tissue, pose, rng)
    return tissues, tumor, plan


def finish(
    name: str, images: dict[str, FloatArray], mask: BoolArray, tumor: Tumor, tissues: TissueMap, plan: Plan | None
) -> SimulatedCase:
    """Cut the background to exactly 0, keep the brain positive, crop to it, and write down what was drawn."""
    box, grid = brain_box(mask, margin=2), tissues.pose.grid
    images, mask = {key: image[box] for key, image in images.items()}, mask[box]
    labels = np.where(mask, tumor.labels[box], 0).astype(np.uint8)
    cut = {key: np.where(mask, np.maximum(image, 1e-3), 0.0).astype(np.float32) for key, image in images.items()}
    to_ml = grid.spacing**3 / 1000.0
    info: dict[str, Any] = {} if plan is None else asdict(plan)
    info["volumes_ml"] = {
        "WT": float((labels > 0).sum() * to_ml),
        "TC": float(np.isin(labels, (NECROSIS, ENHANCING)).sum() * to_ml),
        "ET": float((labels == ENHANCING).sum() * to_ml),
        "ED": float((labels == EDEMA).sum() * to_ml),
    }
    info["midline_shift_mm"] = tumor.midline_shift
    info["medians"] = tissue_medians(cut, tissues.labels[box], labels > 0)
    return SimulatedCase(name, cut, labels, shifted(grid.affine(), box), info)
