"""A ball head and a clean case in it, whose raw-like scans can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from DMAFTraining.benchmarking.scans_case import CleanCase
from DMAFTraining.benchmarking.scans_head import Head, HeadMap, make_head
from DMAFTraining.benchmarking.scans_measure import (
    apply,
)
from DMAFTraining.benchmarking.scans_protocols import Protocol
from DMAFTraining.benchmarking.scans_raw import (
    RawScan,
    RawSettings,
    make_raw,
)
from DMAFTraining.inference.geometry import Grid, Volume

BONE, SKIN, FLUID, SOFT = 515, 511, 24, 507
SETTINGS = RawSettings(
    {"t1ce": Protocol((1, 1, 1), "sagittal"), "t1": Protocol((1, 1, 5), "axial"), "t2": Protocol((1, 1, 5), "coronal")},
)


def grid_around(size: tuple[int, int, int], step: float = 1.0) -> Grid:
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = -step * (np.array(size) - 1) / 2
    return Grid(size, matrix)


def places(grid: Grid) -> np.ndarray:
    """RAS positions ``(3, I, J, K)``."""
    index = np.indices(grid.size).reshape(3, -1).T
    return apply(grid.ijk_to_ras, index).T.reshape(3, *grid.size)


def far(grid: Grid, middle: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Distance in mm from a position."""
    return np.linalg.norm(places(grid) - np.array(middle)[:, None, None, None], axis=0)


def shift(x: float, y: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def quarter_turn() -> np.ndarray:
    """About the axis from foot to head: right goes to anterior."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[0, -1], [1, 0]]
    return matrix


@pytest.fixture(scope="module")
def template() -> HeadMap:
    """A ball head: brain of 30 mm, then 3 mm of fluid, 5 mm of bone, 7 mm of skin."""
    grid = grid_around((100, 100, 100))
    distance = far(grid)
    labels = np.zeros(grid.size, np.int16)
    for radius, value in ((45, SKIN), (38, BONE), (33, FLUID), (30, 3)):
        labels[distance <= radius] = value
    return HeadMap(labels, grid)


@pytest.fixture(scope="module")
def case() -> CleanCase:
    """A brain of 28 x 34 x 26 mm half axes with a bump on one side; bright structures that no turn repeats."""
    grid = grid_around((72, 84, 66))
    x, y, z = places(grid)
    brain = ((x / 28) ** 2 + (y / 34) ** 2 + (z / 26) ** 2 < 1) | (far(grid, (14, 14, 12)) < 14)
    texture = 3 + np.sin(x / 4) + np.cos(y / 5 + x / 9) + np.sin(z / 4 + 1)
    images = {
        name: Volume(np.where(brain, texture * factor, 0).astype(np.float32), grid)
        for name, factor in (("t1", 1.0), ("t1ce", 2.0), ("t2", 10.0))
    }
    labels = np.zeros(grid.size, np.uint8)
    for radius, value in ((12, 2), (8, 1), (5, 3)):
        labels[far(grid, (-8, 6, 4)) < radius] = value
    return CleanCase("ball", {}, images, brain, labels)


@pytest.fixture(scope="module")
def head(template: HeadMap, case: CleanCase) -> Head:
    return make_head(template, case.brain, case.grid, np.random.default_rng(0))


@pytest.fixture(scope="module")
def scans(case: CleanCase, head: Head) -> dict[str, RawScan]:
    return make_raw(case, head, SETTINGS, np.random.default_rng(1))
