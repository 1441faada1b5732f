"""What two results disagree on: counted by hand, at the right place, in colors that everybody can tell apart."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import PREFIX
from DMAFSegmentLib.difference import BOTH, COLORS, EVERYTHING, ONLY_A, ONLY_B, DifferenceOverlay, ResultPair
from DMAFSegmentLib.label_map import merged_labels
from results_rig import node_ids

# Machado, Oliveira and Fernandes (2009), severity 1: what linear RGB looks like to people without one kind of cone.
COLOR_VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(axis=1)


@pytest.fixture
def result(scene, new_volume):
    """Makes results on one volume of 2 mm voxels (8 mm3), from boxes (label -> slices [k, j, i])."""
    volume = new_volume("t1")

    def build(boxes, regions=None):
        labels = np.zeros((16, 20, 24), np.uint8)
        for value, box in boxes.items():
            labels[box] = value
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "result")
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for value in (1, 2):
            node.GetSegmentation().AddEmptySegment(f"label_{value}", f"label {value}")
            part = (labels == value).astype(np.uint8)
            slicer.util.updateSegmentBinaryLabelmapFromArray(part, node, f"label_{value}", volume)
        node.SetNodeReferenceID(PREFIX + "Reference", volume.GetID())
        if regions:
            node.SetAttribute(PREFIX + "RegionSegments", json.dumps(regions))
        return node

    return build


REGIONS = {"ALL": ["label_1", "label_2"], "ONE": ["label_1"]}
BOX_A = {2: np.s_[4:8, 4:8, 4:8], 1: np.s_[4:6, 4:8, 4:8]}  # 64 voxels, 32 of them label 1
BOX_B = {2: np.s_[4:8, 4:8, 6:11]}  # 80 voxels, 32 of them inside A


def test_merged_labels_are_the_array_and_its_place(result):
    labels = merged_labels(result(BOX_A))
    assert labels.values.shape == (16, 20, 24)
    assert labels.mask(["label_1"]).sum() == 32
    assert labels.mask(["label_2"]).sum() == 32
    assert labels.mask().sum() == 64
    assert labels.ijk_to_ras.tolist() == [[-2, 0, 0, 24], [0, -2, 0, 20], [0, 0, 2, -16], [0, 0, 0, 1]]


def test_labels_under_a_transform_lie_where_they_are_seen(scene, result):
    node = result(BOX_A)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = slicer.util.vtkMatrixFromArray(np.array([[1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    transform.SetMatrixTransformToParent(matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert merged_labels(node).ijk_to_ras[:3, 3].tolist() == [31, 20, -16]


def test_volumes_by_hand(result):
    pair = ResultPair(result(BOX_A, REGIONS), result(BOX_B, REGIONS))
    assert list(pair.regions) == ["ALL", "ONE"]
    assert pair.volumes_ml("ALL") == pytest.approx({ONLY_A: 32 * 0.008, ONLY_B: 48 * 0.008, BOTH: 32 * 0.008})
    assert pair.volumes_ml("ONE") == pytest.approx({ONLY_A: 32 * 0.008, ONLY_B: 0, BOTH: 0})


def test_places_are_the_largest_first_and_lie_in_the_difference(result):
    pair = ResultPair(result(BOX_A, REGIONS), result(BOX_B, REGIONS))
    places = pair.places()
    assert [(place.region, place.kind) for place in places] == [("ALL", ONLY_B), ("ALL", ONLY_A), ("ONE", ONLY_A)]
    assert [place.volume_ml for place in places] == pytest.approx([0.384, 0.256, 0.256])
    to_ijk = np.linalg.inv(merged_labels(result(BOX_A)).ijk_to_ras)
    i, j, k, _ = np.rint(to_ijk @ [*places[0].center, 1]).astype(int)
    assert (i in range(8, 11), j in range(4, 8), k in range(4, 8)) == (True, True, True)


def test_results_that_do_not_say_their_regions_are_compared_whole(result):
    pair = ResultPair(result(BOX_A), result(BOX_B))
    assert pair.regions == {EVERYTHING: "Everything"}
    assert pair.volumes_ml(EVERYTHING)[BOTH] == pytest.approx(0.256)


def test_equal_results_have_no_place_and_are_looked_at_where_they_are(result):
    pair = ResultPair(result(BOX_A, REGIONS), result(BOX_A, REGIONS))
    assert pair.places() == []
    assert pair.focus("ALL").mask.sum() == 64


def test_views_open_at_the_difference_in_the_region(result):
    pair = ResultPair(result(BOX_A, REGIONS), result(BOX_B, REGIONS))
    assert pair.focus("ALL").mask.sum() == 32 + 48
    assert pair.focus("ONE").mask.sum() == 32


def test_results_on_other_grids_are_refused(scene, result, new_volume):
    first, second = result(BOX_A), result(BOX_B)
    other = new_volume("other", np.zeros((4, 4, 4), np.int16))
    second.SetReferenceImageGeometryParameterFromVolumeNode(other)
    with pytest.raises(ValueError, match="same grid"):
        ResultPair(first, second)


def test_the_overlay_holds_the_three_parts_and_leaves_nothing(scene, result):
    first, second = result(BOX_A, REGIONS), result(BOX_B, REGIONS)
    pair, overlay, before = ResultPair(first, second), DifferenceOverlay(scene), node_ids(scene)
    node = overlay.make(pair, "ALL", first, second)
    labels = merged_labels(node)
    assert [int(labels.mask([kind]).sum()) for kind in COLORS] == [32, 48, 32]
    overlay.fill(pair, "ONE", first.GetNodeReference(PREFIX + "Reference"))
    labels = merged_labels(node)
    assert [int(labels.mask([kind]).sum()) for kind in COLORS] == [32, 0, 0]
    assert node.GetHideFromEditors()
    assert not node.GetSaveWithScene()
    overlay.make(pair, "ALL", second, first)
    assert len(node_ids(scene)) == len(before) + 2, "the first overlay is gone: one node and its display"
    overlay.remove()
    assert node_ids(scene) == before


def lab(color):
    """CIE L*a*b* of linear RGB."""
    scaled = XYZ @ np.clip(color, 0, 1) / WHITE
    x, y, z = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", COLOR_VISION)
def test_colors_are_far_apart_for_everybody(vision):
    """2.3 is just noticeable; 20 is a clear difference of small areas."""
    linear = {kind: (np.array(color) / 255) ** 2.2 for kind, color in COLORS.items()}
    seen = {kind: lab(np.array(COLOR_VISION[vision]) @ color) for kind, color in linear.items()}
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 20, f"{one} and {other}"


def test_the_measure_of_color_vision_finds_red_and_green_alike():
    """The check above could not fail otherwise."""
    red, green = (lab(np.array(COLOR_VISION["deuteranopia"]) @ c) for c in ([0.30, 0.02, 0.01], [0.09, 0.13, 0.01]))
    assert np.linalg.norm(red - green) < 20 < np.linalg.norm(lab([0.30, 0.02, 0.01]) - lab([0.09, 0.13, 0.01]))
