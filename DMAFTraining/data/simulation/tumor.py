"""Growth of a simulated glioma: core, enhancing part and edema."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import Tissue
from DMAFTraining.data.simulation.shape import Grid, mass_effect
from DMAFTraining.data.simulation.tissue_map import TissueMap, largest_piece
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

NECROSIS, EDEMA, ENHANCING = 1, 2, 3
"""Label values of a case (BraTS, with 3 for the enhancing part)."""

_LARGEST_EDEMA_MM = 55.0
_SPEED = {
    Tissue.WHITE: 1.0,
    Tissue.GRAY: 0.4,
    Tissue.DEEP_GRAY: 0.3,
    Tissue.BRAINSTEM: 0.25,
    Tissue.CEREBELLUM_WHITE: 0.05,
    Tissue.CEREBELLUM_GRAY: 0.02,
    Tissue.CSF: 0.12,
}
_GROUND = (Tissue.WHITE, Tissue.GRAY, Tissue.DEEP_GRAY, Tissue.CSF)


@dataclass(frozen=True)
class Plan:
    """What one tumor shall be, before it meets the anatomy.

    Attributes:
        kind: ``ring`` (necrosis in an enhancing rim), ``solid`` (enhancing) or ``plain`` (not enhancing).
        core_ml, whole_ml: wanted volume of the core and of everything, mL.
        foci: number of cores.
        push: largest displacement of tissue, mm.
        decay: distance over which the displacement falls to 37 %, mm.
        rim: mean thickness of an enhancing rim, mm.
        fade: width of the soft outer border of the edema, mm.
        effaced: share of the CSF in edema that swelling removes, 0 to 1.
        crosses: the core may reach the other hemisphere through white matter (butterfly glioma).
        blur: width of the transition between parts of the core, mm.
    """

    kind: str
    core_ml: float
    whole_ml: float
    foci: int
    push: float
    decay: float
    rim: float
    fade: float
    effaced: float
    crosses: bool
    blur: float


@dataclass(frozen=True)
class Core:
    """One core: center in mm, radius in mm, and a warped distance from the center in mm (X, Y, Z)."""

    center: FloatArray
    radius: float
    distance: FloatArray


@dataclass(frozen=True)
class Tumor:
    """A grown tumor on the output grid; all arrays (X, Y, Z).

    Attributes:
        labels: 0, NECROSIS, EDEMA or ENHANCING.
        core: share of core in each voxel, 0 to 1, soft at the border.
        enhancing: share of the core that enhances, 0 to 1.
        edema: strength of the edema, 0 to 1, falling off to the outside.
    """

    labels: LabelArray
    core: FloatArray
    enhancing: FloatArray
    edema: FloatArray


def draw_plan(rng: np.random.Generator) -> Plan:
    """Draw what a tumor shall be: 70 % ring, 12 % solid, 18 % plain; whole tumor 2 to 200 mL."""
    kind = str(rng.choice(["ring", "solid", "plain"], p=[0.70, 0.12, 0.18]))
    whole = float(np.clip(np.exp(rng.normal(np.log(60.0), 0.85)), 2.0, 200.0))
    share = rng.beta(2.2, 2.6) if kind != "plain" else rng.beta(2.0, 1.6)
    core = float(np.clip(whole * max(share, 0.04), 0.3, 90.0))
    radius = (3000.0 * core / (4.0 * np.pi)) ** (1.0 / 3.0)
    return Plan(
        kind=kind,
        core_ml=core,
        whole_ml=max(whole, core),
        foci=int(rng.choice([1, 2, 3], p=[0.87, 0.09, 0.04])),
        push=float(rng.uniform(0.1, 1.0) * min(8.0, 0.45 * radius)),
        decay=float(rng.uniform(20.0, 50.0)),
        rim=float(np.clip(np.exp(rng.uniform(np.log(0.9), np.log(6.0))), 0.6, 0.6 * radius + 0.6)),
        fade=float(rng.uniform(1.0, 6.0)),
        effaced=float(rng.uniform(0.2, 0.95)),
        crosses=bool(rng.random() < 0.08),
        blur=float(rng.uniform(0.3, 1.2) * (2.0 if kind == "plain" else 1.0)),
    )


def seed_cores(plan: Plan, labels: LabelArray, grid: Grid, rng: np.random.Generator) -> list[Core]:
    """Place the cores of a plan in the white matter (6 % deep gray matter) of a tissue map.

    Raises:
        ValueError: the map holds no white matter.
    """
    candidates = np.argwhere(labels == Tissue.WHITE)
    deep = np.argwhere(labels == Tissue.DEEP_GRAY)
    if len(deep) and rng.random() < 0.06:
        candidates = deep
    if not len(candidates):
        raise ValueError("The anatomy holds no white matter to place a tumor in.")
    first = candidates[rng.integers(len(candidates))]
    shares = np.concatenate([[1.0], rng.uniform(0.08, 0.6, plan.foci - 1)])
    cores: list[Core] = []
    for share in shares / shares.sum():
        center = first
        if cores:
            distance = np.sqrt((((candidates - first) * grid.spacing) ** 2).sum(axis=1))
            near = candidates[(distance > 12.0) & (distance < 45.0)]
            center = near[rng.integers(len(near))] if len(near) else first
        cores.append(_draw_core(center, plan.core_ml * float(share), grid, rng))
    return cores


def _draw_core(index: np.ndarray, volume_ml: float, grid: Grid, rng: np.random.Generator) -> Core:
    positions = grid.positions()
    center = positions[:, index[0], index[1], index[2]]
    radius = (3000.0 * volume_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    axes = np.exp(rng.normal(0.0, 0.2, 3))
    axes /= axes.prod() ** (1.0 / 3.0)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    offset = positions - center[:, None, None, None]
    turned = np.tensordot((turn / axes[:, None]).astype(np.float32), offset, 1)
    distance = np.sqrt((turned**2).sum(axis=0))
    lobes = rng.uniform(0.05, 0.28) * grid.noise(max(4.0, 0.9 * radius), rng)
    distance *= np.clip(1.0 + lobes, 0.4, 1.8)
    distance += rng.uniform(0.3, 1.6) * grid.noise(max(3.0, min(8.0, 0.4 * radius)), rng) * min(1.0, radius / 10.0)
    return Core(center, radius, distance)


def push_of(plan: Plan, cores: list[Core], depth: FloatArray, grid: Grid) -> FloatArray:
    """Displacement (3, X, Y, Z) in mm by all cores together; ``depth`` is the distance to the skull in mm."""
    positions = grid.positions()
    total = np.zeros_like(positions)
    for core in cores:
        offset = positions - core.center[:, None, None, None]
        outside = np.sqrt((offset**2).sum(axis=0)) - core.radius
        strength = plan.push * core.radius / cores[0].radius
        total += mass_effect(offset, outside, core.radius, depth, min(strength, 8.0), plan.decay)
    return total


def grow(plan: Plan, cores: list[Core], tissues: TissueMap, depth: FloatArray, rng: np.random.Generator) -> Tumor:
    """Grow the planned tumor in a (displaced) tissue map; ``depth`` is the distance to the skull in mm."""
    spacing = tissues.pose.grid.spacing
    ground = tissues.is_any(*_GROUND) & (depth > 2.5)
    core = np.zeros(ground.shape, bool)
    for one in cores:
        core |= _core_mask(one, plan.crosses, ground, tissues)
    enhancing = _enhancing(plan, core, tissues.pose.grid, rng)
    edema_mask, edema = _grow_edema(plan, core, tissues, depth, rng)
    labels = np.zeros(ground.shape, np.uint8)
    labels[edema_mask] = EDEMA
    labels[core] = NECROSIS
    labels[core & (enhancing > 0.5)] = ENHANCING
    sigma = plan.blur / spacing
    soft = ndimage.gaussian_filter(core.astype(np.float32), max(sigma, 0.4))
    return Tumor(labels, soft, ndimage.gaussian_filter(enhancing, 0.7 * sigma), edema)


def _core_mask(core: Core, crosses: bool, ground: BoolArray, tissues: TissueMap) -> BoolArray:
    """The core's volume nearest to its center, one smooth piece, mostly on one side of the falx."""
    spacing = tissues.pose.grid.spacing
    wanted = round(4.0 / 3.0 * np.pi * core.radius**3 / spacing**3)
    side = tissues.pose.side()
    inside = core.distance < 1.5 * core.radius + 2.0
    home = float(side[core.distance <= core.distance.min() + spacing].mean())
    free = ground & inside
    if abs(home) > 4.0:
        free &= (side * np.sign(home) > 0) | (crosses & (tissues.labels == Tissue.WHITE))
    values = np.sort(core.distance[free])
    if not len(values):
        return free
    mask = free & (core.distance <= values[min(max(wanted, 1), len(values)) - 1])
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 1.2 / spacing) > 0.45
    return largest_piece(smooth & ground)


def _enhancing(plan: Plan, core: BoolArray, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Share of each core voxel that enhances: rim with knots, gaps and septa, or solid, or hardly any."""
    depth = ndimage.distance_transform_edt(core) * grid.spacing - grid.spacing / 2.0
    knots, gaps, fine = grid.noise(9.0, rng), grid.noise(15.0, rng), grid.noise(4.0, rng)
    if plan.kind == "solid":
        pockets = fine * 0.5 + knots > rng.uniform(1.0, 2.2)
        share = 1.0 - (pockets & (depth > 2.0)).astype(np.float32)
    elif plan.kind == "plain":
        spots = 0.5 * fine + gaps > (rng.uniform(1.4, 2.2) if rng.random() < 0.3 else 9.0)
        share = spots.astype(np.float32)
    else:
        thickness = plan.rim * np.exp(rng.uniform(0.2, 0.6) * knots) + rng.uniform(0.1, 0.6) * fine
        thickness = np.where(gaps > rng.uniform(1.2, 2.5), 0.3, thickness)
        thickness = np.where(knots > rng.uniform(1.0, 2.5), thickness + rng.uniform(1.0, 6.0), thickness)
        share = np.clip((thickness - depth) / grid.spacing + 0.5, 0.0, 1.0)
        if rng.random() < 0.4:
            sheets = 1.5 - np.abs(grid.noise(14.0, rng)) / rng.uniform(0.08, 0.25)
            share = np.maximum(share, np.clip(sheets, 0.0, 1.0))
    return share.astype(np.float32)


def _grow_edema(
    plan: Plan, core: BoolArray, tissues: TissueMap, depth: FloatArray, rng: np.random.Generator
) -> tuple[BoolArray, FloatArray]:
    """Edema label and strength: a front that runs fast in white matter, slowly in cortex, hardly in fluid."""
    spacing = tissues.pose.grid.spacing
    speed = np.maximum(tissues.paint(_SPEED), 1e-3) * np.exp(0.35 * tissues.pose.grid.noise(14.0, rng))
    home = float(tissues.pose.side()[core].mean()) if core.any() else 0.0
    across = tissues.pose.side() * np.sign(home) < -1.5
    speed = np.where(across, speed * np.where(tissues.labels == Tissue.WHITE, 0.4, 0.05), speed)
    arrival = _front(core, speed.astype(np.float32), spacing)
    room = tissues.is_any(*_SPEED) & (depth > 1.5) & ~core
    wanted = int((plan.whole_ml - plan.core_ml) * 1000.0 / spacing**3)
    times = np.sort(arrival[room & (arrival < _LARGEST_EDEMA_MM)])
    if wanted < 1 or not len(times):
        return np.zeros_like(core), np.zeros(core.shape, np.float32)
    extent = float(times[min(wanted, len(times)) - 1])
    reached = room & (arrival <= extent)
    fluid = tissues.fraction(Tissue.CSF)
    mask = ndimage.gaussian_filter((reached | core).astype(np.float32), 1.3 / spacing) > 0.5
    mask &= room & (fluid < 0.5 + 0.5 * plan.effaced)
    inside = np.clip((extent - arrival) / plan.fade + 0.5, 0.0, 1.0)
    decline = rng.uniform(0.0, 0.4) * np.clip(arrival / max(extent, 1e-3), 0.0, 1.0)
    strength = np.maximum(inside * (1.0 - decline), 0.55 * mask)
    strength *= 1.0 - fluid * (1.0 - plan.effaced)
    strength *= 1.0 - 0.35 * tissues.fraction(Tissue.GRAY, Tissue.DEEP_GRAY)
    soft = ndimage.gaussian_filter(np.where(mask, strength, 0.0).astype(np.float32), 0.6 / spacing)
    return mask, soft


def _front(core: BoolArray, speed: FloatArray, spacing: float) -> FloatArray:
    """Arrival time, in mm of free white matter, of a front that starts at the core's border."""
    arrival = np.full(core.shape, 1e6, np.float32)
    if not core.any():
        return arrival
    reach = int(_LARGEST_EDEMA_MM / spacing)
    found = ndimage.find_objects(core.astype(np.int8))[0]
    box = tuple(slice(max(0, s.start - reach), min(n, s.stop + reach)) for s, n in zip(found, core.shape, strict=True))
    part = core[box]
    image = sitk.GetImageFromArray(np.where(part, 50.0, speed[box]).astype(np.float32))
    image.SetSpacing([spacing] * 3)
    front = sitk.FastMarchingImageFilter()
    border = part & ~ndimage.binary_erosion(part)
    front.SetTrialPoints([tuple(int(i) for i in index[::-1]) for index in np.argwhere(border)])
    front.SetStoppingValue(2.0 * _LARGEST_EDEMA_MM)
    result = sitk.GetArrayFromImage(front.Execute(image))
    arrival[box] = np.where(part, 0.0, np.minimum(result, 1e6))
    return arrival
