"""Layouts and pictures: the right pixels in the right cell."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import slicer

from host.layout import cells_of

PAIR = 7402
VIEW = """<item><view class="vtkMRMLSliceNode" singletontag="{tag}">
 <property name="orientation" action="default">Axial</property>
 <property name="viewlabel" action="default">{label}</property>
 <property name="viewgroup" action="default">7</property></view></item>"""
SIZE = (400, 200)  # width, height: two square cells
GRAY, RED, WHITE, BLACK = (63, 63, 63), (255, 0, 0), (255, 255, 255), (0, 0, 0)


def layout_of(*labels, kind="horizontal"):
    views = "".join(VIEW.format(tag=f"Cell{index}", label=label) for index, label in enumerate(labels))
    return f'<layout type="{kind}">{views}</layout>'


def show_pair(labels=("", "")):
    """Show two cells side by side and return their slice logics, as module code does: no event loop between."""
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    if node.IsLayoutDescription(PAIR):
        node.SetLayoutDescription(PAIR, layout_of(*labels))
    else:
        node.AddLayoutDescription(PAIR, layout_of(*labels))
    node.SetViewArrangement(PAIR)
    logic = slicer.app.applicationLogic()
    return [logic.GetSliceLogicByLayoutName(f"Cell{index}") for index in range(2)]


def cube(name, value):
    """A 20 mm cube of one gray value (window 0..200: 50 is drawn as 50 / 200 * 255 = 63, 200 as white)."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.full((20, 20, 20), value, np.float32))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(200.0, 100.0)
    return node


def show(logic, volume):
    logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    logic.FitSliceToBackground()
    logic.SetSliceOffset(10.0)


def red_core(volume, view_ids):
    """A segmentation of the inner 10 mm cube, opaque red, shown only in the given views."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "core")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("core", "core", (1.0, 0.0, 0.0))
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[5:15, 5:15, 5:15] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "core", volume)
    node.GetDisplayNode().SetOpacity2DFill(1.0)
    node.GetDisplayNode().SetViewNodeIDs(view_ids)
    return node


def center_of(host, picture, tag):
    x0, y0, x1, y1 = host.layout_cells()[tag]
    height, width, _ = picture.shape
    return tuple(int(value) for value in picture[int((1 - (y0 + y1) / 2) * height), int((x0 + x1) / 2 * width)])


def test_boxes_of_a_nested_layout():
    inner = layout_of("a", "b", kind="vertical")
    text = f'<layout type="horizontal"><item>{inner}</item>{VIEW.format(tag="Big", label="c")}</layout>'
    boxes = {tag: box for tag, (_, box) in cells_of(text).items()}
    assert boxes == {"Cell0": (0.0, 0.5, 0.5, 1.0), "Cell1": (0.0, 0.0, 0.5, 0.5), "Big": (0.5, 0.0, 1.0, 1.0)}


def test_only_the_front_tab_is_drawn():
    assert list(cells_of(layout_of("a", "b", kind="tab"))) == ["Cell0"]


def test_unknown_layout_type_is_refused():
    with pytest.raises(ValueError, match="'spiral'"):
        cells_of(layout_of("a", kind="spiral"))


def test_slice_logics_exist_right_after_the_arrangement_changes(host):
    changes = []
    slicer.app.layoutManager().layoutChanged.connect(changes.append)
    first, second = show_pair()
    assert first.GetSliceNode().GetID() == "vtkMRMLSliceNodeCell0"
    assert second.GetSliceCompositeNode().GetID() == "vtkMRMLSliceCompositeNodeCell1"
    assert first.GetSliceNode().GetViewGroup() == 7
    assert slicer.app.layoutManager().layout == PAIR
    assert slicer.app.layoutManager().sliceViewNames() == ("Cell0", "Cell1")
    assert changes == [PAIR]


def test_layout_survives_closing_the_scene(host):
    show_pair()
    host.clear_scene()
    logic = slicer.app.applicationLogic().GetSliceLogicByLayoutName("Cell0")
    assert slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeCell0") is logic.GetSliceNode()
    assert logic.GetSliceCompositeNode().GetBackgroundVolumeID() is None


def test_reset_forgets_views_and_nodes(host):
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    show_pair(labels=("old", "old"))
    cube("T1", 50.0)
    host.reset()
    assert slicer.app.layoutManager().sliceViewNames() == ("Red", "Green", "Yellow")
    assert slicer.app.applicationLogic().GetSliceLogicByLayoutName("Cell0") is None
    assert {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")} == before
    assert [logic.GetSliceNode().GetLayoutLabel() for logic in show_pair(labels=("new", "new"))] == ["new", "new"]


def test_linked_views_scroll_together_and_others_stay(host):
    first, second = show_pair()
    other = slicer.app.applicationLogic().GetSliceLogicByLayoutName("Red")
    volume = cube("T1", 50.0)
    for logic in (first, second, other):
        show(logic, volume)
        logic.GetSliceCompositeNode().SetLinkedControl(True)
    first.StartSliceOffsetInteraction()
    first.SetSliceOffset(4.0)
    first.EndSliceOffsetInteraction()
    assert [logic.GetSliceOffset() for logic in (first, second, other)] == [4.0, 4.0, 10.0]


def test_each_cell_shows_its_own_volume_and_segmentation(rendering):
    bright, dark = show_pair()
    show(bright, cube("bright", 200.0))
    gray = cube("dark", 50.0)
    show(dark, gray)
    red_core(gray, ["vtkMRMLSliceNodeCell1"])
    picture = rendering.render_layout(SIZE)
    assert picture.shape == (200, 400, 3)
    assert picture.dtype == np.uint8
    assert center_of(rendering, picture, "Cell0") == WHITE
    assert center_of(rendering, picture, "Cell1") == RED
    assert tuple(picture[100, 240]) == GRAY  # beside the segment, inside the volume
    assert tuple(picture[5, 200]) == BLACK  # outside both volumes


def test_segmentation_without_view_ids_is_drawn_in_every_cell(rendering):
    logics = show_pair()
    volume = cube("T1", 50.0)
    for logic in logics:
        show(logic, volume)
    segmentation = red_core(volume, [])
    both = rendering.render_layout(SIZE)
    assert [center_of(rendering, both, f"Cell{index}") for index in range(2)] == [RED, RED]
    segmentation.GetDisplayNode().SetVisibility(False)
    none = rendering.render_layout(SIZE)
    assert [center_of(rendering, none, f"Cell{index}") for index in range(2)] == [GRAY, GRAY]


def test_label_is_drawn_in_the_lower_left_corner_of_its_own_cell(rendering):
    show_pair(labels=("T1+FLAIR", ""))
    picture = rendering.render_layout(SIZE)
    drawn = np.argwhere(picture.max(axis=2) > 128)
    assert len(drawn) > 50
    rows, columns = drawn[:, 0], drawn[:, 1]
    assert rows.min() > 170
    assert columns.max() < 120


def test_picture_follows_size_and_layout(rendering):
    first, _ = show_pair()
    show(first, cube("bright", 200.0))
    assert rendering.render_layout((300, 100)).shape == (100, 300, 3)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert list(rendering.layout_cells()) == ["Red"]
    assert tuple(rendering.render_layout((300, 100))[50, 75]) == BLACK


def test_widget_picture_and_png(host, tmp_path):
    qt = sys.modules["qt"]
    widget = qt.QWidget()
    widget.setStyleSheet("background-color: #204060")
    widget.resize(30, 20)
    widget.show()
    picture = host.grab(widget)
    assert picture.shape == (20, 30, 3)
    assert tuple(picture[10, 15]) == (0x20, 0x40, 0x60)
    path = tmp_path / "widget.png"
    host.save_png(picture, path)
    image = qt.QImage(str(path))
    assert (image.width(), image.height()) == (30, 20)
    assert image.pixelColor(3, 4).name() == "#204060"
    with pytest.raises(OSError, match="does its folder exist"):
        host.save_png(picture, tmp_path / "missing" / "widget.png")
