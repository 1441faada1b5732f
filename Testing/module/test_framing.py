"""Slice views are zoomed to what the volume shows, not to its empty border."""

from __future__ import annotations

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.framing import content_corners, frame, largest_lesion_point


@pytest.fixture
def slice_node(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSliceNode")
    node.SetLayoutName("Framed")
    node.SetOrientation("Axial")
    return node


def ball(new_volume, matrix=None):
    """Content in voxels i 10..29, j 20..39, k 5..9 of a larger empty volume."""
    array = np.zeros((20, 60, 50), np.int16)
    array[5:10, 20:40, 10:30] = 7
    return new_volume("ball", array, matrix)


def test_content_is_the_box_of_non_zero_voxels(new_volume):
    matrix = np.diag([-2.0, -2.0, 3.0, 1.0])
    matrix[:3, 3] = (100, 50, -10)
    corners = content_corners(ball(new_volume, matrix))
    assert corners.max(axis=0).tolist() == pytest.approx([100 - 2 * 9.5, 50 - 2 * 19.5, -10 + 3 * 9.5])
    assert corners.min(axis=0).tolist() == pytest.approx([100 - 2 * 29.5, 50 - 2 * 39.5, -10 + 3 * 4.5])


def test_volume_without_background_counts_whole(new_volume):
    volume = new_volume("full", np.zeros((4, 5, 6), np.int16), np.eye(4))
    assert content_corners(volume).max(axis=0).tolist() == [5.5, 4.5, 3.5]


@pytest.mark.parametrize("size", [(200, 400), (400, 200)])
def test_view_just_holds_the_content_and_keeps_its_slice(slice_node, size):
    slice_node.SetDimensions(*size, 1)
    slice_node.SetSliceOffset(12.0)
    points = np.array([[-10.0, 30, 0], [50, 110, 40]])  # 60 mm wide, 80 mm tall, centered at (20, 70)
    frame(slice_node, points)
    width, height, _ = slice_node.GetFieldOfView()
    assert width / height == pytest.approx(size[0] / size[1])
    assert min(width / 60, height / 80) == pytest.approx(1.06)
    position = slicer.util.arrayFromVTKMatrix(slice_node.GetSliceToRAS())[:3, 3]
    assert position.tolist() == pytest.approx([20, 70, 12])
    assert slice_node.GetSliceOffset() == pytest.approx(12)


def test_largest_lesion_wins_over_several_small_ones_together():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[0, 0, ::2] = 1  # six voxels apart
    labels[5:8, 6, 7] = 2  # three in a row, i = 7, j = 6, k = 5..7
    matrix = np.diag([1.0, 2.0, 3.0, 1.0])
    matrix[:3, 3] = (10, 0, 0)
    assert largest_lesion_point(labels, matrix).tolist() == [17, 12, 18]


def test_point_of_a_ring_lies_on_the_ring():
    labels = np.zeros((3, 9, 9), np.uint8)
    labels[1, 1:8, 1:8] = 1
    labels[1, 2:7, 2:7] = 0
    i, j, k = (int(value) for value in largest_lesion_point(labels, np.eye(4)))
    assert labels[k, j, i]


def test_no_lesion_has_no_point():
    assert largest_lesion_point(np.zeros((2, 2, 2), np.uint8), np.eye(4)) is None
