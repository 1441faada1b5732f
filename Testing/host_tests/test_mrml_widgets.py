"""Stand-ins of qMRML and ctk widgets on a real scene, and .ui files."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import slicer

PANEL = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>Panel</class>
 <widget class="qMRMLWidget" name="Panel"><layout class="QVBoxLayout" name="rows">
  <item><widget class="ctkCollapsibleButton" name="inputs"><property name="text"><string>Inputs</string></property>
   {collapsed}
   <layout class="QFormLayout" name="form">
    <item row="0" column="0"><widget class="QLabel" name="t1Label"><property name="text"><string>T1</string></property>
     <property name="buddy"><cstring>t1</cstring></property></widget></item>
    <item row="0" column="1"><widget class="qMRMLNodeComboBox" name="t1">
     <property name="nodeTypes"><stringlist notr="true"><string>vtkMRMLScalarVolumeNode</string></stringlist></property>
     <property name="showChildNodeTypes"><bool>false</bool></property>
     <property name="noneEnabled"><bool>true</bool></property>
     <property name="addEnabled"><bool>false</bool></property>
    </widget></item></layout></widget></item>
  <item><widget class="{last}" name="last">{property}</widget></item>
 </layout></widget>
 <connections><connection>
  <sender>Panel</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>t1</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot>
 </connection></connections></ui>"""


def panel_file(folder, collapsed=False, last="QPushButton", properties=""):
    state = '<property name="collapsed"><bool>true</bool></property>' if collapsed else ""
    path = folder / "Panel.ui"
    path.write_text(PANEL.format(collapsed=state, last=last, property=properties), encoding="utf-8")
    return str(path)


def add(node_class, name=""):
    return slicer.mrmlScene.AddNewNodeByClass(node_class, name)


@pytest.fixture
def selector(host):
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.showChildNodeTypes = False
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    return box


def test_selector_lists_scalar_volumes_and_no_label_maps(selector):
    volume = add("vtkMRMLScalarVolumeNode", "T1")
    label_map = add("vtkMRMLLabelMapVolumeNode", "labels")
    assert selector.nodeCount() == 1
    selector.setCurrentNode(label_map)
    assert selector.currentNode() is None
    selector.setCurrentNode(volume)
    assert selector.currentNode() is volume
    assert selector.currentNodeID == volume.GetID()
    selector.showChildNodeTypes = True
    assert selector.nodeCount() == 2


def test_selector_with_none_starts_empty_and_one_without_takes_the_first(selector):
    volume = add("vtkMRMLScalarVolumeNode", "T1")
    assert selector.currentNode() is None
    selector.noneEnabled = False
    assert selector.currentNode() is volume


def test_selector_falls_back_to_none_when_its_node_is_removed(selector):
    seen = []
    selector.currentNodeChanged.connect(lambda node: seen.append(node and node.GetName()))
    volume = add("vtkMRMLScalarVolumeNode", "FLAIR")
    selector.setCurrentNode(volume)
    slicer.mrmlScene.RemoveNode(volume)
    assert seen == ["FLAIR", None]
    assert selector.currentNode() is None


def test_selector_signals_once_per_change_in_every_form(selector):
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: seen.append(("node", node.GetName())))
    selector.connect("currentNodeChanged(bool)", lambda valid: seen.append(("bool", valid)))
    selector.connect("currentNodeIDChanged(QString)", lambda node_id: seen.append(("id", node_id)))
    volume = add("vtkMRMLScalarVolumeNode", "T2")
    selector.setCurrentNode(volume)
    selector.setCurrentNodeID(volume.GetID())
    assert seen == [("node", "T2"), ("bool", True), ("id", volume.GetID())]


def test_selector_follows_names_hidden_nodes_and_scene_close(selector, host):
    volume = add("vtkMRMLScalarVolumeNode", "old")
    volume.SetName("new")
    texts = [selector.findChild(sys.modules["qt"].QComboBox).itemText(index) for index in range(2)]
    assert texts == ["None", "new"]
    volume.SetHideFromEditors(True)
    assert selector.nodeCount() == 0
    selector.showHidden = True
    assert selector.nodeCount() == 1
    host.clear_scene()
    assert selector.nodeCount() == 0


def test_selector_makes_nodes_of_its_own_type(host):
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLSegmentationNode"]
    box.baseName = "Result"
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    node = box.addNode()
    assert node.IsA("vtkMRMLSegmentationNode")
    assert node.GetName().startswith("Result")
    assert box.currentNode() is node
    box.selectNodeUponCreation = False
    box.addNode()
    assert box.currentNode() is node


def test_selector_filters_by_attribute(selector):
    add("vtkMRMLScalarVolumeNode", "plain")
    marked = add("vtkMRMLScalarVolumeNode", "marked")
    marked.SetAttribute("sequence", "t1")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "sequence", "t1")
    assert [selector.nodeFromIndex(index) for index in range(selector.nodeCount())] == [marked]


def test_one_node_type_as_plain_text_is_refused(host):
    with pytest.raises(TypeError, match="list of class names"):
        slicer.qMRMLNodeComboBox().nodeTypes = "vtkMRMLScalarVolumeNode"


def test_deleted_selector_no_longer_listens(selector, host):
    selector.deleteLater()
    host.process_events()
    add("vtkMRMLScalarVolumeNode", "T1")
    host.raise_errors()


def test_ui_file_is_loaded_with_values_and_scene_connections(host, tmp_path):
    panel = slicer.util.loadUI(panel_file(tmp_path))
    ui = slicer.util.childWidgetVariables(panel)
    assert ui.inputs.text == "Inputs"
    assert ui.t1.nodeTypes == ("vtkMRMLScalarVolumeNode",)
    assert (ui.t1.noneEnabled, ui.t1.addEnabled, ui.t1.showChildNodeTypes) == (True, False, False)
    assert ui.t1.mrmlScene() is None
    panel.setMRMLScene(slicer.mrmlScene)
    assert ui.t1.mrmlScene() is slicer.mrmlScene


@pytest.mark.parametrize(
    ("last", "properties", "reason"),
    [
        ("ctkFancySlider", "", "unknown widget classes.*ctkFancySlider"),
        ("QPushButton", '<property name="txt"><string>x</string></property>', "'last' has no property 'txt'"),
        ("qMRMLNodeComboBox", '<property name="noneEnable"><bool>true</bool></property>', "no property 'noneEnable'"),
    ],
)
def test_ui_file_with_an_unknown_name_is_refused(host, tmp_path, last, properties, reason):
    with pytest.raises(RuntimeError, match=reason):
        slicer.util.loadUI(panel_file(tmp_path, last=last, properties=properties))


def test_missing_ui_file_is_an_error(host, tmp_path):
    with pytest.raises(RuntimeError, match="file not found"):
        slicer.util.loadUI(str(tmp_path / "none.ui"))


def test_collapsed_box_hides_its_content(host, tmp_path):
    panel = slicer.util.loadUI(panel_file(tmp_path, collapsed=True))
    ui = slicer.util.childWidgetVariables(panel)
    panel.show()
    assert ui.inputs.collapsed is True
    assert (ui.t1.visible, ui.t1Label.visible, ui.last.visible) == (False, False, True)
    ui.inputs.collapsed = False
    assert (ui.t1.visible, ui.t1Label.visible) == (True, True)
    assert (type(ui.t1Label), ui.t1Label.text) == (sys.modules["qt"].QLabel, "T1")


def test_box_does_not_show_what_was_hidden_before(host):
    qt, ctk = sys.modules["qt"], sys.modules["ctk"]
    box, seen = ctk.ctkCollapsibleButton(), []
    box.contentsCollapsed.connect(seen.append)
    row = qt.QVBoxLayout(box)
    hidden, shown = qt.QLabel("hidden"), qt.QLabel("shown")
    row.addWidget(hidden)
    row.addWidget(shown)
    hidden.hide()
    box.show()
    box.collapsed = True
    box.collapsed = False
    assert (hidden.visible, shown.visible) == (False, True)
    assert seen == [True, False]


def test_child_added_to_a_collapsed_box_appears_when_it_opens(host):
    qt, ctk = sys.modules["qt"], sys.modules["ctk"]
    box = ctk.ctkCollapsibleButton()
    row = qt.QVBoxLayout(box)
    box.show()
    box.collapsed = True
    label = qt.QLabel("late")
    row.addWidget(label)
    host.process_events()
    assert label.visible is False
    box.collapsed = False
    assert label.visible is True


def test_click_on_the_title_collapses(host):
    qt, ctk = sys.modules["qt"], sys.modules["ctk"]
    box = ctk.ctkCollapsibleButton()
    box.resize(200, 20)  # lower than the title line: the middle is in the title
    box.show()
    host.click(box)
    assert box.collapsed is True
    assert isinstance(box, qt.QWidget)


def test_show_3d_button_makes_and_hides_the_surface(host):
    button = slicer.qMRMLSegmentationShow3DButton()
    assert button.enabled is False
    segmentation = add("vtkMRMLSegmentationNode", "Tumor")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.GetSegmentation().AddEmptySegment("core", "core")
    volume = add("vtkMRMLScalarVolumeNode", "T1")
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[2:6, 2:6, 2:6] = 1
    slicer.util.updateVolumeFromArray(volume, mask)
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "core", volume)
    button.setSegmentationNode(segmentation)
    button.show()
    host.click(button)
    surface = segmentation.GetClosedSurfaceInternalRepresentation("core")
    assert surface is not None
    assert surface.GetNumberOfPoints() > 0
    assert bool(segmentation.GetDisplayNode().GetVisibility3D()) is True
    host.click(button)
    assert bool(segmentation.GetDisplayNode().GetVisibility3D()) is False
    with pytest.raises(TypeError, match="takes a segmentation"):
        button.setSegmentationNode(volume)


def test_table_view_follows_its_node(host):
    table = add("vtkMRMLTableNode", "Volumes")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(table)
    assert (view.rowCount, view.columnCount) == (0, 0)
    slicer.util.updateTableFromArray(table, np.array([1.5, 2.5]), ["WT"])
    assert view.rowCount == 2
    assert view.item(1, 0).text() == "2.5"
    assert view.horizontalHeaderItem(0).text() == "WT"
