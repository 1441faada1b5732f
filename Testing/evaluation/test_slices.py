"""Pictures of axial slices: sides, proportions, window and colors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from DMAFTraining.evaluation.slices import (
    LONG_SIDE,
    Frame,
    Orientation,
    SliceView,
    draw_labels,
    enlarge_labels,
    gray_picture,
    largest_slice,
)
from DMAFTraining.inference.geometry import Grid
from DMAFTraining.inference.metadata import Label

RED = Label(1, "Core", (200, 40, 40))
BLUE = Label(2, "Edema", (20, 60, 220))


def make_grid(axes: tuple[int, int, int], signs: tuple[int, int, int], steps: tuple[float, float, float]) -> Grid:
    """A grid around the origin, 60 mm wide, whose array axis ``a`` runs along world axis ``axes[a]``."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    size = tuple(round(60 / step) for step in steps)
    for axis in range(3):
        matrix[axes[axis], axis] = signs[axis] * steps[axis]
    matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(size) - 1) / 2)
    return Grid((size[0], size[1], size[2]), matrix)


def positions(grid: Grid) -> NDArray[np.float64]:
    """RAS position of every voxel, (3, I, J, K)."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    return np.moveaxis(index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3], -1, 0)


ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_left_is_on_the_right_and_front_is_up_for_every_orientation(
    axes: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    grid = make_grid(axes, signs, (3.0, 3.0, 3.0))
    x, y, z = positions(grid)
    # Tissue is 50, a mark in the left front of the upper third is 100.
    image = np.where((x < -10) & (y > 10) & (z > 10), 100, 50).astype(np.float32)
    view = SliceView.of(grid)
    level = largest_slice(view, [image == 100])
    picture = gray_picture(image, Frame.around(view, level, image > 0))[..., 0]
    rows, columns = picture.shape
    assert view.slice_positions[level] > 10
    assert picture[rows // 8, -columns // 8] == 255
    assert picture[rows // 8, columns // 8] == picture[-rows // 8, -columns // 8] == picture[-rows // 8, 0] == 0


def test_a_tilted_grid_is_shown_along_its_nearest_axes() -> None:
    angle = np.deg2rad(20)
    grid = make_grid((0, 1, 2), (1, 1, 1), (2.0, 2.0, 2.0))
    tilt = np.eye(4)
    tilt[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    view = SliceView.of(Grid(grid.size, tilt @ grid.ijk_to_ras))
    assert (view.axes, view.flipped) == ((0, 1, 2), (False, False, False))


def test_thick_slices_are_shown_as_they_were_acquired() -> None:
    for world, orientation in enumerate(("sagittal", "coronal", "axial")):
        steps = [2.0, 2.0, 2.0]
        steps[world] = 10.0
        view = SliceView.as_acquired(make_grid((0, 1, 2), (1, 1, 1), (steps[0], steps[1], steps[2])))
        assert (view.orientation, len(view.slice_positions), view.pixel) == (orientation, 6, (2.0, 2.0))
    assert SliceView.as_acquired(make_grid((0, 1, 2), (1, 1, 1), (2.1, 2.0, 2.0))).orientation == "axial"


@pytest.mark.parametrize("steps", [(1.0, 1.0, 5.0), (1.0, 3.0, 2.0), (4.0, 1.0, 1.0)])
@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_a_ball_stays_round_whatever_the_voxels(axes: tuple[int, int, int], steps: tuple[float, float, float]) -> None:
    grid = make_grid(axes, (1, -1, 1), steps)
    ball = (positions(grid) ** 2).sum(axis=0) < 20**2
    view = SliceView.of(grid)
    frame = Frame.around(view, largest_slice(view, [ball]), np.ones(grid.size, bool))
    drawn = enlarge_labels(frame, ball.astype(np.uint8), [1]) == 1
    height, width = drawn.any(axis=1).sum(), drawn.any(axis=0).sum()
    pixels_per_mm = LONG_SIDE / 60
    assert drawn.shape == (LONG_SIDE, LONG_SIDE)
    # To within the largest voxel.
    assert height == pytest.approx(40 * pixels_per_mm, abs=max(steps) * pixels_per_mm)
    assert width == pytest.approx(40 * pixels_per_mm, abs=max(steps) * pixels_per_mm)


def test_the_frame_leaves_out_what_is_empty() -> None:
    grid = make_grid((0, 1, 2), (1, 1, 1), (1.0, 1.0, 1.0))
    x, y, _ = positions(grid)
    frame = Frame.around(SliceView.of(grid), 30, (np.abs(x) < 10) & (np.abs(y) < 20))
    # 20 voxels of 10 mm to each side and 40 of 20 mm, with 4 mm around them.
    assert frame.columns[1] - frame.columns[0] == 28
    assert frame.rows[1] - frame.rows[0] == 48


def test_the_window_is_not_moved_by_a_few_bright_voxels() -> None:
    grid = make_grid((0, 1, 2), (1, 1, 1), (1.0, 1.0, 1.0))
    image = np.full(grid.size, 100, np.float32)
    image[:, 30:] = 200
    image[:, :10] = 0
    expected = gray_picture(image, Frame.around(SliceView.of(grid), 30, image >= 0))
    image[0, 10, :] = 1e6
    picture = gray_picture(image, Frame.around(SliceView.of(grid), 30, image >= 0))
    # From the back: air and the darker tissue are black, the brighter tissue white.
    np.testing.assert_array_equal(picture[: LONG_SIDE // 2 - 10], expected[: LONG_SIDE // 2 - 10])
    assert picture[10, 200, 0] == 255
    assert picture[LONG_SIDE - 10, 200, 0] == picture[LONG_SIDE // 2 + 60, 200, 0] == 0


def test_labels_are_tinted_inside_and_outlined_in_their_exact_color() -> None:
    grid = make_grid((0, 1, 2), (1, 1, 1), (1.0, 1.0, 1.0))
    labels = np.zeros(grid.size, np.uint8)
    labels[10:20, 40:50, 30] = 1  # left front
    labels[40:50, 10:20, 30] = 2  # right back
    frame = Frame.around(SliceView.of(grid), 30, np.ones(grid.size, bool))
    gray = np.full((LONG_SIDE, LONG_SIDE, 3), 100, np.uint8)
    drawn = draw_labels(gray, labels, frame, (RED, BLUE))
    scale = LONG_SIDE / 60
    # Columns run from right to left: 10..20 of the array are 40..50 of the picture; rows from front to back.
    row, column = round(15 * scale), round(45 * scale)
    assert drawn[row, column].tolist() == [145, 73, 73]  # 55 % of 100, 45 % of the color
    assert drawn[round(10 * scale) + 1, column].tolist() == [200, 40, 40]
    assert drawn[round(45 * scale), round(15 * scale)].tolist() == [64, 82, 154]
    untouched = (drawn == 100).all(axis=2).mean()
    assert untouched == pytest.approx(1 - 200 / 3600, abs=0.005)


def test_the_slice_comes_from_the_first_map_that_has_something() -> None:
    view = SliceView.of(make_grid((0, 1, 2), (1, 1, 1), (3.0, 3.0, 3.0)))
    empty, some = np.zeros((2, 20, 20, 20), np.uint8)
    some[5:8, 5:8, 4] = 1
    some[5:7, 5:7, 12] = 2
    assert largest_slice(view, [empty, some]) == 4
    assert largest_slice(view, [empty]) == 10


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
@pytest.mark.parametrize("orientation", ["coronal", "sagittal"])
def test_head_is_up_in_coronal_and_sagittal_slices(
    orientation: Orientation, axes: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    grid = make_grid(axes, signs, (3.0, 3.0, 3.0))
    x, y, z = positions(grid)
    image = np.where((x < -10) & (y > 10) & (z > 10), 100, 50).astype(
        np.float32
    )  # a mark left, in front, near the head
    view = SliceView.of(grid, orientation)
    level = largest_slice(view, [image == 100])
    picture = gray_picture(image, Frame.around(view, level, image > 0))[..., 0]
    # Coronal: the patient's left on the right. Sagittal: the front on the left.
    marked, other = (-1, 0) if orientation == "coronal" else (0, -1)
    assert view.sides == (("R", "L") if orientation == "coronal" else ("A", "P"))
    assert picture[8, marked] == 255
    assert picture[8, other] == picture[-8, marked] == picture[-8, other] == 0
    assert abs(view.slice_positions[level]) > 10
    assert view.level_at(view.slice_positions[level] + 1.4) == level
