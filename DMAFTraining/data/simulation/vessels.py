"""Blood vessels: trees of shortest paths through the CSF spaces, from the sinuses and from the circle of Willis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tissue_map import TissueMap
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import BoolArray, FloatArray

Points = NDArray[np.float64]

_STEPS = [s for s in np.ndindex(3, 3, 3) if s > (1, 1, 1) and sum(abs(i - 1) for i in s) < 3]
"""Half of the 18 nearest neighbors, as offsets plus 1."""
_GRAPH_MM = 2.0
_OUTER_MM = 9.0
_LARGEST_MM = 1.6
_SAMPLES = 12
_OPEN = (Tissue.CSF, Tissue.FALX, Tissue.SINUS, Tissue.ARTERY, Tissue.DURA)


@dataclass(frozen=True)
class Vessels:
    """Share of each voxel that lies in an artery and in a vein, 0 to 1 (X, Y, Z)."""

    arteries: FloatArray
    veins: FloatArray


@dataclass(frozen=True)
class Network:
    """Ways a vessel may take.

    Attributes:
        nodes: voxel indices on the output grid (N, 3).
        lengths: cost of the way between neighbors, N x N.
    """

    nodes: NDArray[np.int64]
    lengths: sparse.csr_matrix

    def at(self, mask: BoolArray) -> NDArray[np.int64]:
        """Numbers of the nodes that lie in a mask (X, Y, Z)."""
        return np.flatnonzero(mask[tuple(self.nodes.T)])


def draw_vessels(tissues: TissueMap, hull: FloatArray, rng: np.random.Generator) -> Vessels:
    """Draw arteries from the circle of Willis, and veins that drain to the sinuses.

    Args:
        tissues: what each voxel is made of.
        hull: signed distance to the brain's hull in mm, negative inside (X, Y, Z).
        rng: source of randomness.
    """
    grid = tissues.pose.grid
    network = build_network(tissues, rng)
    fluid = tissues.is_any(Tissue.CSF, Tissue.FALX)
    outer, inner = fluid & (np.abs(hull) < _OUTER_MM), fluid & (hull < -_OUTER_MM)
    walls = tissues.is_any(Tissue.VENTRICLE, Tissue.CHOROID)
    walls &= ndimage.binary_dilation(tissues.is_any(Tissue.WHITE, Tissue.DEEP_GRAY))
    veins = [(outer, (80, 240)), (inner, (40, 130)), (walls, (3, 10))]
    arteries = [(outer, (15, 50)), (inner, (50, 150))]
    start = np.zeros(grid.shape, bool)
    start[circle_of_willis(tissues)] = True
    return Vessels(
        arteries=_draw_tree(network, start & fluid, arteries, grid, rng),
        veins=_draw_tree(network, tissues.is_any(Tissue.SINUS), veins, grid, rng),
    )


def circle_of_willis(tissues: TissueMap) -> tuple[slice, ...]:
    """A small box in the midline, in front of the upper brain stem."""
    stem = np.argwhere(tissues.is_any(Tissue.BRAINSTEM))
    spacing = tissues.pose.grid.spacing
    if not len(stem):
        return (slice(0, 0),) * 3
    top = stem[stem[:, 2] > stem[:, 2].max() - 14.0 / spacing]
    center = np.array([top[:, 0].mean(), top[:, 1].max() + 6.0 / spacing, top[:, 2].mean()])
    reach = np.array([10.0, 7.0, 7.0]) / spacing
    return tuple(slice(max(0, int(c - r)), int(c + r) + 1) for c, r in zip(center, reach, strict=True))


def build_network(tissues: TissueMap, rng: np.random.Generator) -> Network:
    """Ways through CSF: short where there is much of it, longer through ventricles, with random detours."""
    spacing = tissues.pose.grid.spacing
    step = max(1, round(_GRAPH_MM / spacing))
    cut = (slice(None, None, step),) * 3
    room = (tissues.fraction(*_OPEN) + 0.3 * tissues.fraction(Tissue.VENTRICLE, Tissue.CHOROID))[cut]
    ways = np.argwhere(room > 0.1)
    number = np.full(room.shape, -1)
    number[tuple(ways.T)] = np.arange(len(ways))
    cost = (np.exp(0.5 * tissues.pose.grid.noise(6.0, rng)[cut]) / (room + 0.1))[tuple(ways.T)]
    padded = np.pad(number, 1, constant_values=-1)
    starts, ends, lengths = [], [], []
    for offset in _STEPS:
        neighbor = padded[tuple((ways + offset).T)]
        linked = np.flatnonzero(neighbor >= 0)
        distance = np.sqrt(((np.array(offset) - 1) ** 2).sum()) * step * spacing
        starts.append(linked)
        ends.append(neighbor[linked])
        lengths.append(distance * (cost[linked] + cost[neighbor[linked]]) / 2.0)
    entries = (np.concatenate(lengths), (np.concatenate(starts), np.concatenate(ends)))
    return Network(ways * step, sparse.csr_matrix(entries, shape=(len(ways), len(ways))))


def _draw_tree(
    network: Network,
    sources: BoolArray,
    seeds: list[tuple[BoolArray, tuple[int, int]]],
    grid: Grid,
    rng: np.random.Generator,
) -> FloatArray:
    """Share of each voxel in a tree that joins some (from, to) ends in each region with a source."""
    roots = network.at(sources)
    if not len(roots):
        return np.zeros(grid.shape, np.float32)
    _, parents, _ = dijkstra(network.lengths, directed=False, indices=roots, return_predecessors=True, min_only=True)
    flow = np.zeros(len(parents))
    for region, (fewest, most) in seeds:
        ends = rng.permutation(network.at(region))
        for end in ends[: rng.integers(fewest, most)]:
            node = int(end)
            while parents[node] >= 0:
                flow[node] += 1.0
                node = int(parents[node])
    inner = np.flatnonzero(flow)
    wobble = np.stack([grid.noise(7.0, rng)[tuple(network.nodes.T)] for _ in range(3)], axis=1)
    points = network.nodes * grid.spacing + rng.uniform(0.3, 1.0) * wobble
    has_parent = parents >= 0
    # Half way to the parent: takes the corners out of a path along voxels.
    points[has_parent] = (points[has_parent] + points[parents[has_parent]]) / 2.0
    # Murray's law: the cube of the radius adds up where branches meet.
    radius = np.minimum(rng.uniform(0.32, 0.60) * np.cbrt(flow), _LARGEST_MM)
    return paint_tubes(points[inner], points[parents[inner]], radius[inner], grid, rng)


def paint_tubes(start: Points, end: Points, radius: Points, grid: Grid, rng: np.random.Generator) -> FloatArray:
    """Share of each voxel that lies in tubes, 0 to 1 (X, Y, Z).

    Args:
        start: positions in mm from the center of voxel 0 (N, 3).
        end: where each tube ends (N, 3).
        radius: radius of each tube in mm (N,).
        grid: the voxel grid.
        rng: source of randomness; the volume of each tube is spread over random places in it.
    """
    length = np.sqrt(((end - start) ** 2).sum(axis=1))
    along = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    places = start[:, None] + (end - start)[:, None] * along[None, :, None]
    aside = rng.standard_normal(places.shape)
    aside /= np.sqrt((aside**2).sum(axis=-1, keepdims=True)) + 1e-6
    places += aside * radius[:, None, None] * np.cbrt(rng.random((*places.shape[:2], 1)))
    volume = np.repeat(np.pi * radius**2 * length / _SAMPLES, _SAMPLES)
    return np.clip(_spread(places.reshape(-1, 3) / grid.spacing, volume / grid.spacing**3, grid.shape), 0.0, 1.0)


def _spread(places: Points, amounts: Points, shape: tuple[int, ...]) -> FloatArray:
    """Sum of amounts at positions in voxels, each shared out between the eight voxels around it."""
    low = np.floor(places).astype(int)
    share = places - low
    total = np.zeros(int(np.prod(shape)))
    for corner in np.ndindex(2, 2, 2):
        index = low + corner
        weight = np.where(corner, share, 1.0 - share).prod(axis=1) * amounts
        inside = ((index >= 0) & (index < shape)).all(axis=1)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        total += np.bincount(flat, weight[inside], minlength=total.size)
    return total.reshape(shape).astype(np.float32)
