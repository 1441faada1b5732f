"""Headers that are not quite right: repaired with a warning where that is safe, else refused."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from dicom_rig import voxels
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Volume, read_volume
from DMAFTraining.inference.nifti import read_nifti_header
from DMAFTraining.inference.scans.reading import read_scan

ARRAY = voxels((20, 30, 40)).transpose(2, 1, 0).astype(np.int16)
SIZES, QUATERNION = (76, "<8f"), (256, "<3f")
AFFINE = np.array([[-1.0, 0, 0, 10], [0, -2.0, 0, 20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


def write(path: Path, sform: np.ndarray | None, qform: np.ndarray | None = None, **fields: tuple) -> Path:
    """Write ``ARRAY`` with these places; ``fields`` are (place and layout, values) put over the header."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(ARRAY.shape)
    header["vox_offset"] = 352
    header.set_zooms((1, 2, 3))
    header.set_qform(qform, code=1 if qform is not None else 0)
    header.set_sform(sform, code=1 if sform is not None else 0)
    data = bytearray(header.binaryblock + bytes(4) + ARRAY.tobytes(order="F"))
    for (at, layout), values in fields.values():
        struct.pack_into(layout, data, at, *values)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def sizes(i: float, j: float, k: float) -> tuple:
    return SIZES, (1, i, j, k, 1, 1, 1, 1)


def read(path: Path, *words: str) -> Volume:
    """The volume of a file whose warnings, each a sentence, hold these words."""
    scan = read_scan(path)
    assert [code for code, _ in scan.warnings] == ["header"] * len(words)
    for (_, sentence), wanted in zip(scan.warnings, words, strict=True):
        assert wanted in sentence
        assert sentence.startswith(path.name)
    assert np.array_equal(scan.volume.array, ARRAY)
    assert scan.volume.source == str(path)
    return scan.volume


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("axes", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_flipped_and_left_handed_axes_need_no_repair(tmp_path: Path, name: str, axes: tuple[int, ...]) -> None:
    affine = AFFINE @ np.diag([*axes, 1])
    path = write(tmp_path / name, affine, affine)
    assert np.allclose(read(path).grid.ijk_to_ras, affine, atol=1e-5)
    assert np.array_equal(read_volume(path).grid.ijk_to_ras, read(path).grid.ijk_to_ras)


def test_slightly_sheared_axes_are_put_right(tmp_path: Path) -> None:
    # 0.002 over an edge of 2 mm: ITK refuses the file. Half of the angle goes to each of the two axes.
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.002
    path = write(tmp_path / "a.nii.gz", sheared)
    with pytest.raises(InputError, match="orthonormal"):
        read_volume(path)
    matrix = read(path, "axes not quite at right angles").grid.ijk_to_ras
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert axes[0, 1] == pytest.approx(0.0005, rel=1e-3)
    assert np.linalg.norm(matrix[:3, :3], axis=0) == pytest.approx([1, 2, 3], rel=1e-5)
    assert matrix[:3, 3] == pytest.approx([10, 20, 30])


def test_a_sheared_matrix_gives_way_to_the_scanner_position(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.4
    path = write(tmp_path / "a.nii", sheared, AFFINE)
    volume = read(path, "matrix (sform) without right angles; its scanner position (qform) is used")
    assert np.allclose(volume.grid.ijk_to_ras, AFFINE, atol=1e-5)
    with pytest.raises(InputError, match="whose axes are not at right angles"):
        read_scan(write(tmp_path / "b.nii", sheared))


@pytest.mark.parametrize("bad", [0.0, -2.0, np.nan, np.inf])
def test_voxel_sizes_come_from_the_matrix_when_their_field_is_wrong(tmp_path: Path, bad: float) -> None:
    path = write(tmp_path / "a.nii", AFFINE, sizes=sizes(1, bad, 3))
    volume = read(path, "wrong voxel sizes in its header (1 x ")
    assert np.allclose(volume.grid.ijk_to_ras, AFFINE)


def test_sizes_that_were_never_set_come_from_the_matrix(tmp_path: Path) -> None:
    # ITK takes the 1 mm of the field and the matrix for the directions alone.
    path = write(tmp_path / "a.nii", AFFINE, sizes=sizes(1, 1, 1))
    assert read_volume(path).grid.spacing == (1, 1, 1)
    assert read(path, "they are taken from its matrix (sform)").grid.spacing == pytest.approx((1, 2, 3))


def test_two_different_voxel_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 x 1 x 1 mm \(qform\) and 1 x 2 x 3 mm \(sform\)"):
        read_scan(write(tmp_path / "a.nii", AFFINE, AFFINE, sizes=sizes(1, 1, 1)))


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_unknown_voxel_sizes_are_refused(tmp_path: Path, bad: float) -> None:
    with pytest.raises(InputError, match="does not tell its voxel size"):
        read_scan(write(tmp_path / "a.nii", None, sizes=sizes(1, bad, 3)))
    with pytest.raises(InputError, match="has a position in space that cannot be"):
        read_scan(write(tmp_path / "b.nii", None, AFFINE, sizes=sizes(1, bad, 3)))


def test_negative_sizes_beside_an_orientation_lose_their_sign(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", None, AFFINE, sizes=sizes(1, -2, 3))
    assert np.allclose(read(path, "without their sign").grid.ijk_to_ras, AFFINE, atol=1e-5)


@pytest.mark.parametrize("signs", [(1, 1, 1), (1, -1, 1)])
def test_a_missing_position_is_guessed_with_a_warning(tmp_path: Path, signs: tuple[int, ...]) -> None:
    stored = np.array([1, 2, 3]) * signs
    path = write(tmp_path / "a.nii", None, sizes=sizes(*stored))
    words = ["orientation, left and right included, is guessed"] + ["without their sign"] * (min(signs) < 0)
    assert np.array_equal(read(path, *words).grid.ijk_to_ras, np.diag([-1.0, -2, 3, 1]))


def test_positions_that_disagree_are_told(tmp_path: Path) -> None:
    other = AFFINE.copy()
    other[0, 3] += 50
    read(write(tmp_path / "a.nii", AFFINE, other), "two different things about where it is in space, up to 50 mm apart")
    other[0, 3] = AFFINE[0, 3] + 0.1
    read(write(tmp_path / "b.nii", AFFINE, other))


def test_positions_that_are_no_numbers_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = AFFINE.copy()
    broken[0, 0] = np.nan
    with pytest.raises(InputError, match="has a position in space that cannot be"):
        read_scan(write(tmp_path / "a.nii", broken))
    with pytest.raises(InputError, match="has a position in space that cannot be"):
        read_scan(write(tmp_path / "b.nii", None, AFFINE, quaternion=(QUATERNION, (np.nan, 0, 0))))
    assert capfd.readouterr().err == ""
    assert np.allclose(read(write(tmp_path / "c.nii", broken, AFFINE), "qform").grid.ijk_to_ras, AFFINE, atol=1e-5)


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_sheared_axes_of_other_formats(tmp_path: Path, extension: str) -> None:
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0))
    for shear, path in ((0.002, tmp_path / f"a{extension}"), (0.2, tmp_path / f"b{extension}")):
        image.SetDirection((1, shear, 0, 0, 1, 0, 0, 0, 1))
        sitk.WriteImage(image, str(path))
    matrix = read(tmp_path / f"a{extension}", "axes not quite at right angles").grid.ijk_to_ras[:3, :3]
    assert np.allclose(matrix.T @ matrix, np.diag(np.linalg.norm(matrix, axis=0) ** 2), atol=1e-9)
    with pytest.raises(InputError, match="whose axes are not at right angles"):
        read_scan(tmp_path / f"b{extension}")


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_one_time_point_is_taken_and_several_are_refused(tmp_path: Path, extension: str) -> None:
    image = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0))
    image.SetSpacing((1, 2, 3))
    one, two = tmp_path / f"one{extension}", tmp_path / f"two{extension}"
    sitk.WriteImage(sitk.JoinSeries([image]), str(one))
    sitk.WriteImage(sitk.JoinSeries([image, image]), str(two))
    assert read(one, "has 4 dimensions (40 x 30 x 20 x 1)").grid.spacing == pytest.approx((1, 2, 3))
    with pytest.raises(InputError, match="is not a 3-D image") as caught:
        read_scan(two)
    assert caught.value.hint == "Give one of its volumes."


def test_color_and_complex_images_are_refused(tmp_path: Path) -> None:
    plain = sitk.GetImageFromArray(ARRAY.transpose(2, 1, 0).astype(np.float32))
    sitk.WriteImage(sitk.RealAndImaginaryToComplex(plain, plain), str(tmp_path / "complex.nii"))
    sitk.WriteImage(sitk.Compose(plain, plain, plain), str(tmp_path / "color.mha"))
    with pytest.raises(InputError, match="holds complex numbers"):
        read_scan(tmp_path / "complex.nii")
    with pytest.raises(InputError, match="has 3 values per voxel"):
        read_scan(tmp_path / "color.mha")


def test_damage_is_found_in_files_that_need_repair_too(tmp_path: Path) -> None:
    packed = write(tmp_path / "a.nii.gz", AFFINE, sizes=sizes(1, 0, 3))
    packed.write_bytes(packed.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"a.nii.gz is cut off or damaged"):
        read_scan(packed)
    path = write(tmp_path / "a.nii", AFFINE, sizes=sizes(1, 0, 3))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"a.nii is cut off: 47990 of 48000 bytes"):
        read_scan(path)
    with pytest.raises(InputError, match="There is no image at"):
        read_scan(tmp_path / "absent.nii")


@pytest.mark.parametrize("order", ["<", ">"])
def test_headers_of_both_byte_orders(tmp_path: Path, order: str) -> None:
    turned = AFFINE.copy()
    angle = np.radians(30)
    turned[:2, :2] = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [1, 2]
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.int16)
    image = nibabel.Nifti1Image(ARRAY, turned, header)
    image.set_qform(turned, code=1)
    path = tmp_path / "a.nii.gz"
    nibabel.save(image, path)
    found = read_nifti_header(path)
    assert found is not None
    assert (found.order, found.size, found.voxel_bytes) == (order, ARRAY.shape, 2)
    assert found.spacing == pytest.approx((1, 2, 3))
    assert np.allclose(found.sform, turned, atol=1e-5)
    assert np.allclose(found.qform, turned, atol=1e-5)
    assert np.allclose(read(path).grid.ijk_to_ras, turned, atol=1e-5)
