"""The real panel driven by mouse clicks, with real worker processes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

from DMAFSegmentLib import models
from DMAFSegmentLib.attributes import PREFIX, our_segmentations
from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.subset_choice import ALL, SubsetChoice
from results_rig import choose_subsets

ROOT = Path(__file__).resolve().parents[2]
MODULE_FILE = ROOT / "DMAFSegment" / "DMAFSegment.py"


@pytest.fixture
def open_panel(host, bundle, worker_command, monkeypatch):
    """Opens the module with the test model and a stand-in worker of the given behavior."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    host.load_module(MODULE_FILE)

    def open_with(behavior="normal"):
        widget = host.open_module("DMAFSegment")
        widget.logic.worker = Worker(worker_command(behavior))
        return widget

    yield open_with
    host.close_module("DMAFSegment")


@pytest.fixture
def panel(open_panel, new_volume):
    """The open panel with T1 and FLAIR in the scene."""
    new_volume("case_t1")
    new_volume("case_flair")
    return open_panel()


def chosen(widget):
    return {name: node.GetName() for name, node in widget.panel.selectors.nodes().items()}


def run_until_idle(host, widget):
    assert host.process_events(until=lambda: not widget.logic.running)
    host.process_events()


def node_ids():
    scene = slicer.mrmlScene
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def cells_of(table):
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def test_opening_finds_the_sequences_and_says_what_will_run(panel):
    assert chosen(panel) == {"t1": "case_t1", "flair": "case_flair"}
    assert panel.ui.summaryLabel.text == (
        "T1 and FLAIR present; T1ce and T2 missing; expected accuracy unknown for this model."
    )
    assert "Brain tumor test model" in panel.ui.modelComboBox.currentText
    assert "simulated data only" in panel.ui.modelDescriptionLabel.text
    assert panel.ui.noticeLabel.visible
    assert "Not a medical device" in panel.ui.noticeLabel.text
    assert panel.ui.applyButton.enabled
    assert 'Chosen because of its name "case_t1"' in panel.panel.selectors.combos["t1"].toolTip


def test_one_run_by_mouse(host, panel):
    before = node_ids()
    host.click(panel.ui.applyButton)
    assert panel.ui.applyButton.text == "Cancel"
    assert panel.ui.progressBar.visible
    run_until_idle(host, panel)
    (node,) = our_segmentations(slicer.mrmlScene)
    assert node.GetAttribute(PREFIX + "Title") == "T1+FLAIR"
    assert panel.ui.segmentationSelector.currentNode() is node
    assert panel.ui.statusLabel.text == "Finished: one segmentation."
    assert panel.ui.applyButton.text == "Apply"
    assert not panel.ui.progressBar.visible
    # Boxes with half widths 5, 4, 3 in voxels of 8 mm3: 1000, 512 and 216 voxels.
    assert cells_of(panel.ui.volumesTable) == [
        ["Necrotic core", "1.73", ""],
        ["Edema", "3.90", ""],
        ["Enhancing tumor", "2.37", ""],
        ["Whole tumor (WT)", "8.00", "1.00"],
        ["Tumor core (TC)", "4.10", "1.00"],
        ["Enhancing tumor (ET)", "2.37", "1.00"],
    ]
    added = {slicer.mrmlScene.GetNodeByID(i).GetClassName() for i in node_ids() - before}
    assert added <= {
        *("vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode", "vtkMRMLTableNode"),
        *("vtkMRMLSubjectHierarchyNode", "vtkMRMLScriptedModuleNode", "vtkMRMLTableStorageNode"),
        "vtkMRMLTextNode",
    }


def test_all_subsets_and_the_grid(rendering, panel):
    host, ui = rendering, panel.ui
    choose_subsets(panel)
    assert ui.applyButton.text == "Apply (3 subsets)"
    host.click(ui.applyButton)
    run_until_idle(host, panel)
    assert [[row[0], row[1], row[4]] for row in cells_of(ui.compareTable)] == [
        ["T1+FLAIR", "8.0", "1.00"],
        ["FLAIR", "4.1", "0.68"],
        ["T1", "4.1", "0.68"],
    ]
    layout = slicer.app.layoutManager().layout
    host.click(ui.gridButton)
    assert [tag for tag in host.layout_cells() if tag.startswith("DMAF")] == ["DMAF1", "DMAF2", "DMAF3"]
    labels = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNodeDMAF{i}").GetLayoutLabel() for i in (1, 2, 3)]
    assert labels == ["T1+FLAIR (all)", "FLAIR (without T1)", "T1 (without FLAIR)"]
    volumes = [
        slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNodeDMAF{i}").GetBackgroundVolumeID() for i in (1, 2, 3)
    ]
    t1, flair = (slicer.util.getNode(f"case_{name}").GetID() for name in ("t1", "flair"))
    assert volumes == [t1, flair, t1]
    host.click(ui.gridButton)
    assert slicer.app.layoutManager().layout == layout


def test_row_of_the_comparison_chooses_its_segmentation(host, panel):
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    panel.ui.compareTable.cellClicked.emit(2, 0)
    assert panel.ui.segmentationSelector.currentNode().GetAttribute(PREFIX + "Title") == "T1"
    assert cells_of(panel.ui.volumesTable)[3] == ["Whole tumor (WT)", "4.10", "0.68"]


def test_cancel_leaves_the_scene_as_it_was(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("slow"))
    choose_subsets(panel)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = node_ids()
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: len(panel.logic.segmentations) == 1)
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    assert node_ids() == before
    assert panel.ui.statusLabel.text.startswith("Canceled")
    assert panel.ui.applyButton.text == "Apply (3 subsets)"
    assert panel.ui.applyButton.enabled


def test_deaf_worker_can_be_canceled_and_run_again(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("hang"))
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: panel.ui.progressBar.value == 50)
    host.click(panel.ui.applyButton)
    assert panel.ui.applyButton.text == "Canceling..."
    assert not panel.ui.applyButton.enabled
    run_until_idle(host, panel)
    panel.logic.worker = Worker(worker_command("normal"))
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    assert len(our_segmentations(slicer.mrmlScene)) == 1


def test_second_run_adds_its_own_results(host, panel):
    for _ in range(2):
        host.click(panel.ui.applyButton)
        run_until_idle(host, panel)
    first, second = our_segmentations(slicer.mrmlScene)
    assert first.GetName() != second.GetName()
    assert panel.ui.segmentationSelector.currentNode() is second
    assert len(cells_of(panel.ui.compareTable)) == 1


def test_a_second_run_at_the_same_time_is_refused(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("slow"))
    host.click(panel.ui.applyButton)
    with pytest.raises(RuntimeError, match="running already"):
        panel.logic.prepare(panel.panel.selectors.nodes())
    assert not panel.ui.modelComboBox.enabled
    run_until_idle(host, panel)
    assert panel.ui.modelComboBox.enabled


@pytest.mark.parametrize(
    ("behavior", "text"),
    [("error", "Not enough memory. Choose the CPU."), ("crash", "exit code 1"), ("silent-end", "without a result")],
)
def test_failures_reach_the_user(host, panel, worker_command, behavior, text):
    panel.logic.worker = Worker(worker_command(behavior))
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    assert panel.ui.statusLabel.text.startswith("Failed:")
    assert text in panel.ui.statusLabel.text
    assert panel.ui.applyButton.enabled
    assert our_segmentations(slicer.mrmlScene) == []


def test_missing_interpreter_is_explained(host, panel):
    panel.logic.worker = Worker(("no-such-python",))
    host.click(panel.ui.applyButton)
    host.process_events()
    assert "cannot be run" in panel.ui.statusLabel.text
    assert panel.ui.applyButton.text == "Apply"


def test_closing_the_scene_stops_the_run_and_leaves_nothing(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("slow"))
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: len(panel.logic.segmentations) == 1)
    host.clear_scene()
    run_until_idle(host, panel)
    assert our_segmentations(slicer.mrmlScene) == []
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0
    assert chosen(panel) == {}
    assert host.process_events(until=lambda: not panel.ui.applyButton.enabled, timeout=3)


def test_closing_the_module_ends_the_worker(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("hang"))
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: panel.ui.progressBar.value == 50)
    logic, folder = panel.logic, panel.logic._job.folder
    host.close_module("DMAFSegment")
    assert not logic.running
    assert not folder.exists()


def test_tooltip_says_why_apply_is_disabled(host, open_panel):
    widget = open_panel()
    assert not widget.ui.applyButton.enabled
    assert widget.ui.applyButton.toolTip == "Choose at least one input volume."
    assert "Any of T1, T1ce, FLAIR and T2" in widget.ui.summaryLabel.text
    with pytest.raises(RuntimeError, match="disabled"):
        host.click(widget.ui.applyButton)


def test_same_volume_twice_is_refused(panel):
    panel.panel.selectors.combos["t2"].setCurrentNode(slicer.util.getNode("case_t1"))
    assert not panel.ui.applyButton.enabled
    assert panel.ui.applyButton.toolTip.startswith('T1 and T2 are the same volume ("case_t1")')


def test_flat_volume_is_refused(host, panel, new_volume):
    panel.panel.selectors.combos["t2"].setCurrentNode(new_volume("flat", np.zeros((1, 20, 24), np.int16)))
    assert "single slice" in panel.ui.applyButton.toolTip


def test_no_model_is_explained(host, open_panel, monkeypatch, tmp_path, new_volume):
    monkeypatch.setattr(models, "model_folders", list)
    monkeypatch.setattr(sys.modules["DMAFSegment"], "model_folders", list)
    new_volume("case_t1")
    widget = open_panel()
    assert "No model found. Install one under Models" in widget.ui.modelDescriptionLabel.text
    assert not widget.ui.applyButton.enabled


def test_new_volumes_are_detected_without_touching_the_users_choice(host, panel, new_volume):
    panel.panel.selectors.combos["flair"].setCurrentNode(None)
    new_volume("case_t2")
    new_volume("other_flair")
    assert host.process_events(until=lambda: "t2" in chosen(panel))
    assert chosen(panel) == {"t1": "case_t1", "t2": "case_t2"}


def test_removed_volume_is_replaced_by_the_next(host, panel, new_volume):
    new_volume("case_t1")
    host.process_events(until=lambda: False, timeout=0.3)
    slicer.mrmlScene.RemoveNode(panel.panel.selectors.nodes()["t1"])
    assert host.process_events(until=lambda: "t1" in chosen(panel))


def test_saved_scene_restores_the_panel(host, panel, tmp_path):
    volume = slicer.util.getNode("case_flair")
    panel.panel.selectors.combos["t1"].setCurrentNode(None)
    panel.panel.selectors.combos["t2"].setCurrentNode(volume)
    panel.panel.selectors.combos["flair"].setCurrentNode(None)
    panel.ui.deviceComboBox.currentIndex = panel.ui.deviceComboBox.findData("cpu")
    choose_subsets(panel)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.clear_scene()
    assert host.process_events(until=lambda: chosen(panel) == {})
    slicer.util.loadScene(path)
    assert host.process_events(until=lambda: chosen(panel) == {"t2": "case_flair"}, timeout=3)
    assert panel.ui.deviceComboBox.currentText == "CPU"
    assert panel.panel.subsets.choice == SubsetChoice(ALL)


def test_results_of_a_loaded_scene_can_be_compared(host, panel, tmp_path):
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    rows = cells_of(panel.ui.compareTable)
    path = str(tmp_path / "scene.mrb")
    assert slicer.util.saveScene(path)
    host.clear_scene()
    slicer.util.loadScene(path)
    host.process_events()
    panel.ui.segmentationSelector.setCurrentNode(our_segmentations(slicer.mrmlScene)[0])
    assert cells_of(panel.ui.compareTable) == rows
    assert panel.ui.gridButton.enabled


def test_choosing_another_layout_ends_the_grid(host, panel):
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    host.click(panel.ui.gridButton)
    red = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    slicer.app.layoutManager().setLayout(red)
    assert not panel.ui.gridButton.checked
    assert slicer.app.layoutManager().layout == red
    assert not our_segmentations(slicer.mrmlScene)[0].GetDisplayNode().GetViewNodeIDs()


def test_module_opens_without_a_main_window(host, open_panel, monkeypatch):
    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda self: None)
    widget = open_panel()
    assert not widget.ui.gridButton.enabled
    assert widget.ui.applyButton.toolTip == "Choose at least one input volume."


def test_log_can_be_read_and_copied(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("garbage"))
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    assert "plain words" in panel.ui.logText.plainText


def test_nothing_is_cut_off_in_a_narrow_panel(host, panel):
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    panel.parent.resize(400, 1100)
    host.process_events()
    assert panel.parent.width == 400
    for name in ("applyButton", "gridButton", "show3DButton", "subsetsLabel", "outlineCheckBox", "modelLabel"):
        widget = getattr(panel.ui, name)
        assert widget.width >= widget.sizeHint().width() or name == "gridButton", f"{name} is cut off"
    for table in (panel.ui.volumesTable, panel.ui.compareTable):
        assert table.horizontalHeader().length() <= table.viewport().width


def test_logic_without_a_panel(host, bundle, new_volume, worker_command, monkeypatch):
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    module = host.load_module(MODULE_FILE)
    logic = module.DMAFSegmentLogic()
    logic.worker = Worker(worker_command("normal"))
    inputs = {"flair": new_volume("a"), "t1": new_volume("b")}
    nodes = logic.process(inputs, subsets=[["t1", "flair"], ["t1"]])
    assert [node.GetAttribute(PREFIX + "Title") for node in nodes] == ["T1+FLAIR", "T1"]
    logic.worker = Worker(worker_command("error"))
    with pytest.raises(RuntimeError, match="Not enough memory"):
        logic.process(inputs)
    with pytest.raises(RuntimeError, match="at least one input"):
        logic.process({})
