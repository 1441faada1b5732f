"""What a scene remembers of the panel: typed values, and a real .mrml file written and read."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import slicer

from DMAFSegmentLib import models
from DMAFSegmentLib.settings import Settings
from DMAFSegmentLib.subset_choice import ALL, SubsetChoice
from results_rig import choose_subsets

MODULE_FILE = Path(__file__).resolve().parents[2] / "DMAFSegment" / "DMAFSegment.py"


@pytest.fixture
def node(scene):
    return scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "settings")


def write_and_read(path, lost=""):
    """Through a .mrml file, the images beside it; the volume named ``lost`` is taken out of the file."""
    scene = slicer.mrmlScene
    for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        assert slicer.util.saveNode(volume, str(path.with_name(f"{volume.GetID()}.nrrd")))
    scene.SetURL(str(path))
    scene.SetRootDirectory(str(path.parent))
    assert scene.Commit()
    document = ElementTree.parse(path)  # noqa: S314 - our own file
    for element in document.getroot().findall("Volume"):
        if element.get("name") == lost:
            document.getroot().remove(element)
    document.write(path)
    scene.Clear(0)
    scene.SetURL(str(path))
    assert scene.Connect()


def field_by_field(settings):
    """The settings in values that can be compared, nodes by name."""
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    names = {"inputs": {name: volume.GetName() for name, volume in settings.inputs.items()}}
    return values | names | {"mask": settings.mask.GetName() if settings.mask is not None else None}


def test_an_empty_node_gives_the_defaults(node):
    assert Settings.load(node) == Settings()


def test_everything_written_is_read_back(node, new_volume):
    flags = {f.name: True for f in dataclasses.fields(Settings) if isinstance(f.default, bool)}
    inputs = {"t1": new_volume("a"), "t2": new_volume("b")}
    choice = SubsetChoice("picked", 3, (("t1", "t2"), ("flair",)))
    mask = new_volume("brain")
    scans = {"registration": "off", "brain": "mask", "mask": mask}
    settings = Settings("m 1", "cuda:1", choice, **flags, **scans, inputs=inputs, chosen={"t2", "flair"})
    settings.save(node)
    assert Settings.load(node) == settings
    Settings().save(node)
    assert Settings.load(node) == Settings()


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"device": "gpu"}, ValueError, "no device"),
        ({"device": None}, TypeError, "Device is a str"),
        ({"regions": 1}, TypeError, "Regions is a bool"),
        ({"registration": "perhaps"}, ValueError, "none of auto, on, off"),
        ({"brain": "scissors"}, ValueError, "none of auto, deepbet, hd-bet, mask, off"),
        ({"model": Path("m")}, TypeError, "Model is a str"),
    ],
)
def test_what_could_not_be_read_back_is_refused(values, error, text):
    with pytest.raises(error, match=text):
        Settings(**values)


def test_foreign_text_in_the_node_keeps_the_default(node):
    Settings("m 1", "cpu", SubsetChoice(ALL)).save(node)
    node.SetParameter("Device", "quantum")
    node.SetParameter("Subsets", "perhaps")
    node.SetParameter("Registration", "perhaps")
    node.SetParameter("Brain", "scissors")
    assert Settings.load(node) == Settings("m 1", "auto")


@pytest.mark.parametrize(("old", "mode"), [("true", "all"), ("false", "full")])
def test_old_scenes_are_understood(node, old, mode):
    """They had a box for every subset."""
    node.SetParameter("AllSubsets", old)
    settings = Settings.load(node)
    assert settings.subsets == SubsetChoice(mode)
    settings.save(node)
    assert "AllSubsets" not in node.GetParameterNames()
    assert Settings.load(node).subsets == SubsetChoice(mode)


def test_one_change_sends_one_event(node, new_volume):
    events = []
    node.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    Settings("m", "cpu", SubsetChoice(ALL), inputs={"t1": new_volume("a")}, chosen={"t1"}).save(node)
    assert len(events) == 1


def test_a_removed_volume_is_forgotten_and_its_sequence_is_free_again(node, new_volume, scene):
    one, two = new_volume("a"), new_volume("b")
    Settings(inputs={"t1": one, "t2": two}, chosen={"t1", "t2", "flair"}).save(node)
    scene.RemoveNode(two)
    settings = Settings.load(node)
    assert settings.inputs == {"t1": one}
    assert settings.chosen == {"t1", "flair"}  # None was chosen for flair: that still holds


# -- the panel and a scene file ----------------------------------------------------------------------


@pytest.fixture
def open_panel(host, bundle, monkeypatch):
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    host.load_module(MODULE_FILE)
    yield lambda: host.open_module("DMAFSegment")
    host.close_module("DMAFSegment")


@pytest.fixture
def panel(host, open_panel, new_volume):
    """The panel with everything set by hand: T1 as T2, nothing as T1, CPU, leave one out, regions, replace, a mask."""
    for name in ("case_t1", "case_flair"):
        new_volume(name)
    widget = open_panel()
    combos = widget.panel.selectors.combos
    combos["t1"].setCurrentNode(None)
    combos["t2"].setCurrentNode(slicer.util.getNode("case_t1"))
    widget.ui.deviceComboBox.currentIndex = widget.ui.deviceComboBox.findData("cpu")
    choose_subsets(widget, "leave-one-out")
    registration, brain = widget.ui.registrationComboBox, widget.ui.brainComboBox
    registration.currentIndex, brain.currentIndex = registration.findData("on"), brain.findData("mask")
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    slicer.util.updateVolumeFromArray(mask, np.ones((16, 20, 24), np.uint8))
    widget.ui.maskSelector.setCurrentNode(mask)
    widget.ui.preprocessingButton.collapsed = False
    widget.ui.biasCheckBox.click()
    widget.ui.nativeCheckBox.click()
    for box in (widget.ui.regionsCheckBox, widget.ui.replaceCheckBox):
        host.click(box)
    return widget


def shown(widget):
    """What the panel shows, by field of the settings."""
    ui, selectors = widget.ui, widget.panel.selectors
    return {
        "model": widget.panel.model.key,
        "device": ui.deviceComboBox.itemData(ui.deviceComboBox.currentIndex),
        "subsets": widget.panel.subsets.choice,
        "regions": ui.regionsCheckBox.checked,
        "uncertainty": ui.uncertaintyCheckBox.checked,
        "agreement": ui.agreementCheckBox.checked,
        "contribution": ui.contributionCheckBox.checked,
        "replace": ui.replaceCheckBox.checked,
        "registration": ui.registrationComboBox.itemData(ui.registrationComboBox.currentIndex),
        "brain": ui.brainComboBox.itemData(ui.brainComboBox.currentIndex),
        "mask": ui.maskSelector.currentNode().GetName() if ui.maskSelector.currentNode() is not None else None,
        "bias": ui.biasCheckBox.checked,
        "native": ui.nativeCheckBox.checked,
        "inputs": {name: node.GetName() for name, node in selectors.nodes().items()},
        "chosen": set(selectors.chosen_by_user),
    }


def test_the_panel_shows_every_setting(panel):
    assert set(shown(panel)) == {f.name for f in dataclasses.fields(Settings)}


def test_a_scene_file_brings_every_field_back(host, panel, tmp_path):
    before = shown(panel)
    assert before["regions"]
    assert not before["uncertainty"]
    assert before["inputs"] == {"flair": "case_flair", "t2": "case_t1"}
    assert before["chosen"] == {"t1", "t2"}
    assert (before["registration"], before["brain"], before["mask"]) == ("on", "mask", "brain")
    assert before["bias"]
    assert before["native"]
    write_and_read(tmp_path / "scene.mrml")
    assert field_by_field(Settings.load(panel.logic.getParameterNode())) == before
    host.process_events(until=lambda: shown(panel) == before, timeout=3)
    assert shown(panel) == before


def test_a_scene_whose_image_is_lost_comes_back_without_it(host, panel, tmp_path):
    before = shown(panel)
    write_and_read(tmp_path / "scene.mrml", lost="case_t1")
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert {volume.GetName() for volume in volumes} == {"case_flair", "brain"}
    host.process_events(until=lambda: shown(panel)["inputs"] == {"flair": "case_flair"}, timeout=3)
    assert shown(panel) == before | {"inputs": {"flair": "case_flair"}, "chosen": {"t1"}}
    assert panel.ui.applyButton.enabled


def test_a_scene_made_with_another_model_opens_with_the_one_that_is_there(host, panel, tmp_path):
    node = panel.logic.getParameterNode()
    node.SetParameter("Model", "lost-model 9")
    before = shown(panel)
    write_and_read(tmp_path / "scene.mrml")
    host.process_events(until=lambda: shown(panel) == before, timeout=3)
    assert shown(panel) == before
    assert panel.panel.model.key == "brats-test 0.1"
