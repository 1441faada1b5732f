"""The picture that shows whether two scans lie on each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.scans.alignment_picture import side_by_side, write_picture

SIZE = (40, 60, 50)


def scan(bright: tuple[slice, slice, slice]) -> Volume:
    """A block of 100 in a head of 50 (1 mm, RAS), with a bright part."""
    array = np.zeros(SIZE, np.float32)
    array[5:35, 5:55, 5:45] = 50
    array[bright] = 100
    return Volume(array, Grid(SIZE, np.eye(4)))


def test_three_planes_of_both_scans_and_a_checkerboard() -> None:
    both = scan((slice(20, 35), slice(5, 55), slice(5, 45)))  # the right half
    picture = side_by_side(both, both, np.eye(4))
    _, length, height = SIZE  # the head and 5 mm on each side, found on voxels of 4 mm
    assert abs(picture.shape[0] - (2 * height + length)) <= 12
    assert abs(picture.shape[1] - 3 * length) <= 12
    assert (picture.dtype, picture.max()) == (np.uint8, 255)


def test_the_patients_right_is_on_the_left() -> None:
    picture = side_by_side(*(scan((slice(20, 35), slice(5, 55), slice(5, 45))),) * 2, np.eye(4))
    coronal = picture[picture.shape[0] // 2 - 10 : picture.shape[0] // 2, : SIZE[0]]
    assert coronal[:, :20].mean() > 1.3 * coronal[:, 20:].mean()


def test_the_checkerboard_of_equal_scans_is_the_scan_and_of_shifted_ones_is_not() -> None:
    fixed = scan((slice(5, 35), slice(5, 30), slice(5, 45)))
    shift = np.eye(4)
    shift[1, 3] = 10
    for matrix, alike in ((np.eye(4), True), (shift, False)):
        picture = side_by_side(fixed, fixed, matrix)
        width = picture.shape[1] // 3
        first, second, mixed = (picture[:40, n * width : (n + 1) * width] for n in range(3))
        assert np.array_equal(first, second) is alike
        assert np.array_equal(first, mixed) is alike


def test_a_matrix_moves_the_moving_scan_only() -> None:
    fixed = scan((slice(5, 35), slice(5, 30), slice(5, 45)))
    shift = np.eye(4)
    shift[1, 3] = 10
    still, away = (side_by_side(fixed, fixed, matrix) for matrix in (np.eye(4), shift))
    width = still.shape[1] // 3
    assert np.array_equal(still[:40, :width], away[:40, :width])


def test_written_as_a_png_of_the_same_gray_values(tmp_path: Path) -> None:
    picture = np.arange(200, dtype=np.uint8).reshape(10, 20)
    write_picture(tmp_path / "a.png", picture)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png"))), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
