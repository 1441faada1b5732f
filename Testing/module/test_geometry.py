"""Where volumes lie: flips, permutations, oblique axes and parent transforms, against SimpleITK's reading."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from DMAFSegmentLib.geometry import GeometryError, Grid, export_volume, overlap, volume_array, volume_grid


def rotation(axis, degrees):
    """Rotation matrix around an axis (Rodrigues)."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


def affine(directions, spacing=(1.0, 1.5, 3.0), origin=(12.0, -30.0, 7.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(directions) @ np.diag(spacing)
    matrix[:3, 3] = origin
    return matrix


DIRECTIONS = {
    "as stored": np.eye(3),
    "flipped": np.diag([-1, -1, 1]),
    "left-handed": np.diag([1, -1, 1]),
    "permuted": np.eye(3)[[2, 0, 1]],
    "oblique": rotation((1, 2, 3), 25),
    "oblique, permuted and flipped": rotation((3, 1, 0), 40)[:, [1, 2, 0]] * [-1, 1, 1],
}


def read_ras(path):
    """Array and IJK-to-RAS of a file as SimpleITK sees it."""
    image = sitk.ReadImage(str(path))
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) @ np.diag(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), np.diag([-1, -1, 1, 1]) @ lps


def put_under(scene, node, matrix):
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


@pytest.fixture
def array():
    return np.random.default_rng(3).integers(-500, 500, (4, 5, 6)).astype(np.int16)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_export_keeps_every_voxel_in_place(new_volume, array, tmp_path, name):
    matrix = affine(DIRECTIONS[name])
    export_volume(new_volume("v", array, matrix), tmp_path / "v.nrrd")
    voxels, found = read_ras(tmp_path / "v.nrrd")
    assert np.array_equal(voxels, array)
    assert np.allclose(found, matrix, atol=1e-9)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_export_honors_nested_transforms(scene, new_volume, array, tmp_path, name):
    matrix, inner, outer = affine(DIRECTIONS[name]), affine(rotation((0, 1, 1), 30), (1, 1, 1), (5, 0, 0)), np.eye(4)
    outer[:3, 3] = (0, 100, 0)
    node = new_volume("v", array, matrix)
    first = put_under(scene, node, inner)
    put_under(scene, first, outer)
    export_volume(node, tmp_path / "v.nrrd")
    voxels, found = read_ras(tmp_path / "v.nrrd")
    assert np.array_equal(voxels, array)
    assert np.allclose(found, outer @ inner @ matrix, atol=1e-9)


def test_export_keeps_a_sheared_grid(scene, new_volume, array, tmp_path):
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node = new_volume("v", array, affine(np.eye(3)))
    put_under(scene, node, shear)
    export_volume(node, tmp_path / "v.nrrd")
    assert np.allclose(read_ras(tmp_path / "v.nrrd")[1], shear @ affine(np.eye(3)), atol=1e-9)


@pytest.mark.parametrize("kind", ["uint8", "int8", "int16", "uint16", "int32", "float32", "float64"])
def test_export_keeps_values_of_every_type(new_volume, tmp_path, kind):
    values = np.arange(60).reshape(3, 4, 5).astype(kind)
    export_volume(new_volume("v", values), tmp_path / "v.nrrd")
    assert np.array_equal(read_ras(tmp_path / "v.nrrd")[0], values)


def test_export_is_uncompressed_and_leaves_the_scene_alone(scene, new_volume, tmp_path):
    node = new_volume("v")
    before = scene.GetNumberOfNodes()
    export_volume(node, tmp_path / "v.nrrd")
    assert b"encoding: raw" in (tmp_path / "v.nrrd").read_bytes()[:600]
    assert scene.GetNumberOfNodes() == before
    assert node.GetStorageNode() is None


def test_export_that_cannot_be_written_says_so(new_volume, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(GeometryError, match="could not be written"):
        export_volume(new_volume("v"), tmp_path / "file" / "v.nrrd")


def test_nonlinear_transform_is_refused(scene, new_volume, tmp_path):
    node = new_volume("Bent")
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(GeometryError, match=r'"Bent".*not linear'):
        volume_grid(node)


def test_volume_without_image_is_refused(scene):
    with pytest.raises(GeometryError, match='"Empty" holds no image'):
        volume_grid(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty"))


def test_array_is_a_copy(new_volume):
    node = new_volume("v", np.zeros((2, 2, 2), np.int16))
    array = volume_array(node)
    slicer.util.arrayFromVolume(node)[:] = 7
    assert array.max() == 0


def test_corners_and_voxel_volume_by_hand():
    grid = Grid((2, 3, 4), np.diag([1.0, 2.0, 5.0, 1.0]))
    corners = grid.corners()
    assert corners.min(axis=0) == pytest.approx([-0.5, -1.0, -2.5])
    assert corners.max(axis=0) == pytest.approx([1.5, 5.0, 17.5])
    assert grid.voxel_ml == pytest.approx(0.010)


def box(center, size=(10, 10, 10), turned=0.0):
    """Grid of 10 voxels a side that fills a box of ``size`` mm around ``center``."""
    axes = rotation((0, 0, 1), turned) @ np.diag(np.array(size) / 10)
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = np.array(center) - axes @ [4.5, 4.5, 4.5]
    return Grid((10, 10, 10), matrix)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (box((9.9, 0, 0)), True),
        (box((10.1, 0, 0)), False),
        (box((0, 0, -9.9)), True),
        # Turned by 45 degrees its half diagonal is 7.07 mm: corners reach out to x = 5 only from x < 12.07.
        (box((12.0, 0, 0), turned=45), True),
        (box((12.2, 0, 0), turned=45), False),
        # Its bounding box overlaps (it starts at x = 4.9), the body itself stays clear of the corner.
        (box((9.9, 9.9, 0), turned=45), False),
        (box((0, 0, 0), size=(1, 1, 100)), True),
        (box((0, 0, 0), size=(100, 100, 1)), True),
        (box((0, 0, 0), size=(2, 2, 2)), True),
    ],
)
def test_overlap(other, expected):
    assert overlap(box((0, 0, 0)), other) is expected
    assert overlap(other, box((0, 0, 0))) is expected


@st.composite
def placements(draw):
    """A grid anywhere: turned, mirrored, permuted, sheared (gantry tilt), with a nested pair of transforms above it."""
    angle, near = st.floats(-180, 180), st.floats(-1000, 1000)
    turn = rotation(draw(st.tuples(*[st.floats(0.1, 1)] * 3)), draw(angle))
    order = draw(st.permutations(range(3)))
    mirrored = turn[:, order] * draw(st.tuples(*[st.sampled_from((-1, 1))] * 3))
    matrix = affine(mirrored, draw(st.tuples(*[st.floats(0.2, 6)] * 3)), draw(st.tuples(near, near, near)))
    tilt = np.eye(4)
    tilt[1, 2] = draw(st.floats(-0.5, 0.5))
    parents = [affine(rotation((1, 1, 0), draw(angle)), (1, 1, 1), draw(st.tuples(near, near, near))) for _ in "ab"]
    scale = np.diag([draw(st.floats(0.5, 2)), 1.0, 1.0, 1.0])
    return matrix @ tilt, [parents[0], parents[1] @ scale]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(placement=placements())
def test_every_voxel_stays_in_place_wherever_the_volume_lies(scene, new_volume, array, tmp_path, placement):
    matrix, parents = placement
    scene.Clear(0)
    node = new_volume("v", array, matrix)
    inner = put_under(scene, node, parents[0])
    put_under(scene, inner, parents[1])
    export_volume(node, tmp_path / "v.nrrd")
    image = sitk.ReadImage(str(tmp_path / "v.nrrd"))
    world = parents[1] @ parents[0] @ matrix
    for index in [(0, 0, 0), (5, 0, 0), (0, 4, 0), (0, 0, 3), (5, 4, 3), (2, 3, 1)]:
        assert image.GetPixel(index) == array[index[::-1]]
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        assert np.abs(lps * (-1, -1, 1) - (world @ [*index, 1])[:3]).max() < 1e-4  # mm


def test_slicer_agrees_on_where_the_exported_voxels_are(scene, new_volume, array, tmp_path):
    node = new_volume("v", array, affine(DIRECTIONS["oblique, permuted and flipped"]))
    put_under(scene, node, affine(rotation((0, 1, 1), 30), (1, 1, 1), (5, 0, 0)))
    export_volume(node, tmp_path / "v.nrrd")
    again = slicer.util.loadVolume(str(tmp_path / "v.nrrd"))
    before, after = [0.0] * 6, [0.0] * 6
    node.GetRASBounds(before)
    again.GetRASBounds(after)
    assert np.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize(
    "axes",
    [
        np.diag([1.0, 1.0, 0.0]),  # no step along K
        np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]),  # K lies in the plane of I and J
        np.diag([1.0, 1.0, np.nan]),
    ],
)
def test_volume_without_thickness_is_refused(new_volume, axes):
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    with pytest.raises(GeometryError, match='"v" has no thickness along one of its axes'):
        volume_grid(new_volume("v", matrix=matrix))
