"""Grids, reading with checks, and resampling between any two grids."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, axis_aligned_grid, grid_of, read_volume, to_image
from tiny import oblique_grid


def test_itk_position_is_turned_from_lps_to_ras() -> None:
    image = sitk.Image(4, 5, 6, sitk.sitkFloat32)
    image.SetOrigin((10, 20, 30))
    image.SetSpacing((1, 2, 3))
    grid = grid_of(image)
    assert (grid.ijk_to_ras @ [1, 1, 1, 1]).tolist() == [-11, -22, 33, 1]
    assert grid.spacing == (1, 2, 3)
    assert grid.voxel_ml == pytest.approx(0.006)


@given(st.tuples(*[st.floats(-40, 40)] * 3), st.tuples(*[st.floats(0.5, 3)] * 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_image_and_grid_are_inverse(angles: tuple[float, ...], spacing: tuple[float, ...], flip: bool) -> None:
    grid = oblique_grid((3, 4, 5), angles, spacing, flip)
    array = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    image = to_image(array, grid)
    assert np.allclose(grid_of(image).ijk_to_ras, grid.ijk_to_ras, atol=1e-9)
    assert image[2, 3, 4] == array[2, 3, 4]


def test_axis_aligned_grid_covers_the_box_with_voxel_centers() -> None:
    grid = axis_aligned_grid(np.array([-10.0, 0, 5]), np.array([11.0, 4, 9]), (2, 2, 2))
    corners = grid.corners()
    assert grid.size == (12, 3, 3)
    assert (corners.min(0) <= [-10, 0, 5]).all()
    assert (corners.max(0) >= [11, 4, 9]).all()


def test_same_grid_tolerates_a_tenth_of_a_voxel() -> None:
    a = oblique_grid((10, 10, 10), (0, 0, 0), (1, 1, 1), 0)
    moved = a.ijk_to_ras.copy()
    moved[0, 3] += 0.05
    assert a.same_as(Grid(a.size, moved))
    moved[0, 3] += 0.1
    assert not a.same_as(Grid(a.size, moved))
    assert not a.same_as(Grid((10, 10, 9), a.ijk_to_ras))


def _write(path: Path, array: np.ndarray, vector: bool = False) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))
    return path


def test_reading_refuses_with_a_sentence(tmp_path: Path) -> None:
    ball = np.random.default_rng(0).random((8, 9, 10)).astype(np.float32)
    nan = ball.copy()
    nan[1, 2, 3] = np.nan
    (tmp_path / "text.nii.gz").write_text("not an image", encoding="utf-8")
    good = _write(tmp_path / "good.nii.gz", ball).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(good[: len(good) // 2])
    whole = _write(tmp_path / "whole.nii", ball).read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[: len(whole) // 2])
    cases = {
        tmp_path / "absent.nii.gz": "There is no image at",
        tmp_path / "text.nii.gz": "cannot be read as an image",
        tmp_path / "cut.nii.gz": "is cut off or damaged",
        tmp_path / "cut.nii": r"is cut off: 1264 of 2880 bytes of voxels",
        _write(tmp_path / "flat.mha", ball[0]): r"is not a 3-D image \(its size is 10 x 9\)",
        _write(tmp_path / "slice.nii.gz", ball[:1]): r"is not a 3-D image \(its size is 10 x 9 x 1\)",
        _write(tmp_path / "nan.nii.gz", nan): r"1 voxel\(s\) that are not numbers",
        _write(tmp_path / "zero.nii.gz", np.zeros((4, 4, 4), np.int16)): "is empty: every voxel has the value 0",
        _write(tmp_path / "rgb.nrrd", np.ones((4, 4, 4, 3), np.float32), vector=True): "has 3 values per voxel",
        _write(tmp_path / "4d.nii.gz", np.ones((2, 4, 4, 4), np.float32)): "is not a 3-D image",
    }
    for path, sentence in cases.items():
        with pytest.raises(InputError) as caught:
            read_volume(path)
        assert re.search(sentence, str(caught.value)), path.name


def test_reading_keeps_values_and_axes(tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), np.int16)  # z, y, x in ITK's order
    array[1, 2, 3] = 7
    volume = read_volume(_write(tmp_path / "a.nii.gz", array))
    assert volume.grid.size == (6, 5, 4)
    assert volume.array[3, 2, 1] == 7
