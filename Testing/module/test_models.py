"""Model lists, what is installed, and what a saved scene remembers."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import slicer

from DMAFSegmentLib import models
from DMAFSegmentLib.settings import Settings
from DMAFSegmentLib.subset_choice import SubsetChoice


def test_usable_models_come_first_and_broken_ones_say_why(bundle, tmp_path):
    (tmp_path / "a-broken.safetensors").write_bytes(b"\x00" * 20)
    first, second = models.find_models([tmp_path / "missing", tmp_path])
    assert first.metadata.name == "brats-test"
    assert first.title == "Brain tumor test model, 0.1"
    assert "simulated data only" in first.description
    assert second.metadata is None
    assert "a-broken.safetensors" in second.title
    assert "is not a model file" in second.error


def test_altered_description_is_an_error_not_a_crash(bundle):
    bundle.write_bytes(bundle.read_bytes().replace(b"Brain", b"Train"))
    (entry,) = models.find_models([bundle.parent])
    assert "does not match its checksum" in entry.error


def test_model_in_two_folders_is_listed_once(bundle, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    (again / "copy.safetensors").write_bytes(bundle.read_bytes())
    assert [entry.path for entry in models.find_models([tmp_path, again])] == [bundle]


def test_folders_of_the_environment_come_first(monkeypatch, tmp_path):
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path))
    folders = models.model_folders()
    assert folders[0] == tmp_path
    assert folders[-1].parts[-2:] == ("Resources", "Models")


def test_no_simulated_notice_for_a_real_model(metadata, tmp_path):
    entry = models.ModelEntry(tmp_path, dataclasses.replace(metadata, simulated_training=False))
    assert "simulated" not in entry.description


def test_importing_the_module_loads_no_torch():
    code = "import sys, DMAFSegmentLib.results, DMAFSegmentLib.install; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_settings_survive_the_parameter_node(scene, new_volume):
    node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    volumes = {"t1": new_volume("a"), "flair": new_volume("b")}
    Settings("brats-test 0.1", "cpu", SubsetChoice("all"), volumes, {"flair"}).save(node)
    assert Settings.load(node) == Settings("brats-test 0.1", "cpu", SubsetChoice("all"), volumes, {"flair"})
    Settings(inputs={"t1": volumes["t1"]}).save(node)
    assert Settings.load(node).inputs == {"t1": volumes["t1"]}
    slicer.mrmlScene.RemoveNode(volumes["t1"])
    assert Settings.load(node).inputs == {}


def test_empty_parameter_node_gives_defaults(scene):
    assert Settings.load(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")) == Settings()
