"""Back on the grid of a scan: an object comes back where it was, whatever the grid and the registration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from DMAFTraining.inference.geometry import Grid, Matrix, Volume, axis_aligned_grid, to_image
from DMAFTraining.inference.scans.native import maps_on_grid
from DMAFTraining.inference.scans.transform_file import write_transform
from tiny import oblique_grid

CENTER, RADII = np.array([6.0, -4.0, 5.0]), np.array([16.0, 13.0, 14.0])  # mm
ANGLES = st.tuples(*[st.floats(-60, 60)] * 3)
STEPS = st.tuples(st.floats(0.6, 1.6), st.floats(0.6, 1.6), st.floats(1.0, 6.0))


def _rigid(angles: tuple[float, ...], shift: tuple[float, ...]) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def _positions(grid: Grid) -> Matrix:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    return index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]


def _object(grid: Grid) -> torch.Tensor:
    """Probabilities ``(2, *size)``: an ellipsoid with a soft surface of 2 mm."""
    distance = (np.linalg.norm((_positions(grid) - CENTER) / RADII, axis=-1) - 1) * RADII.min()
    inside = np.clip(0.5 - distance / 2, 0, 1).astype(np.float32)
    return torch.from_numpy(np.stack([1 - inside, inside]))


WORKING = axis_aligned_grid(np.full(3, -30.0), np.full(3, 30.0), (1.5, 1.5, 1.5))


def _centroid(labels: np.ndarray) -> Matrix:
    return np.argwhere(labels == 1).mean(axis=0)


@settings(max_examples=20, deadline=None)
@given(ANGLES, STEPS, st.booleans(), ANGLES, st.tuples(*[st.floats(-8, 8)] * 3))
@example((0.0, 0.0, 0.0), (0.9, 0.9, 6.0), True, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
@example((20.0, -10.0, 5.0), (0.7, 1.2, 5.0), False, (4.0, 3.0, -6.0), (3.0, 2.0, -5.0))
def test_object_comes_back_within_half_a_voxel(
    angles: tuple[float, ...], steps: tuple[float, ...], flip: bool, turn: tuple[float, ...], shift: tuple[float, ...]
) -> None:
    """The working grid lies in the space of the reference; the scan's own grid is anywhere."""
    size = tuple(int(np.ceil(90 / step)) for step in steps)
    own = oblique_grid((size[0], size[1], size[2]), angles, steps, flip)
    moved_by = _rigid(turn, shift)
    moved = Grid(own.size, moved_by @ own.ijk_to_ras)
    labels = maps_on_grid(_object(WORKING), WORKING, moved).labels
    assert labels.shape == own.size
    in_scan = np.linalg.inv(own.ijk_to_ras) @ np.linalg.inv(moved_by) @ [*CENTER, 1]
    assert np.abs(_centroid(labels) - in_scan[:3]).max() < 0.5
    wanted_ml = 4 / 3 * np.pi * RADII.prod() / 1000
    assert (labels == 1).sum() * own.voxel_ml == pytest.approx(wanted_ml, rel=0.1)


def test_labels_are_the_most_probable_of_interpolated_probabilities() -> None:
    """Between a voxel of class 2 and one of class 0, class 1 wins in the middle: labels were not interpolated."""
    probabilities = torch.zeros(3, 2, 2, 2)
    probabilities[:, 0] = torch.tensor([0.0, 0.45, 0.55])[:, None, None]
    probabilities[:, 1] = torch.tensor([0.55, 0.45, 0.0])[:, None, None]
    middle = np.eye(4)
    middle[0, 3] = 0.5
    maps = maps_on_grid(probabilities, Grid((2, 2, 2), np.eye(4)), Grid((1, 2, 2), middle), with_entropy=True)
    assert maps.labels.tolist() == [[[1, 1], [1, 1]]]
    shares = np.array([0.275, 0.45, 0.275])
    assert maps.entropy is not None
    assert np.allclose(maps.entropy, -(shares * np.log(shares)).sum() / np.log(3), atol=1e-6)


def test_voxels_outside_the_working_grid_are_background() -> None:
    ones = torch.zeros(2, 4, 4, 4)
    ones[1] = 1
    working = Grid((4, 4, 4), np.eye(4))
    shifted = np.eye(4)
    shifted[:3, 3] = -2
    labels = maps_on_grid(ones, working, Grid((9, 9, 9), shifted)).labels
    assert np.argwhere(labels).min(axis=0).tolist() == [2, 2, 2]
    assert np.argwhere(labels).max(axis=0).tolist() == [5, 5, 5]
    assert labels.sum() == 4**3
    far = np.eye(4)
    far[:3, 3] = 100
    maps = maps_on_grid(ones, working, Grid((5, 5, 5), far), with_entropy=True)
    assert not maps.labels.any()
    assert maps.entropy is not None
    assert not maps.entropy.any()


def test_the_grid_of_the_working_image_gives_its_own_labels() -> None:
    rng = np.random.default_rng(0)
    probabilities = torch.from_numpy(rng.random((3, 5, 6, 7), np.float32))
    grid = oblique_grid((5, 6, 7), (10, 20, 30), (1, 2, 3), 1)
    assert np.array_equal(maps_on_grid(probabilities, grid, grid).labels, probabilities.argmax(dim=0).numpy())


def test_transform_file_puts_the_scan_onto_the_reference_in_itk(tmp_path: Path) -> None:
    """SimpleITK reads the file and resamples the scan with it: the object lands where the reference has it."""
    moved_by = _rigid((12.0, -7.0, 20.0), (9.0, -5.0, 4.0))
    own = oblique_grid((60, 64, 20), (15.0, -10.0, 5.0), (1.6, 1.5, 5.0), 1)
    scan = _object(Grid(own.size, moved_by @ own.ijk_to_ras))[1].numpy()
    path = tmp_path / "transform_t2_to_t1.tfm"
    write_transform(path, moved_by)
    assert path.read_text(encoding="utf-8").startswith("#Insight Transform File")
    reference = to_image(np.zeros(WORKING.size, np.float32), WORKING)
    transform = sitk.ReadTransform(str(path))
    landed = sitk.Resample(to_image(scan, own), reference, transform, sitk.sitkLinear, 0.0)
    found = sitk.GetArrayFromImage(landed).transpose(2, 1, 0)
    expected = _object(WORKING)[1].numpy()
    assert np.abs(_centroid(found > 0.5) - _centroid(expected > 0.5)).max() < 0.1
    assert 2 * ((found > 0.5) & (expected > 0.5)).sum() / ((found > 0.5).sum() + (expected > 0.5).sum()) > 0.95


def test_transform_file_takes_points_of_the_reference_to_the_scan(tmp_path: Path) -> None:
    """By hand: the scan moves 10 mm to the right, so ITK is told to look 10 mm to the left, which is +x in LPS."""
    moved_by = np.eye(4)
    moved_by[0, 3] = 10.0
    write_transform(tmp_path / "t.tfm", moved_by)
    assert sitk.ReadTransform(str(tmp_path / "t.tfm")).TransformPoint((0.0, 0.0, 0.0)) == (10.0, 0.0, 0.0)


def test_labels_are_written_with_the_header_of_the_scan(tmp_path: Path) -> None:
    """The arrays belong to the voxels of the file, wherever the registration put them."""
    own = oblique_grid((40, 40, 12), (5.0, 0.0, 9.0), (2.0, 2.0, 6.0), 0)
    moved = Volume(np.zeros(own.size, np.float32), Grid(own.size, _rigid((3, 2, 1), (4, 5, 6)) @ own.ijk_to_ras))
    labels = maps_on_grid(_object(WORKING), WORKING, moved.grid).labels
    image = to_image(labels, own)
    assert image.GetSize() == own.size
    assert np.allclose(image.GetOrigin(), (-own.ijk_to_ras[0, 3], -own.ijk_to_ras[1, 3], own.ijk_to_ras[2, 3]))
