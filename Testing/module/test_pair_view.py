"""Two results and their difference, on rendered pixels: each view shows its own and no other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import PREFIX
from DMAFSegmentLib.captions import captions
from DMAFSegmentLib.comparison import Cell
from DMAFSegmentLib.difference import COLORS, EVERYTHING, DifferenceOverlay, ResultPair
from DMAFSegmentLib.pair_view import PAIR_LAYOUT_ID, TAG_A, TAG_B, TAG_THIRD, PairView, default_pair
from results_rig import node_ids

SIZE = (900, 300)
RED, GREEN = (255, 0, 0), (0, 255, 0)
SHOWN_COLORS = {"A": RED, "B": GREEN, **COLORS}


@pytest.fixture
def layout_node(host):
    return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


@pytest.fixture
def pair(scene, new_volume, layout_node):
    """The three views of a red box A and a green box B that overlap by half; A lies at larger i: right of B."""
    volume = new_volume("t1", np.full((16, 20, 24), 10, np.int16))
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(1000, 500)
    cells = []
    for title, color, start in (("A", RED, 8), ("B", GREEN, 4)):
        labels = np.zeros((16, 20, 24), np.uint8)
        labels[4:12, 6:14, start : start + 8] = 1
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title)
        node.CreateDefaultDisplayNodes()
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        node.GetSegmentation().AddEmptySegment("label_1", "a", [part / 255 for part in color])
        slicer.util.updateSegmentBinaryLabelmapFromArray(labels, node, "label_1", volume)
        node.SetNodeReferenceID(PREFIX + "Reference", volume.GetID())
        node.GetDisplayNode().SetOpacity2DFill(1.0)
        cells.append(Cell(title, node, volume))
    results = ResultPair(*(cell.segmentation for cell in cells))
    overlay = DifferenceOverlay(scene)
    node = overlay.make(results, EVERYTHING, *(cell.segmentation for cell in cells))
    node.GetDisplayNode().SetOpacity2DFill(1.0)
    node.GetDisplayNode().SetAllSegmentsOpacity2DFill(1.0)
    view = PairView(scene, slicer.app.applicationLogic(), layout_node)
    view.show(*cells, node, results.focus(EVERYTHING))
    yield view
    view.hide()
    overlay.remove()


def shares(host, tag):
    """Fraction of the pixels of a view near each color."""
    picture = host.render_layout(SIZE).astype(int)
    x0, _, x1, _ = host.layout_cells()[tag]
    part = picture[:, round(x0 * SIZE[0]) : round(x1 * SIZE[0])]
    return {name: float((np.abs(part - color).max(axis=-1) < 40).mean()) for name, color in SHOWN_COLORS.items()}


def shown_in(host, tag):
    """Names of the colors that are there, text and rims aside."""
    return {name for name, share in shares(host, tag).items() if share > 0.01}


def test_each_view_shows_its_own(rendering, pair):
    assert list(rendering.layout_cells()) == [TAG_A, TAG_B, TAG_THIRD]
    assert shown_in(rendering, TAG_A) == {"A"}
    assert shown_in(rendering, TAG_B) == {"B"}
    assert shown_in(rendering, TAG_THIRD) == set(COLORS)


def test_the_parts_are_equally_large_and_where_the_boxes_are(rendering, pair):
    """Each box is two halves: only B, both, only A, from left to right."""
    found = shares(rendering, TAG_THIRD)
    assert [found[kind] for kind in COLORS] == pytest.approx([found["only_a"]] * 3, rel=0.2)
    picture = rendering.render_layout(SIZE).astype(int)[:, 600:]
    columns = {
        kind: np.argwhere(np.abs(picture - color).max(axis=-1) < 40)[:, 1].mean() for kind, color in COLORS.items()
    }
    assert columns["only_b"] < columns["both"] < columns["only_a"]


def test_labels_name_a_and_b(pair):
    nodes = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag}") for tag in (TAG_A, TAG_B, TAG_THIRD)]
    assert [node.GetLayoutLabel() for node in nodes] == ["A: A", "B: B", "Orange: only A. Blue: only B. Purple: both."]
    pair.swap()
    assert nodes[2].GetLayoutLabel() == "A: A"


def test_flicker_shows_one_and_the_other_in_the_third_view(rendering, pair):
    for name in ("A", "B", "A"):
        pair.swap()
        assert shown_in(rendering, TAG_THIRD) == {name}
        assert shown_in(rendering, TAG_A) == {"A"}
        assert shown_in(rendering, TAG_B) == {"B"}
    pair.show_difference()
    assert shown_in(rendering, TAG_THIRD) == set(COLORS)


def test_a_jump_moves_these_views_and_no_other(host, pair):
    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed")
    before = red.GetSliceOffset()
    pair.stage.jump((3.0, -5.0, 7.0))
    for tag in (TAG_A, TAG_B, TAG_THIRD):
        node = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag}")
        assert [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)] == pytest.approx([3, -5, 7])
    assert red.GetSliceOffset() == before


def test_leaving_brings_layout_and_displays_back(scene, layout_node, pair):
    assert layout_node.GetViewArrangement() == PAIR_LAYOUT_ID
    pair.swap()
    pair.hide()
    assert layout_node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
    displays = [slicer.util.getNode(name).GetDisplayNode() for name in ("A", "B")]
    assert [bool(display.GetVisibility()) for display in displays] == [True, True]
    assert [display.GetViewNodeIDs() for display in displays] == [(), ()]
    assert pair.segmentations() == {}
    assert node_ids(scene)


# -- names and defaults -------------------------------------------------------------------------------


@pytest.fixture
def results(scene):
    """Makes nodes with attributes as a run writes them: title -> mean Dice."""

    def build(dice):
        nodes = []
        for title, value in dice.items():
            node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title)
            node.SetAttribute(PREFIX + "Title", title)
            node.SetAttribute(PREFIX + "Subset", title.lower())
            node.SetAttribute(PREFIX + "DiceToFullest", json.dumps({"WT": value, "ET": value}))
            nodes.append(node)
        return nodes

    return build


def test_captions_say_what_is_absent(results):
    nodes = results({"T1+FLAIR+T2": 1, "FLAIR+T2": 1, "T1": 1})
    assert captions(nodes) == ["T1+FLAIR+T2 (all)", "FLAIR+T2 (without T1)", "T1 (without FLAIR, T2)"]
    assert captions([]) == []


@pytest.mark.parametrize(
    ("dice", "second"),
    [
        ({"A+B+C": 1, "A+B": 0.9, "A+C": 0.5, "B+C": 0.7, "A": 0.1}, "A+C"),
        ({"A+B+C": 1, "A": 0.8, "B": 0.2}, "A"),
        ({"A": 0.3, "A+B": 1.0}, "A"),
    ],
)
def test_default_pair_is_the_fullest_and_that_without_what_matters_most(results, dice, second):
    nodes = results(dice)
    titles = [node.GetAttribute(PREFIX + "Title") for node in nodes]
    first, other = default_pair(nodes)
    assert titles[first] == max(titles, key=len)
    assert titles[other] == second
