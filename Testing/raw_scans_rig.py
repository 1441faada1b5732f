"""A head to scan in tests: brain, skull and scalp, the same in space on any grid, in several contrasts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from DMAFTraining.inference.geometry import Grid, Matrix, Volume

BRAIN_MM = np.array([54.0, 78.0, 66.0])
"""Half axes of the brain: 1164 mL, 4/3 pi of their product."""
_BONE_MM, _SCALP_MM = 9.0, 8.0
_CONTRASTS = {
    # cortex, white matter, ventricle, lesion, bone, scalp
    "t1": (65, 100, 25, 55, 12, 80),
    "t1ce": (65, 100, 25, 150, 12, 85),
    "flair": (110, 70, 20, 170, 10, 60),
    "t2": (130, 70, 220, 150, 10, 60),
}


def rigid(angles: tuple[float, float, float], shift: tuple[float, float, float]) -> Matrix:
    """Motion about the origin; degrees about x, y and z, then mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def scan(sequence: str, grid: Grid, lies_at: Matrix | None = None, stripped: bool = False, seed: int = 0) -> Volume:
    """An image of the head.

    Args:
        sequence: whose contrast.
        grid: where the file says that its voxels are.
        lies_at: 4x4, from the head's own RAS to where the patient lay in this scan; default at its place.
        stripped: the brain alone, on a background of exact zeros; else with noise everywhere.
        seed: of the noise.
    """
    place = _places(grid, lies_at)
    image = _tissue(place, _CONTRASTS[sequence])
    noise = np.random.default_rng(seed).normal(0, 2, grid.size)
    inside = _radius(place, BRAIN_MM) < 1
    image = np.where(inside, np.maximum(image + noise, 1), 0) if stripped else np.abs(image + noise)
    return Volume(image.astype(np.float32), grid)


def brain_mask(grid: Grid, lies_at: Matrix | None = None) -> NDArray[np.bool_]:
    """Where the brain is in a scan."""
    inside: NDArray[np.bool_] = _radius(_places(grid, lies_at), BRAIN_MM) < 1
    return inside


def _places(grid: Grid, lies_at: Matrix | None) -> NDArray[np.float64]:
    """Position of each voxel in a ball-shaped head, ``(I, J, K, 3)``.

    Shears one after the other, which keep volumes, make a head of it that no turn leaves as it is.
    """
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    to_head = np.linalg.inv(np.eye(4) if lies_at is None else lies_at) @ grid.ijk_to_ras
    x, y, z = np.moveaxis(index @ to_head[:3, :3].T + to_head[:3, 3], -1, 0)
    z = z + 9 * np.sin(y / 17) + 5 * np.sin(x / 15)
    y = y + 9 * np.sin(z / 19)
    x = x + 7 * np.sin(y / 21 + 1)
    return np.stack([x, y, z], axis=-1)


def _tissue(place: NDArray[np.float64], values: tuple[int, ...]) -> NDArray[np.float64]:
    cortex, white, ventricle, lesion, bone, scalp = values
    image = np.zeros(place.shape[:-1])
    for grown, value in ((_BONE_MM + _SCALP_MM, scalp), (_BONE_MM, bone), (0.0, cortex)):
        image[_radius(place, BRAIN_MM + grown) < 1] = value
    x, y, z = np.moveaxis(place, -1, 0)
    folds = np.sin(x / 7 + 1) + np.sin(y / 6 + x / 15) + np.sin(z / 6.5 - y / 14)
    image[(_radius(place, BRAIN_MM) < 0.93) & (folds > 0)] = white
    for side in (-14.0, 14.0):
        image[_radius(place - [side, 4.0, 8.0], np.array([7.0, 28.0, 10.0])) < 1] = ventricle
    image[_radius(place - [30.0, 22.0, 20.0], np.array([15.0, 12.0, 13.0])) < 1] = lesion
    image[_radius(place - [0.0, -85.0, -45.0], np.array([9.0, 16.0, 20.0])) < 1] = scalp  # a nose: no symmetry there
    return image


def _radius(place: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    radius: NDArray[np.float64] = np.sqrt(((place / axes) ** 2).sum(axis=-1))
    return radius
