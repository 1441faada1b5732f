"""Application wiring: scene, files, modules, clicks, errors, the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

TESTING = Path(__file__).parents[1]
MODULE = """
import os
import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin


class {name}(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Demo")
        self.started = 0
        slicer.app.connect("startupCompleted()", self.onStartup)

    def onStartup(self):
        self.started += 1


class {name}Widget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.calls = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = {name}Logic()
        self.button = qt.QPushButton("Apply")
        self.button.connect("clicked(bool)", self.onApply)
        self.layout.addWidget(self.button)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onEndClose)
        self.calls.append("setup")

    def enter(self):
        self.calls.append("enter")

    def exit(self):
        self.calls.append("exit")

    def cleanup(self):
        self.calls.append("cleanup")
        self.removeObservers()

    def onApply(self):
        self.calls.append("apply")

    def onStartClose(self, caller, event):
        self.calls.append("start close")

    def onEndClose(self, caller, event):
        self.calls.append("end close")


class {name}Logic(ScriptedLoadableModuleLogic):
    pass
"""


def write_module(folder, name, source=MODULE):
    path = folder / f"{name}.py"
    path.write_text(source.format(name=name), encoding="utf-8")
    return path


def volume_of(array, name="T1"):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, array)
    node.SetSpacing(1.0, 2.0, 3.0)
    node.SetOrigin(5.0, -6.0, 7.0)
    node.CreateDefaultDisplayNodes()
    return node


def test_module_life_from_load_to_close(host, tmp_path):
    python = host.load_module(write_module(tmp_path, "DemoLife"))
    assert slicer.modules.demolife.title == "Demo"
    assert slicer.modules.DemoLifeInstance.started == 1
    assert host.load_module(tmp_path / "DemoLife.py") is python
    widget = host.open_module("DemoLife")
    assert isinstance(widget, python.DemoLifeWidget)
    assert widget.parent.isEntered is True
    assert slicer.util.getModuleWidget("DemoLife") is widget
    host.click(widget.button)
    host.clear_scene()
    host.close_module("DemoLife")
    assert widget.calls == [
        "setup", "enter", "apply", "start close", "end close", "exit", "cleanup"
    ]  # fmt: skip
    assert host.open_module("DemoLife") is not widget


def test_resources_are_found_beside_the_module(host, tmp_path):
    host.load_module(write_module(tmp_path, "DemoPath"))
    widget = host.open_module("DemoPath")
    expected = str(tmp_path / "Resources" / "UI" / "Panel.ui")
    assert widget.resourcePath("UI/Panel.ui") == expected
    assert slicer.modules.DemoPathInstance.resourcePath("UI/Panel.ui") == expected


def test_parameter_node_is_one_per_module_and_new_after_close(host, tmp_path):
    logic = host.load_module(write_module(tmp_path, "DemoParameters")).DemoParametersLogic()
    node = logic.getParameterNode()
    node.SetParameter("device", "cpu")
    assert logic.getParameterNode() is node
    assert node.GetAttribute("ModuleName") == "DemoParameters"
    host.clear_scene()
    assert logic.getParameterNode().GetParameter("device") == ""


def test_unknown_property_of_a_module_is_refused(host, tmp_path):
    source = MODULE.replace('self.parent.title = _("Demo")', 'self.parent.titel = _("Demo")')
    with pytest.raises(AttributeError, match="titel"):
        host.load_module(write_module(tmp_path, "DemoTypo", source))


def test_module_with_pyside_is_refused_before_it_runs(host, tmp_path):
    library = tmp_path / "DemoLib"
    library.mkdir()
    (library / "panel.py").write_text("from PySide6 import QtWidgets\n", encoding="utf-8")
    with pytest.raises(ImportError, match=r"panel\.py:1: PySide6"):
        host.load_module(write_module(tmp_path, "DemoForeign"))
    assert not hasattr(slicer.modules, "demoforeign")


def test_module_that_fails_leaves_nothing_behind(host, tmp_path):
    source = MODULE.replace('self.calls.append("setup")', 'raise ValueError("no model")')
    host.load_module(write_module(tmp_path, "DemoSetup", source))
    with pytest.raises(ValueError, match="no model"):
        host.open_module("DemoSetup")
    host.close_module("DemoSetup")  # would call cleanup() of a half-made panel
    with pytest.raises(ZeroDivisionError):
        host.load_module(write_module(tmp_path, "DemoImport", "1 / 0"))
    assert "DemoImport" not in sys.modules
    with pytest.raises(ValueError, match="'DemoImport' is not loaded"):
        host.open_module("DemoImport")


def test_click_refuses_what_a_user_cannot_click(host, tmp_path):
    host.load_module(write_module(tmp_path, "DemoClick"))
    widget = host.open_module("DemoClick")
    widget.button.enabled = False
    widget.button.toolTip = "Choose a volume"
    with pytest.raises(RuntimeError, match=r"disabled.*Choose a volume"):
        host.click(widget.button)
    widget.button.enabled = True
    widget.button.visible = False
    with pytest.raises(RuntimeError, match="hidden"):
        host.click(widget.button)
    assert "apply" not in widget.calls


def test_error_in_a_slot_is_raised(host, tmp_path):
    source = MODULE.replace('self.calls.append("apply")', 'raise KeyError("no such label")')
    host.load_module(write_module(tmp_path, "DemoBroken", source))
    widget = host.open_module("DemoBroken")
    with pytest.raises(RuntimeError, match="no such label"):
        host.click(widget.button)


def test_error_in_an_observer_is_raised(host):
    def fail(_caller, _event):
        raise ValueError("observer failed")

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, fail)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    slicer.mrmlScene.RemoveObserver(tag)
    with pytest.raises(RuntimeError, match="observer failed"):
        host.process_events()


def test_process_events_tells_a_time_out(host):
    assert host.process_events(until=lambda: False, timeout=0.02) is False
    assert host.process_events(until=lambda: True, timeout=0.0) is True


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz", ".mha"])
def test_volume_file_round_trip(host, tmp_path, extension):
    array = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    path = str(tmp_path / f"T1{extension}")
    assert slicer.util.saveNode(volume_of(array), path)
    host.clear_scene()
    loaded = slicer.util.loadVolume(path)
    assert loaded.GetName() == "T1"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), array)
    np.testing.assert_allclose(loaded.GetSpacing(), (1.0, 2.0, 3.0))
    np.testing.assert_allclose(loaded.GetOrigin(), (5.0, -6.0, 7.0))


def test_loaded_volume_is_shown_in_all_views_unless_told_otherwise(host, tmp_path):
    path = str(tmp_path / "T1.nrrd")
    slicer.util.saveNode(volume_of(np.ones((4, 4, 4), np.uint8)), path)
    host.clear_scene()
    composite = slicer.app.applicationLogic().GetSliceLogicByLayoutName("Red").GetSliceCompositeNode()
    slicer.util.loadVolume(path, {"show": False})
    assert composite.GetBackgroundVolumeID() is None
    shown = slicer.util.loadVolume(path, {"show": True})
    assert composite.GetBackgroundVolumeID() == shown.GetID()


def test_segmentation_file_round_trip(host, tmp_path):
    array = np.zeros((6, 6, 6), np.uint8)
    array[1:4, 2:5, 3:5] = 1
    volume = volume_of(array)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Result")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("ET", "Enhancing tumor", (1.0, 1.0, 0.0))
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, "ET", volume)
    path = str(tmp_path / "Result.seg.nrrd")
    assert slicer.util.saveNode(node, path)
    host.clear_scene()
    loaded = slicer.util.loadSegmentation(path)
    segment = loaded.GetSegmentation().GetSegment("ET")
    assert segment.GetName() == "Enhancing tumor"
    assert segment.GetColor() == (1.0, 1.0, 0.0)
    assert slicer.util.arrayFromSegmentInternalBinaryLabelmap(loaded, "ET").sum() == 3 * 3 * 2


def test_missing_file_is_an_error(host, tmp_path):
    with pytest.raises(RuntimeError, match="Failed to load node"):
        slicer.util.loadVolume(str(tmp_path / "none.nrrd"))


def test_subject_hierarchy_follows_data_nodes(host):
    volume = volume_of(np.zeros((2, 2, 2), np.uint8))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume)
    assert hierarchy.GetItemName(item) == "T1"
    slicer.mrmlScene.RemoveNode(volume)
    assert hierarchy.GetItemDataNode(item) is None
    hidden = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")
    assert hierarchy.GetItemByDataNode(hidden) == 0


def test_application_answers_as_under_testing(host):
    assert slicer.app.testingEnabled() is True
    assert slicer.util.mainWindow() is None
    slicer.util.errorDisplay("The model file is missing.")
    assert host.dialogs.messages == []
    assert os.path.isdir(slicer.app.temporaryPath)
    assert slicer.util.tempDirectory().startswith(slicer.app.temporaryPath)


def test_unknown_part_of_the_application_is_refused(host):
    with pytest.raises(AttributeError, match="Application has no attribute 'mainWindow'"):
        slicer.app.mainWindow()
    with pytest.raises(AttributeError, match="sliceWidget"):
        slicer.app.layoutManager().sliceWidget("Red")
    with pytest.raises(AttributeError, match="testMode"):
        slicer.app.testMode = True


def test_core_modules_have_their_logics(host):
    assert slicer.modules.segmentations.logic().IsA("vtkSlicerSegmentationsModuleLogic")
    assert slicer.util.getModule("Volumes").logic().IsA("vtkSlicerVolumesLogic")
    assert not hasattr(slicer.modules, "brainsfit")


def test_dicom_tags_that_a_test_sets(host):
    host.dicom.values[("1.2.3", "0008,103E")] = "AX T1 POST"
    assert slicer.dicomDatabase.instanceValue("1.2.3", "0008,103E") == "AX T1 POST"
    assert slicer.dicomDatabase.instanceValue("1.2.3", "0018,0080") == ""


def test_second_host_is_refused(host):
    with pytest.raises(RuntimeError, match="share one Host"):
        type(host)()


END = """
import sys
sys.path.insert(0, sys.argv[1])
from host import Host, rendering_problem
import numpy as np
import slicer
host = Host()
python = host.load_module(sys.argv[2])
widget = host.open_module("DemoEnd")
volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1")
slicer.util.updateVolumeFromArray(volume, np.ones((4, 4, 4), np.uint8))
process = widget.button.className() and __import__("qt").QProcess()
process.start(sys.executable, ["-c", "print(1)"])
assert host.process_events(until=lambda: process.state() == 0 or process.state().value == 0, timeout=20)
slicer.app.aboutToQuit.connect(lambda: print("quit"))
if rendering_problem() is None:
    host.render_layout((120, 80))
print("end of script")
"""


def test_process_with_open_panel_ends_cleanly(tmp_path):
    path = write_module(tmp_path, "DemoEnd", MODULE.replace('self.calls.append("cleanup")', 'print("cleanup")'))
    command = [sys.executable, "-X", "faulthandler", "-c", END, str(TESTING), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n")[:3] == ["end of script", "quit", "cleanup"]
    assert "Traceback" not in result.stderr
