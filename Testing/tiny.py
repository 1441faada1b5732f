"""A model and a patient small enough for tests: random weights, real files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from DMAFTraining.data.brats import LABELS, REGIONS
from DMAFTraining.data.datasets import MYOPS
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.metadata import BundleMetadata, Preprocessing, Window
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig

TINY = DMAFNetConfig(width=2, grid=(2, 2, 2), layers=1, channels_per_head=2)


def tiny_metadata(window: tuple[int, int, int] = (32, 32, 32)) -> BundleMetadata:
    """Description of a tiny brain tumor model at 4 mm."""
    return BundleMetadata(
        name="tiny",
        version="1.0",
        title="Tiny",
        description="Random weights for tests.",
        network={"name": "dmafnet", "config": asdict(TINY)},
        modalities=BRATS,
        labels=LABELS,
        regions=REGIONS,
        preprocessing=Preprocessing((4.0, 4.0, 4.0)),
        window=Window(window, 0.5),
        training_data="none",
        license="Apache-2.0",
        simulated_training=True,
    )


def tiny_heart_metadata(config: DMAFNetConfig, step: float, slice_size: int, window: int) -> BundleMetadata:
    """Description of a tiny model of slices: voxels of ``step`` mm, sides of the slice and of the window in voxels."""
    return BundleMetadata(
        name="tiny-heart",
        version="1.0",
        title="Tiny heart",
        description="Random weights for tests.",
        network={"name": "dmafnet", "config": asdict(config)},
        modalities=MYOPS.modalities,
        labels=MYOPS.labels,
        regions=MYOPS.regions,
        preprocessing=Preprocessing((step, step), "slices", slice_size=slice_size),
        window=Window((window, window), 0.5),
        training_data="none",
        license="Apache-2.0",
        simulated_training=True,
    )


def tiny_network(seed: int = 0) -> DMAFNet:
    """A tiny network whose fusion weights differ from the plain mean, in eval mode."""
    torch.manual_seed(seed)
    network = DMAFNet(TINY)
    with torch.no_grad():
        for fusion in network.fusions:
            fusion.score.weight.normal_(std=2.0)
            fusion.identity.normal_()
    return network.eval()


def write_tiny_bundle(path: Path, seed: int = 0) -> Path:
    """A bundle file with random weights."""
    save_bundle(path, tiny_metadata(), tiny_network(seed).state_dict())
    return path


def head_grid(size: tuple[int, int, int] = (40, 44, 36), spacing: float = 3.0) -> Grid:
    """An axis-aligned grid around the origin."""
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = -spacing * (np.array(size) - 1) / 2
    return Grid(size, matrix)


def oblique_grid(size: tuple[int, int, int], angles: tuple[float, ...], spacing: tuple[float, ...], flip: int) -> Grid:
    """A turned, perhaps mirrored grid around the origin; ``angles`` in degrees about x, y and z."""
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag([-1 if flip else 1, 1, 1])
    matrix = np.eye(4)
    matrix[:3, :3] = direction * np.array(spacing)
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(size) - 1) / 2
    return Grid(size, matrix)


def head_volume(grid: Grid, seed: int = 0) -> Volume:
    """A smooth bright ball of 50 mm radius on zero background, the same in space on any grid."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3], -1, 0)
    texture = 3 + np.sin(x / 9 + seed) + np.cos(y / 7 - seed) + np.sin((z + x) / 11 + 2 * seed)
    return Volume(np.where(x**2 + y**2 + z**2 < 50**2, texture, 0).astype(np.float32), grid)
