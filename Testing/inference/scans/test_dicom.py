"""DICOM series: found, put together from their tags, refused when they are not one volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_rig import SECRET_ID, SECRET_NAME, voxels, write_frames, write_series
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import grid_of
from DMAFTraining.inference.scans.dicom import find_series
from DMAFTraining.inference.scans.reading import read_scan

# 8 x 10 voxels of three bytes.
RGB = {
    **{"array": voxels((6, 8, 15)), "Columns": 10, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
    **{"PlanarConfiguration": 0, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
}
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)


def test_values_and_place_of_a_series_whatever_its_files_are_called(tmp_path: Path) -> None:
    # Series in which the file names, as often, count against the slices.
    write_series(tmp_path, voxels(), reverse_names=True, extension=".dcm")
    volume = read_scan(tmp_path).volume
    assert volume.source == str(tmp_path)
    assert volume.grid.size == (10, 8, 6)
    assert np.array_equal(volume.array, voxels().transpose(2, 1, 0))
    assert (volume.grid.ijk_to_ras @ [0, 0, 0, 1]).tolist() == pytest.approx([-1, -2, 3, 1])
    # One column to the right is 0.9 mm, one row down 0.8 mm, one slice up 3 mm; x and y of RAS point the other way.
    assert (volume.grid.ijk_to_ras @ [1, 1, 1, 1]).tolist() == pytest.approx([-1.9, -2.8, 6, 1])


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), OBLIQUE])
def test_oblique_series_lie_where_itk_puts_them(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    files = write_series(tmp_path, orientation=orientation)
    oracle = sitk.ReadImage([str(file) for file in files])
    volume = read_scan(tmp_path).volume
    assert volume.grid.same_as(grid_of(oracle))
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(oracle).transpose(2, 1, 0))


def test_every_slice_has_its_own_slope_and_intercept(tmp_path: Path) -> None:
    slopes = (1.0, 0.5, 0.25, 2.0, 1.5, 1.0)
    write_series(tmp_path, RescaleSlope=slopes, RescaleIntercept=-3)
    expected = voxels() * np.array(slopes)[:, None, None] - 3
    assert np.array_equal(read_scan(tmp_path).volume.array, expected.transpose(2, 1, 0).astype(np.float32))


def test_signed_values_stay_negative(tmp_path: Path) -> None:
    array = voxels().astype(np.int16) - 500
    write_series(tmp_path, array.view(np.uint16), PixelRepresentation=1)
    assert np.array_equal(read_scan(tmp_path).volume.array, array.transpose(2, 1, 0))


def _places(heights: list[float]) -> list[list[float]]:
    return [[1, 2, height] for height in heights]


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"positions": _places([0, 3, 6, 12, 15, 21])}, "it misses 2 of 8 slices."),
        ({"positions": _places([0, 3, 7, 9, 12, 15])}, "it has uneven gaps between its slices, from 2 to 4 mm."),
        ({"positions": _places([0, 0, 3, 3, 6, 6])}, "it has 6 images at only 3 positions: several echoes"),
        ({"positions": _places([5] * 6)}, "it has 6 images at only 1 positions"),
        # Each slice 3 mm up and 3 mm to the side: 45 degrees.
        ({"positions": [[3 * k, 2, 3 * k] for k in range(6)]}, r"(gantry tilt, 45.0 degrees)"),
        (
            {"ImageOrientationPatient": ([1, 0, 0, 0, 1, 0],) * 3 + ([1, 0, 0, 0, 0, 1],) * 3},
            "mixes images of several o",
        ),
        ({"PixelSpacing": ([1, 1],) * 5 + ([2, 2],)}, "mixes images of several voxel sizes"),
        ({"PixelSpacing": [0, 1]}, "voxel sizes that cannot be"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "orientations or voxel sizes that cannot be"),
        ({"ImagePositionPatient": None}, "does not tell where its images are in space"),
        (RGB, "holds color images"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "(a mosaic)"),
    ],
)
def test_what_is_not_one_volume_is_refused_in_a_sentence(tmp_path: Path, written: dict, sentence: str) -> None:
    write_series(tmp_path, SeriesDescription="T1", **written)
    with pytest.raises(InputError) as caught:
        read_scan(tmp_path)
    assert str(caught.value).startswith('The DICOM series "T1" cannot be used: it ')
    assert sentence in str(caught.value)
    assert caught.value.hint


def test_positions_may_be_rounded(tmp_path: Path) -> None:
    write_series(tmp_path, positions=_places([0, 3.02, 5.99, 9.01, 12, 15]))
    assert read_scan(tmp_path).volume.grid.spacing == pytest.approx((0.9, 0.8, 3.0))


def test_images_of_several_sizes_and_single_ones_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "a", voxels((3, 8, 8)), SeriesInstanceUID="1.2.3")
    write_series(tmp_path / "b", voxels((3, 9, 9)), SeriesInstanceUID="1.2.3", origin=(1, 2, 12))
    with pytest.raises(InputError, match="mixes images of 2 sizes"):
        read_scan(tmp_path)
    with pytest.raises(InputError, match="has a single image") as caught:
        read_scan(write_series(tmp_path / "c")[0])
    assert "the folder" in caught.value.hint


def test_damaged_and_other_files_beside_the_series(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "deep" / "er", SeriesDescription="T1")
    good = write_series(tmp_path / "other")[0].read_bytes()
    for file in (tmp_path / "other").iterdir():
        file.unlink()
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    (tmp_path / "DICOMDIR").write_bytes(good[:200])
    (tmp_path / ".hidden.dcm").write_bytes(good)
    (tmp_path / "cut.dcm").write_bytes(good[:150])
    scan = read_scan(tmp_path)
    assert scan.volume.grid.size == (10, 8, 6)
    (warning,) = scan.warnings
    assert warning[0] == "dicom"
    assert warning[1].startswith('1 DICOM file(s) beside the DICOM series "T1"')
    assert capfd.readouterr().err == ""


def test_voxels_that_are_cut_off_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (series,) = find_series(write_series(tmp_path)[0].parent).series
    file = series.files[2]
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InputError):
        read_scan(series)
    assert capfd.readouterr().err == ""


def test_an_image_that_lies_there_twice_counts_once(tmp_path: Path) -> None:
    for file in write_series(tmp_path / "a"):
        (tmp_path / f"copy of {file.name}").write_bytes(file.read_bytes())
    assert read_scan(tmp_path).volume.grid.size == (10, 8, 6)


def test_letters_of_western_europe(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SpecificCharacterSet="ISO_IR 100", SeriesDescription="T1 Schädel")
    write_series(tmp_path / "b", SpecificCharacterSet="ISO_IR 192", SeriesDescription="T2 Schädel")
    assert sorted(series.description for series in find_series(tmp_path).series) == ["T1 Schädel", "T2 Schädel"]


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 3, 1, 4, 2, 5]])
def test_frames_of_an_enhanced_image_in_any_order(tmp_path: Path, order: list[int], implicit: bool) -> None:
    # GDCM alone gives the third order voxels of 1 mm without a word.
    path = write_frames(tmp_path / "image", voxels()[order], [3 * k for k in order], implicit=implicit)
    for source in (tmp_path, path):
        volume = read_scan(source).volume
        assert volume.grid.spacing == pytest.approx((0.9, 0.8, 3.0))
        assert (volume.grid.ijk_to_ras @ [0, 0, 0, 1]).tolist() == pytest.approx([-1, -2, 0, 1])
        assert np.array_equal(volume.array, voxels().transpose(2, 1, 0) * 2.0 + 1)


@pytest.mark.parametrize(
    ("heights", "options", "sentence"),
    [
        ([0, 3, 6, 0, 3, 6], {}, "6 images at only 3 positions"),
        ([0, 3, 6, 9, 12, 18], {}, "misses 1 of 7 slices"),
        ([0, 3, 6, 9, 12], {}, "does not tell where each frame is"),
        ([0, 3, 6, 9, 12, 15], {"slopes": [1, 1, 1, 1, 1, 2]}, "frames have values of different scale"),
    ],
)
def test_frames_that_are_not_one_volume_are_refused(
    tmp_path: Path, heights: list[float], options: dict, sentence: str
) -> None:
    write_frames(tmp_path / "image", voxels(), heights, **options)
    with pytest.raises(InputError, match=sentence):
        read_scan(tmp_path)


def test_nothing_tells_who_the_patient_is(tmp_path: Path) -> None:
    folder = tmp_path / "case"
    write_series(folder / SECRET_NAME, positions=_places([0, 3, 6, 12, 15, 21]), SeriesDescription="T1")
    (series,) = find_series(folder).series
    with pytest.raises(InputError) as caught:
        read_scan(series)
    for secret in (SECRET_NAME, SECRET_ID):
        assert secret not in str(caught.value) + caught.value.hint
