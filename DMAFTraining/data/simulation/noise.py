"""Smooth random fields: the raw material of every random shape and texture of the simulator."""

from __future__ import annotations

import numpy as np

from DMAFTraining.data.simulation.types import FloatArray, Shape


def _weights(size: int, spacing: float, scale: float, offset: float) -> FloatArray:
    """Cubic B-spline weights (size, knots) of ``size`` samples on knots ``scale`` mm apart."""
    position = np.arange(size) * spacing / scale + 1.0 + offset
    knots = int(np.ceil(position[-1])) + 2
    distance = np.abs(position[:, None] - np.arange(knots)[None, :])
    near = 2.0 / 3.0 - distance**2 + distance**3 / 2.0
    far = np.clip(2.0 - distance, 0.0, None) ** 3 / 6.0
    return np.where(distance < 1.0, near, far).astype(np.float32)


def smooth_noise(shape: Shape, spacing: float, scale: float, rng: np.random.Generator) -> FloatArray:
    """A smooth random field with mean about 0 and standard deviation 1.

    Args:
        shape: voxels of the field (X, Y, Z).
        spacing: edge of a voxel in mm.
        scale: size of the blobs in mm (distance of the random knots); at least one voxel is used.
        rng: source of randomness.
    """
    scale = max(scale, spacing)
    weights = [_weights(size, spacing, scale, rng.random()) for size in shape]
    field = rng.standard_normal([w.shape[1] for w in weights]).astype(np.float32)
    for axis_weights in weights:
        # The first axis is contracted and comes back as the last one: three turns restore the order.
        field = np.tensordot(field, axis_weights, axes=(0, 1))
        field /= np.sqrt((axis_weights**2).sum(axis=1).mean())
    return np.ascontiguousarray(field)
