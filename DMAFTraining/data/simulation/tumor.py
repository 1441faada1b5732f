"""Growth of a simulated glioma: core and edema grow in the healthy brain, push it, and are labeled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.core_shape import grow_cores
from DMAFTraining.data.simulation.edema import edema_mask, edema_strength, grow_edema
from DMAFTraining.data.simulation.enhancing import draw_inside
from DMAFTraining.data.simulation.mass_effect import Growth, carried, close_sulci, grow_and_push, midline_shift
from DMAFTraining.data.simulation.mimic import draw_lesions
from DMAFTraining.data.simulation.shape import Grid, Pose
from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.tumor_plan import Plan
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

NECROSIS, EDEMA, ENHANCING = 1, 2, 3
"""Label values of a case (BraTS, with 3 for the enhancing part)."""

_CORE_ROOM = (Tissue.WHITE, Tissue.GRAY, Tissue.DEEP_GRAY, Tissue.BRAINSTEM, Tissue.CSF)
_EDEMA_ROOM = (Tissue.WHITE, Tissue.GRAY, Tissue.DEEP_GRAY, Tissue.BRAINSTEM, Tissue.CEREBELLUM_WHITE)


@dataclass(frozen=True)
class Tumor:
    """A grown tumor on the output grid; all arrays (X, Y, Z).

    Attributes:
        labels: 0, NECROSIS, EDEMA or ENHANCING.
        core: share of core in each voxel, 0 to 1, soft at the border.
        enhancing: share of the core that enhances, 0 to 1.
        solid: share of solid tumor in what does not enhance, 0 to 1; the rest is necrosis or fluid.
        edema: strength of the edema, 0 to 1, falling off to the outside.
        midline_shift: largest sideways displacement of the plane between the hemispheres, mm.
    """

    labels: LabelArray
    core: FloatArray
    enhancing: FloatArray
    solid: FloatArray
    edema: FloatArray
    midline_shift: float


def no_tumor(grid: Grid) -> Tumor:
    """A tumor that is nowhere."""
    empty = np.zeros(grid.shape, np.float32)
    return Tumor(empty.astype(np.uint8), empty, empty, empty, empty, 0.0)


def grow_tumor(plan: Plan, tissue: LabelArray, pose: Pose, rng: np.random.Generator) -> tuple[TissueMap, Tumor]:
    """Grow the planned tumor in a healthy brain and push the brain aside.

    Args:
        plan: what to grow.
        tissue: values of :class:`Tissue` of the healthy source.
        pose: where each output voxel comes from.
        rng: source of randomness.

    Returns:
        The displaced brain and the tumor in it.

    Raises:
        ValueError: the source holds no white matter.
    """
    if plan.kind == "mimic":
        tissues = TissueMap(tissue, pose)
        lesion, cavity = draw_lesions(tissues, rng)
        return tissues, replace(no_tumor(pose.grid), edema=lesion, core=cavity)
    spacing = pose.grid.spacing
    labels = pose.sample_labels(tissue)
    share = grow_cores(plan, labels, pose, rng)
    beyond = grow_edema(plan, share > 0.5, labels, pose, rng)
    wet = (beyond < 0) & (share <= 0.5) & (labels == Tissue.WHITE)
    growth = Growth(share, wet.astype(np.float32), plan.pushed_ml, plan.swollen_ml, plan.reach)
    push = grow_and_push(growth, labels, pose.grid)
    pushed = close_sulci(pose.pushed(push.displacement), tissue, push, rng)
    tissues = TissueMap(tissue, pushed)
    core = (carried(share, push.displacement, spacing) > 0.5) & tissues.is_any(*_CORE_ROOM)
    strength = edema_strength(plan, carried(beyond, push.displacement, spacing), core, tissues, rng)
    brain = tissues.is_any(*_EDEMA_ROOM)
    shift = midline_shift(push.displacement, pose, brain)
    return tissues, _labeled(plan, core, strength, edema_mask(strength, core, brain, pose.grid), pose.grid, shift, rng)


def _labeled(
    plan: Plan,
    core: BoolArray,
    strength: FloatArray,
    edema: BoolArray,
    grid: Grid,
    shift: float,
    rng: np.random.Generator,
) -> Tumor:
    """Draw the inside of the core and write the labels."""
    enhancing, solid = draw_inside(plan, core, grid, rng)
    labels = np.zeros(core.shape, np.uint8)
    labels[edema] = EDEMA
    labels[core] = NECROSIS
    labels[core & (enhancing > 0.5)] = ENHANCING
    sigma = plan.blur / grid.spacing
    soft = ndimage.gaussian_filter(core.astype(np.float32), max(sigma, 0.4))
    enhancing, solid = (ndimage.gaussian_filter(part, 0.6 * sigma) for part in (enhancing, solid))
    return Tumor(labels, soft, enhancing, solid, strength, shift)
