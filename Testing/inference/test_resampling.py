"""Interpolation between grids: exact where it must be, the same by both ways."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from DMAFTraining.inference.geometry import Grid, axis_aligned_grid
from DMAFTraining.inference.resampling import parallel_axes, resample, resample_axes, resample_points
from tiny import oblique_grid


def _ramp(grid: Grid, slope: tuple[float, float, float] = (1.0, -2.0, 0.5)) -> np.ndarray:
    """An image that is linear in space: linear interpolation reproduces it exactly."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    return ((index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]) @ np.array(slope)).astype(np.float32)


@given(st.tuples(*[st.floats(-30, 30)] * 3), st.tuples(*[st.floats(0.8, 2)] * 3), st.booleans())
@settings(max_examples=15, deadline=None)
def test_resampling_is_exact_on_a_linear_image(
    angles: tuple[float, ...], spacing: tuple[float, ...], flip: bool
) -> None:
    source = oblique_grid((40, 40, 40), angles, spacing, flip)
    target = axis_aligned_grid(np.array([-9.0] * 3), np.array([9.0] * 3), (1.5, 2.0, 2.5))
    out = resample(torch.from_numpy(_ramp(source))[None], source, target)[0].numpy()
    assert np.abs(out - _ramp(target)).max() < 1e-2


def test_resampling_gives_zero_outside_and_works_slab_by_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    source = axis_aligned_grid(np.array([0.0] * 3), np.array([9.0] * 3), (1, 1, 1))
    target = axis_aligned_grid(np.array([-5.0, 0, 0]), np.array([9.0] * 3), (1, 1, 1))
    matrix = np.linalg.inv(source.ijk_to_ras) @ target.ijk_to_ras
    ones = torch.ones(2, *source.size)
    for way in (resample(ones, source, target), resample_points(ones, matrix, target.size)):
        assert (way[:, :5].abs() < 1e-6).all()
        assert (way[:, 5:] - 1).abs().max() < 1e-6
    whole = resample_points(ones, matrix, target.size)
    monkeypatch.setattr("DMAFTraining.inference.resampling._SLAB_VOXELS", 1)
    assert torch.equal(resample_points(ones, matrix, target.size), whole)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flip", [1, -1])
def test_axis_by_axis_equals_point_by_point(order: tuple[int, int, int], flip: int) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for target_axis, source_axis in enumerate(order):
        matrix[source_axis, target_axis] = (0.5, 0.8 * flip, 1.7)[target_axis]
    matrix[:3, 3] = (-1.3, 0.4, 2.2)
    matrix[order[1], 3] = 7.0 if flip < 0 else 0.4
    volume = torch.randn(2, 9, 11, 13, generator=torch.Generator().manual_seed(0))
    size = (8, 9, 10)
    axes = parallel_axes(matrix, size)
    assert axes == order
    fast = resample_axes(volume, matrix, axes, size)
    assert fast.shape == (2, *size)
    assert (fast - resample_points(volume, matrix, size)).abs().max() < 1e-5
    assert fast.abs().max() > 0.5


def test_oblique_grids_are_not_parallel() -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", 0.01, degrees=True).as_matrix()
    assert parallel_axes(turn, (240, 240, 155)) is None
    assert parallel_axes(np.eye(4), (240, 240, 155)) == (0, 1, 2)


@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_ends_one_voxel_beyond_itself(axis: int) -> None:
    matrix = np.eye(4)
    matrix[axis, 3] = -2.0  # target voxel 2 lies on the slice
    size = [6, 6, 6]
    source = [6, 6, 6]
    source[axis] = 1
    out = resample_points(torch.ones(1, *source), matrix, (size[0], size[1], size[2]))[0]
    profile = out.movedim(axis, 0)[:, 2, 2]
    assert profile.tolist() == pytest.approx([0, 0, 1, 0, 0, 0], abs=1e-6)
