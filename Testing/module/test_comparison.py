"""The comparison grid: its shape, and on rendered pixels that each view shows its own result and no other."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.comparison import (
    FIRST_LAYOUT_ID,
    Cell,
    ComparisonGrid,
    grid_shape,
    layout_xml,
    tag,
)
from DMAFSegmentLib.framing import largest_slice_point
from DMAFSegmentLib.surface_view import SURFACE_TAG
from DMAFSegmentLib.view_stage import Look

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255))


@pytest.mark.parametrize(
    ("count", "shape"),
    [
        (1, (1, 1)),
        (2, (1, 2)),
        (3, (1, 3)),
        (4, (2, 2)),
        (6, (2, 3)),
        (7, (2, 4)),
        (8, (2, 4)),
        (12, (3, 4)),
        (15, (3, 5)),
    ],
)
def test_grid_shapes(count, shape):
    assert grid_shape(count) == shape


@pytest.mark.parametrize("count", range(1, 16))
def test_every_grid_has_room_and_no_empty_row(count):
    rows, columns = grid_shape(count)
    assert rows * columns >= count > (rows - 1) * columns


@pytest.mark.parametrize("count", [0, 16])
def test_impossible_grids_are_refused(count):
    with pytest.raises(ValueError, match="1 to 15"):
        grid_shape(count)


def test_layout_names_every_cell_once_and_escapes_titles():
    titles = ["T1+FLAIR", 'a<b&"c"', "T2"]
    root = ElementTree.fromstring(layout_xml(titles))  # noqa: S314 - our own text
    views = list(root.iter("view"))
    assert [view.get("singletontag") for view in views] == ["DMAF1", "DMAF2", "DMAF3"]
    assert [view.find("property[@name='viewlabel']").text for view in views] == titles
    assert len({view.find("property[@name='viewgroup']").text for view in views}) == 1


def test_largest_slice_by_hand():
    labels = np.zeros((6, 5, 4), bool)
    labels[1, 0, 0] = True
    labels[4, 1:4, 2] = True  # three voxels at k = 4, centered on j = 2, i = 2
    matrix = np.diag([1.0, 2.0, 3.0, 1.0])
    assert largest_slice_point(labels, matrix, np.array([0, 0, 1.0])) == pytest.approx([2, 4, 12])
    assert largest_slice_point(labels, matrix, np.array([0, 0, -1.0])) == pytest.approx([2, 4, 12])
    assert largest_slice_point(np.zeros((2, 2, 2), bool), matrix, np.array([0, 0, 1.0])) is None


def test_middle_of_equally_large_slices():
    labels = np.zeros((9, 3, 3), bool)
    labels[2:7, 1, 1] = True
    assert largest_slice_point(labels, np.eye(4), np.array([0, 0, 1.0]))[2] == 4


@pytest.fixture
def layout_node(host):
    return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


@pytest.fixture
def grid(scene, layout_node):
    grid = ComparisonGrid(scene, slicer.app.applicationLogic(), layout_node)
    yield grid
    grid.hide()


@pytest.fixture
def make_cells(scene, new_volume):
    """Cells of one dark volume and of a box in a color of their own each, all at the same place."""

    def build(count):
        volume = new_volume("background", np.full((16, 20, 24), 10, np.int16))
        display = volume.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevel(1000, 500)
        labels = np.zeros((16, 20, 24), np.uint8)
        labels[4:13, 5:15, 6:18] = 1
        cells = []
        for index, color in zip(range(count), itertools.cycle(COLORS), strict=False):
            node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"result {index}")
            node.CreateDefaultDisplayNodes()
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
            node.GetSegmentation().AddEmptySegment("a", "a", [part / 255 for part in color])
            slicer.util.updateSegmentBinaryLabelmapFromArray(labels, node, "a", volume)
            cells.append(Cell(f"Subset {index}", node, volume))
        return cells

    return build


def colors_of(host, index, size=(600, 400)):
    """Fraction of each of COLORS among the pixels of a cell, as drawn by the real slice view."""
    picture = host.render_layout(size).astype(int)
    x0, y0, x1, y1 = host.layout_cells()[tag(index)]
    part = picture[round((1 - y1) * size[1]) : round((1 - y0) * size[1]), round(x0 * size[0]) : round(x1 * size[0])]
    return [float((np.abs(part - color).max(axis=-1) < 60).mean()) for color in COLORS]


def test_each_cell_shows_its_own_result_only(rendering, grid, make_cells):
    cells = make_cells(6)
    grid.show(cells)
    grid.set_style(opacity=1.0, outline_only=False)
    for index in range(6):
        shares = colors_of(rendering, index)
        assert shares[index] > 0.05, f"cell {index} does not show its own color"
        assert max(share for i, share in enumerate(shares) if i != index) < 0.001, f"cell {index} shows a foreign color"


def test_foreign_segmentations_stay_out(rendering, grid, make_cells):
    *cells, foreign = make_cells(3)
    assert foreign.segmentation.GetDisplayNode().GetVisibility()
    grid.show(cells)
    grid.set_style(opacity=1.0, outline_only=False)
    assert colors_of(rendering, 0)[2] == 0
    grid.hide()
    assert foreign.segmentation.GetDisplayNode().GetVisibility()


def test_outline_leaves_the_middle_free(rendering, grid, make_cells):
    grid.show(make_cells(1))
    grid.set_style(opacity=1.0, outline_only=False)
    filled = colors_of(rendering, 0)[0]
    grid.set_style(opacity=1.0, outline_only=True)
    assert 0 < colors_of(rendering, 0)[0] < filled / 5


def test_image_shines_through_half_transparent_fills(rendering, grid, make_cells):
    (cell,) = make_cells(1)
    slicer.util.arrayFromVolume(cell.background)[:] = 500  # the middle of its window: gray 127
    slicer.util.arrayFromVolumeModified(cell.background)
    grid.show([cell])
    grid.set_style(opacity=0.5, outline_only=False)
    middle = rendering.render_layout((300, 300))[150, 150].astype(int)
    assert np.abs(middle - (191, 64, 64)).max() < 8, "red over gray, half and half"


def test_everything_is_restored(host, grid, make_cells, layout_node):
    layout_node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    cells = make_cells(3)
    displays = [cell.segmentation.GetDisplayNode() for cell in cells]
    displays[1].SetVisibility(False)
    displays[2].AddViewNodeID("vtkMRMLSliceNodeRed")
    grid.show(cells)
    assert layout_node.GetViewArrangement() == FIRST_LAYOUT_ID + 3
    assert [list(display.GetViewNodeIDs()) for display in displays] == [[f"vtkMRMLSliceNode{tag(i)}"] for i in range(3)]
    grid.hide()
    assert layout_node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert [bool(display.GetVisibility()) for display in displays] == [True, False, True]
    assert [list(display.GetViewNodeIDs() or ()) for display in displays] == [[], [], ["vtkMRMLSliceNodeRed"]]


def test_layout_the_user_chose_meanwhile_stays(grid, make_cells, layout_node):
    grid.show(make_cells(2))
    layout_node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert grid.active
    assert not grid.on_screen
    grid.hide()
    assert layout_node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView


def test_views_open_at_the_largest_slice_and_scroll_together(host, grid, make_cells):
    grid.show(make_cells(4))
    logics = [slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(i)) for i in range(4)]
    # Slices k = 4..12 are equal: the middle one, k = 8, lies at -16 + 2 * 8 = 0 mm.
    assert [logic.GetSliceOffset() for logic in logics] == pytest.approx([0.0] * 4, abs=1e-6)
    red = slicer.app.applicationLogic().GetSliceLogicByLayoutName("Red")
    before = red.GetSliceOffset() if red else None
    logics[2].StartSliceOffsetInteraction()
    logics[2].SetSliceOffset(6.0)
    logics[2].EndSliceOffsetInteraction()
    assert [logic.GetSliceOffset() for logic in logics] == pytest.approx([6.0] * 4)
    assert red is None or red.GetSliceOffset() == before


def test_second_grid_replaces_the_first(grid, make_cells, layout_node):
    cells = make_cells(4)
    before = layout_node.GetViewArrangement()
    grid.show(cells)
    grid.show(cells[:2])
    assert layout_node.GetViewArrangement() == FIRST_LAYOUT_ID + 2
    assert not cells[3].segmentation.GetDisplayNode().GetViewNodeIDs()
    grid.hide()
    assert layout_node.GetViewArrangement() == before


def test_fifteen_cells_are_drawn_with_their_titles(rendering, grid, make_cells):
    grid.show(make_cells(15))
    cells = {name: box for name, box in rendering.layout_cells().items() if name.startswith("DMAF")}
    assert len(cells) == 15
    nodes = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag(i)}") for i in range(15)]
    assert [node.GetLayoutLabel() for node in nodes] == [f"Subset {i}" for i in range(15)]
    assert rendering.render_layout((1000, 600)).std() > 5


# -- plane, zoom, one cell alone, one in 3-D -------------------------------------------------------------


def state(layout_node):
    """How every segmentation is displayed, and the layout."""
    displays = slicer.util.getNodesByClass("vtkMRMLSegmentationDisplayNode")
    kinds = ("GetVisibility", "GetOpacity")
    whole = [name for name in dir(displays[0]) if name.startswith(kinds)]
    values = [[getattr(display, name)() for name in whole] for display in displays]
    views = [list(display.GetViewNodeIDs() or ()) for display in displays]
    surfaces = [
        display.GetDisplayableNode().GetSegmentation().ContainsRepresentation("Closed surface") for display in displays
    ]
    return values, views, surfaces, layout_node.GetViewArrangement()


def normals(count):
    nodes = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag(i)}") for i in range(count)]
    return [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 2].round(6).tolist() for node in nodes]


@pytest.mark.parametrize(("orientation", "axis"), [("Axial", 2), ("Sagittal", 0), ("Coronal", 1)])
def test_all_cells_turn_together(rendering, grid, make_cells, orientation, axis):
    cells = make_cells(3)
    grid.show(cells)
    grid.set_style(opacity=1.0, outline_only=False)
    grid.stage.look = Look(orientation)
    grid.fit()
    assert all(abs(normal[axis]) == 1 for normal in normals(3))
    offsets = [slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(i)).GetSliceOffset() for i in range(3)]
    assert len(set(offsets)) == 1
    for index in range(3):
        shares = colors_of(rendering, index)
        assert shares[index] > 0.05
        assert sum(shares) == shares[index], "a foreign color"


def test_lesion_fills_the_view_when_zoomed_to(rendering, grid, make_cells):
    grid.show(make_cells(1))
    grid.set_style(opacity=1.0, outline_only=False)
    whole = colors_of(rendering, 0, (400, 400))[0]
    grid.stage.look = Look(lesion=True)
    grid.fit()
    # The box is 24 x 20 mm; the view is 1.06 * 1.5 times its longer side.
    assert colors_of(rendering, 0, (400, 400))[0] == pytest.approx(24 * 20 / (1.59 * 24) ** 2, rel=0.05)
    assert whole < 0.3


def test_an_empty_result_is_zoomed_to_the_whole(grid, make_cells):
    (cell,) = make_cells(1)
    empty = np.zeros((16, 20, 24), np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(empty, cell.segmentation, "a", cell.background)
    grid.stage.look = Look(lesion=True)
    grid.show([cell])
    width, height, _ = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag(0)}").GetFieldOfView()
    assert min(width / 48, height / 40) == pytest.approx(1.06)


def test_one_cell_alone_and_back(rendering, grid, make_cells):
    grid.show(make_cells(6))
    grid.set_style(opacity=1.0, outline_only=False)
    logic = slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(4))
    logic.SetSliceOffset(-4.0)
    slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(0)).SetSliceOffset(-4.0)
    grid.enlarge(4)
    assert rendering.layout_cells() == {tag(4): (0.0, 0.0, 1.0, 1.0)}
    assert logic.GetSliceOffset() == pytest.approx(-4.0), "it stays at its slice"
    shares = colors_of(rendering, 4)
    assert shares[4] > 0.05
    assert sum(shares) == shares[4]
    grid.enlarge(1)
    assert list(rendering.layout_cells()) == [tag(1)]
    grid.enlarge(None)
    assert list(rendering.layout_cells()) == [tag(i) for i in range(6)]


def test_one_cell_in_3d_on_demand(host, grid, make_cells, layout_node):
    cells = make_cells(15)
    before = state(layout_node)
    grid.show(cells)
    assert not any(state(layout_node)[2]), "no surface unless asked for"
    grid.show_surface(3)
    assert len(host.layout_cells()) == 16
    view = slicer.mrmlScene.GetSingletonNode(SURFACE_TAG, "vtkMRMLViewNode")
    assert view.GetLayoutLabel() == "Subset 3"
    shown = [cell.segmentation.GetDisplayNode().IsDisplayableInView(view.GetID()) for cell in cells]
    assert shown == [index == 3 for index in range(15)]
    assert cells[3].segmentation.GetDisplayNode().GetVisibility3D()
    grid.show_surface(5)
    assert state(layout_node)[2].index(True) == 5
    grid.enlarge(5)
    assert list(host.layout_cells()) == [tag(5), SURFACE_TAG]
    grid.hide()
    assert state(layout_node) == before


def test_a_surface_that_was_there_stays(grid, make_cells, layout_node):
    cells = make_cells(2)
    cells[1].segmentation.CreateClosedSurfaceRepresentation()
    cells[1].segmentation.GetDisplayNode().SetVisibility3D(False)
    before = state(layout_node)
    grid.show(cells)
    grid.show_surface(1)
    grid.show_surface(0)
    grid.hide()
    assert state(layout_node) == before


def test_a_result_that_arrives_joins_at_the_slice_that_is_shown(grid, make_cells):
    cells = make_cells(3)
    grid.show(cells[:2])
    logics = [slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(i)) for i in range(2)]
    for logic in logics:
        logic.SetSliceOffset(6.0)
    grid.show(cells)
    third = slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(2))
    assert [logic.GetSliceOffset() for logic in [*logics, third]] == pytest.approx([6.0] * 3)


def test_largest_slice_is_found_behind_another_background(grid, make_cells, new_volume):
    """The volume behind may have another grid than the result."""
    (cell,) = make_cells(1)
    other = new_volume("finer", np.full((32, 40, 48), 10, np.int16), np.diag([1.0, 1.0, 1.0, 1.0]))
    grid.show([Cell("a", cell.segmentation, other)])
    assert slicer.app.applicationLogic().GetSliceLogicByLayoutName(tag(0)).GetSliceOffset() == pytest.approx(0.0)


def test_a_view_maximized_by_slicer_itself_does_not_end_the_grid(grid, make_cells, layout_node):
    grid.show(make_cells(4))
    view = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{tag(1)}")
    layout_node.AddMaximizedViewNode(view)
    assert layout_node.IsMaximizedViewNode(view)
    assert grid.on_screen
    grid.hide()
    assert layout_node.GetNumberOfMaximizedViewNodes() == 0
    assert layout_node.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
