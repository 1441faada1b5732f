"""Balls of heads with every tissue that matters to a tumor, for tests of the simulator."""

from __future__ import annotations

import numpy as np

from DMAFTraining.data.simulation.anatomy import Anatomy
from DMAFTraining.data.simulation.shape import Grid, Pose
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import BoolArray, LabelArray

SPACING = 2.0
GRID = Grid((76, 76, 76), SPACING)
TO_ML = SPACING**3 / 1000.0


def ball(middle: tuple[float, float, float], radius: float) -> BoolArray:
    offset = GRID.positions() - np.array(middle, np.float32)[:, None, None, None]
    return np.sqrt((offset**2).sum(axis=0)) <= radius


def make_head(falx: bool = True) -> LabelArray:
    """A ball brain of 62 mm on a 2 mm grid: white matter, 6 mm cortex with sulci, two ventricles, a falx."""
    x, y, z = GRID.positions()
    radius = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros(GRID.shape, np.uint8)
    shells = [(74, Tissue.BONE), (66, Tissue.DURA), (64, Tissue.CSF), (62, Tissue.GRAY), (56, Tissue.WHITE)]
    for limit, tissue in shells:
        labels[radius < limit] = tissue
    sulci = (radius > 52) & (radius < 64) & (np.abs((np.arctan2(y, z) * 57.3) % 30 - 15) < 1.5)
    labels[sulci] = Tissue.CSF
    labels[np.sqrt((np.abs(x) - 12) ** 2 + y**2 / 6 + z**2) < 8] = Tissue.VENTRICLE
    if falx:
        labels[(np.abs(x) < 1.5) & (z > 24) & (radius < 64)] = Tissue.FALX
    return labels


def make_pose() -> Pose:
    """Output voxel = source voxel: a head made on the grid is its own source."""
    source = np.indices(GRID.shape).astype(np.float32)
    return Pose(GRID, np.eye(3) / SPACING, source, (GRID.shape[0] - 1) / 2.0)


def ball_anatomy() -> Anatomy:
    """A ball brain of 60 mm radius at 1 mm: white matter, 6 mm cortex, CSF, dura, bone, and two ventricles."""
    axes = np.arange(150) - 74.5
    x, y, z = np.meshgrid(axes, axes, axes, indexing="ij", sparse=True)
    radius = np.sqrt(x**2 + y**2 + z**2)
    tissue = np.zeros((150, 150, 150), np.uint8)
    shells = [(72, Tissue.BONE), (66, Tissue.DURA), (64, Tissue.CSF), (60, Tissue.GRAY), (54, Tissue.WHITE)]
    for limit, kind in shells:
        tissue[radius < limit] = kind
    tissue[np.sqrt((np.abs(x) - 12) ** 2 + y**2 / 4 + z**2) < 8] = Tissue.VENTRICLE
    return Anatomy("phantom", tissue, np.eye(4))
