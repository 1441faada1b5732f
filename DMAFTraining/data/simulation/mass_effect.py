"""Mass effect: what a growing tumor does to the brain around it.

A skull does not give way, and tissue hardly changes its volume, so what a core adds has to leave as
cerebrospinal fluid. The displacement follows from the pressure p as a slow flow through a porous
medium does (Darcy's law, the model of brain tissue as a sponge):

    v = -k grad p,    div v = source - sink,    sink = c f p,

with the source in the growing core and in the swelling edema, the share f of CSF in a voxel as sink,
no flow through the skull, and a falx that lets little through above its free edge. The flow runs in
small steps, each of which is invertible, so that the whole map does not fold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from DMAFTraining.data.simulation.shape import Grid, Pose
from DMAFTraining.data.simulation.tissue_map import skull_depth
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

_CELL_MM = 4.0
_STEPS = 6
_LARGEST_SINK = 0.4
_SLOPE = 0.7
_FLUIDS = (Tissue.CSF, Tissue.VENTRICLE, Tissue.CHOROID)
_CONDUCTIVITY = {Tissue.BRAINSTEM: 0.5, Tissue.CEREBELLUM_WHITE: 0.3, Tissue.CEREBELLUM_GRAY: 0.3, Tissue.SINUS: 0.3}
_FALX_RESISTANCE = 40.0
_FREE_EDGE_MM = 22.0


@dataclass(frozen=True)
class Push:
    """How tissue was moved; all arrays on the output grid.

    Attributes:
        displacement: mm (3, X, Y, Z); the tissue at x came from x - displacement.
        closed: share of the CSF in sulci that was pressed out, 0 to 1 (X, Y, Z).
    """

    displacement: FloatArray
    closed: FloatArray


@dataclass(frozen=True)
class Growth:
    """What grows, before it does.

    Attributes:
        core, edema: share of each in every voxel, 0 to 1 (X, Y, Z).
        core_ml, edema_ml: volume that each adds, mL.
        reach: distance in mm over which CSF spaces give way.
    """

    core: FloatArray
    edema: FloatArray
    core_ml: float
    edema_ml: float
    reach: float


@dataclass(frozen=True)
class _Medium:
    """The brain on the coarse grid: arrays (x, y, z), ``spacing`` mm."""

    room: BoolArray
    fluid: FloatArray
    conductivity: FloatArray
    spacing: float


def grow_and_push(growth: Growth, labels: LabelArray, grid: Grid) -> Push:
    """Displacement of the brain by a growing core and a swelling edema.

    Args:
        growth: what grows.
        labels: values of :class:`Tissue` before the growth (X, Y, Z).
        grid: their voxel grid.
    """
    factor = max(1, round(_CELL_MM / grid.spacing))
    # Fluid that the core has replaced cannot give way.
    medium = _medium(labels, growth.core > 0.5, grid.spacing, factor)
    source = np.zeros(medium.room.shape, np.float32)
    for share, volume in ((growth.core, growth.core_ml), (growth.edema, growth.edema_ml)):
        source += _density(block_mean(share, factor) * medium.room, volume * 1000.0 / medium.spacing**3 / _STEPS)
    coarse, fluid = _flow(medium, source, growth.reach)
    before = carried(medium.fluid, coarse, medium.spacing)
    closed = (before - fluid) / np.maximum(before, 0.02)
    displacement = np.stack([upsampled(part, factor, labels.shape) for part in coarse])
    # The skull does not move; nothing moves by more than a part of its depth below it, else the map would fold there.
    length = np.sqrt((displacement**2).sum(axis=0))
    displacement *= np.minimum(1.0, _SLOPE * skull_depth(labels, grid.spacing) / np.maximum(length, 1e-3))
    return Push(displacement, upsampled(np.clip(closed, 0.0, 1.0).astype(np.float32), factor, labels.shape))


def carried(field: FloatArray, displacement: FloatArray, spacing: float) -> FloatArray:
    """A field (X, Y, Z) that moves with the tissue by ``displacement`` mm (3, X, Y, Z)."""
    index = np.indices(field.shape, dtype=np.float32) - displacement / np.float32(spacing)
    return ndimage.map_coordinates(field, index, order=1, mode="nearest")


def jacobian(displacement: FloatArray, spacing: float) -> FloatArray:
    """Volume before over volume after, at each voxel (X, Y, Z); above 0 where the map does not fold."""
    slopes = np.array([np.gradient(part, spacing) for part in displacement])
    return np.linalg.det(np.eye(3, dtype=np.float32) - np.moveaxis(slopes, (0, 1), (-2, -1)))


def midline_shift(displacement: FloatArray, pose: Pose, brain: BoolArray) -> float:
    """Largest sideways displacement, in mm, of what was in the plane between the hemispheres.

    Args:
        displacement: mm (3, X, Y, Z).
        pose: the pose before the push.
        brain: where to look (X, Y, Z).
    """
    sideways = pose.linear[0] / np.linalg.norm(pose.linear[0])
    across = np.abs(np.tensordot(sideways.astype(np.float32), displacement, 1))
    plane = np.abs(carried(pose.side(), displacement, pose.grid.spacing)) <= max(pose.grid.spacing, 1.0)
    return float(across[plane & brain].max(initial=0.0))


def close_sulci(pose: Pose, tissue: LabelArray, push: Push, rng: np.random.Generator) -> Pose:
    """Let the banks of pressed-out sulci touch: their CSF voxels show the nearest cortex instead.

    Args:
        pose: the pose after the push.
        tissue: values of :class:`Tissue` of the source.
        push: what was pressed out.
        rng: source of randomness; which stretch of a sulcus closes first.
    """
    labels = pose.sample_labels(tissue)
    cortex = np.isin(labels, (Tissue.GRAY, Tissue.CEREBELLUM_GRAY))
    fluid = labels == Tissue.CSF
    if not (cortex.any() and fluid.any()):
        return pose
    distance, nearest = ndimage.distance_transform_edt(~cortex, return_indices=True)
    ease = push.closed + 0.15 * pose.grid.noise(10.0, rng) - distance * pose.grid.spacing / 20.0
    shut = fluid & (ease > 0.18)
    source = pose.source.copy()
    source[:, shut] = source[:, *nearest[:, shut]]
    return Pose(pose.grid, pose.linear, source, pose.midline)


def block_mean(field: np.ndarray, factor: int) -> FloatArray:
    """Mean over blocks of ``factor`` voxels along each axis; the ends are padded with 0."""
    padded = np.pad(field.astype(np.float32), [(0, -size % factor) for size in field.shape])
    split = [part for size in padded.shape for part in (size // factor, factor)]
    return padded.reshape(split).mean(axis=(1, 3, 5))


def upsampled(coarse: FloatArray, factor: int, shape: tuple[int, ...]) -> FloatArray:
    """The opposite of :func:`block_mean`: linear between the cells, slightly smoothed, cut to ``shape``."""
    if factor == 1:
        return coarse
    fine = ndimage.zoom(coarse, factor, order=1, mode="nearest", grid_mode=True)
    return ndimage.gaussian_filter(fine[tuple(slice(size) for size in shape)], 0.4 * factor)


def _medium(labels: LabelArray, core: BoolArray, spacing: float, factor: int) -> _Medium:
    """Room, CSF and conductivity of the coarse cells; the falx resists only above its free edge."""
    inside = (labels > Tissue.BACKGROUND) & (labels < Tissue.DURA)
    room = block_mean(inside, factor) > 0.5
    fluid = np.where(room, block_mean(np.isin(labels, _FLUIDS) & ~core, factor), 0.0).astype(np.float32)
    table = np.ones(max(Tissue) + 1, np.float32)
    for tissue, value in _CONDUCTIVITY.items():
        table[tissue] = value
    center = np.isin(labels, (Tissue.VENTRICLE, Tissue.DEEP_GRAY))
    falx = block_mean(labels == Tissue.FALX, factor)
    cell = spacing * factor
    if center.any():
        falx *= ndimage.distance_transform_edt(block_mean(center, factor) < 0.25) * cell > _FREE_EDGE_MM
    conductivity = block_mean(table[labels], factor) / (1.0 + _FALX_RESISTANCE * falx)
    return _Medium(room, fluid, np.where(room, conductivity, 0.0).astype(np.float32), cell)


def _density(share: FloatArray, volume: float) -> FloatArray:
    """A source of this volume (in cells), spread like a share."""
    total = float(share.sum())
    return share * np.float32(volume / total if total > 0 else 0.0)


def _flow(medium: _Medium, source: FloatArray, reach: float) -> tuple[FloatArray, FloatArray]:
    """Displacement in mm (3, x, y, z) and the CSF that is left (x, y, z) after all steps."""
    displacement = np.zeros((3, *source.shape), np.float32)
    if not source.any():
        return displacement, medium.fluid
    fluid, now = medium.fluid, source
    total = float(source.sum())
    pressure = np.zeros(source.shape, np.float32)
    resistance, stiffness = (1.0 / reach) ** 2, _stiffness(medium)
    for step_number in range(1, _STEPS + 1):
        # No CSF space loses more than a part of what it holds in one step.
        uptake = fluid / (1.0 + resistance * pressure / _LARGEST_SINK) + np.float32(1e-3)
        pressure = _pressure(medium, stiffness, np.float32(resistance) * uptake, now)
        step = _velocity(medium, pressure)
        displacement = step + np.stack([carried(part, step, medium.spacing) for part in displacement])
        volume = jacobian(displacement, medium.spacing)
        before = carried(medium.fluid, displacement, medium.spacing)
        # A voxel holds `volume` of former tissue and fluid; the tissue is still all there.
        fluid = np.clip(np.where(medium.room, 1.0 - volume * (1.0 - before), 0.0), 0.0, before).astype(np.float32)
        # What the grid has lost so far is made up in the next step, as far as that stays a small step.
        missing = total * step_number - float((medium.fluid - fluid).sum())
        now = _density(carried(source, displacement, medium.spacing) * medium.room, min(total + missing, 2.0 * total))
    return displacement, fluid


def _stiffness(medium: _Medium) -> sparse.csr_matrix:
    """The matrix of -div(k grad p) over the cells of the room, no flow through its border."""
    index = np.full(medium.room.shape, -1, np.int64)
    count = int(medium.room.sum())
    index[medium.room] = np.arange(count)
    matrix = sparse.csr_matrix((count, count))
    for axis in range(3):
        low, high = _neighbors(axis)
        weight = _face(medium, axis)
        joined = weight > 0
        one, other, value = index[low][joined], index[high][joined], weight[joined] / medium.spacing**2
        rows, columns = np.concatenate([one, other, one, other]), np.concatenate([one, other, other, one])
        entries = np.concatenate([value, value, -value, -value])
        matrix = matrix + sparse.csr_matrix((entries, (rows, columns)), (count, count))
    return matrix


def _pressure(medium: _Medium, stiffness: sparse.csr_matrix, uptake: FloatArray, source: FloatArray) -> FloatArray:
    """Solve -div(k grad p) + uptake p = source by conjugate gradients (x, y, z)."""
    matrix = stiffness + sparse.diags(uptake[medium.room].astype(np.float64))
    inverse = sparse.diags(1.0 / matrix.diagonal())
    found, _ = cg(matrix, source[medium.room].astype(np.float64), rtol=1e-4, maxiter=400, M=inverse)
    pressure = np.zeros(medium.room.shape, np.float32)
    pressure[medium.room] = found
    return pressure


def _neighbors(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The two sides of the faces along an axis."""
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    return tuple(low), tuple(high)


def _face(medium: _Medium, axis: int) -> FloatArray:
    """Conductivity of the faces along an axis: the harmonic mean of both cells, 0 at the skull."""
    low, high = _neighbors(axis)
    one, other = medium.conductivity[low], medium.conductivity[high]
    return 2.0 * one * other / np.maximum(one + other, 1e-6)


def _velocity(medium: _Medium, pressure: FloatArray) -> FloatArray:
    """-k grad p at the cell centers (3, x, y, z): the mean over the two faces of a cell."""
    velocity = np.zeros((3, *pressure.shape), np.float32)
    for axis in range(3):
        low, high = _neighbors(axis)
        flux = _face(medium, axis) * (pressure[low] - pressure[high]) / medium.spacing
        velocity[axis][low] += flux / 2.0
        velocity[axis][high] += flux / 2.0
    return velocity
