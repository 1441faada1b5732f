"""The sample case: what is shipped, loading it by one click, and its entry in the Sample Data module."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import types
from pathlib import Path
from urllib.request import url2pathname, urlopen

import numpy as np
import pytest
import slicer
from PIL import Image

from DMAFSegmentLib import models, sample_data
from DMAFSegmentLib.sample_data import SAMPLE_FOLDER, load_sample_case, register_sample_data, sample_case
from DMAFTraining.modalities import BRATS

ROOT = Path(__file__).resolve().parents[2]
MODULE_FILE = ROOT / "DMAFSegment" / "DMAFSegment.py"


def volume_names():
    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))


@pytest.fixture
def copy(tmp_path):
    """A copy of the shipped folder, to damage."""
    return Path(shutil.copytree(SAMPLE_FOLDER, tmp_path / "sample"))


def test_the_case_is_small_whole_and_said_to_be_simulated():
    case = sample_case()
    assert tuple(image.sequence for image in case.images) == BRATS.names
    for image in case.images:
        assert hashlib.sha256(image.path.read_bytes()).hexdigest() == image.sha256
        assert image.node.startswith("Simulated")
        assert "simulated" in image.path.name
    assert json.loads((SAMPLE_FOLDER / "sample.json").read_text(encoding="utf-8"))["simulated"] is True
    assert "Simulated" in case.title
    assert sum(path.stat().st_size for path in SAMPLE_FOLDER.iterdir()) < 3_000_000
    with Image.open(case.thumbnail) as picture:
        assert picture.size == (260, 280)
        assert np.ptp(np.asarray(picture.convert("L"))) > 200


def test_loading_gives_four_named_volumes_on_one_grid(host):
    nodes = load_sample_case()
    assert list(nodes) == list(BRATS.names)
    assert volume_names() == ["Simulated_FLAIR", "Simulated_T1", "Simulated_T1ce", "Simulated_T2"]
    for node in nodes.values():
        array = slicer.util.arrayFromVolume(node)
        assert array.dtype == np.int16
        assert node.GetSpacing() == pytest.approx((2.0, 2.0, 2.0))
        assert np.percentile(array[array > 0], 99) == pytest.approx(1000, abs=2)  # as the tool scales them
        assert node.GetOrigin() == nodes["t1"].GetOrigin()


def test_a_saved_scene_gets_images_of_its_own(host, tmp_path):
    load_sample_case()
    before = {path.name: path.stat().st_mtime_ns for path in SAMPLE_FOLDER.iterdir()}
    assert all(n.GetStorageNode() is None for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    host.clear_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    assert len(volume_names()) == 4
    assert {path.name: path.stat().st_mtime_ns for path in SAMPLE_FOLDER.iterdir()} == before


def test_a_damaged_image_leaves_the_scene_as_it_was(host, copy):
    (copy / "DMAFSegment-simulated_flair.nii.gz").write_bytes(b"not an image")
    with pytest.raises(RuntimeError):
        load_sample_case(copy)
    assert volume_names() == []


@pytest.mark.parametrize("name", ["sample.json", "DMAFSegment-simulated_t2.nii.gz"])
def test_a_missing_file_is_explained(host, copy, name):
    (copy / name).unlink()
    with pytest.raises(RuntimeError, match="Install the extension again"):
        sample_case(copy)


# -- the button --------------------------------------------------------------------------------------


@pytest.fixture
def open_panel(host, bundle, monkeypatch):
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    host.load_module(MODULE_FILE)
    yield lambda: host.open_module("DMAFSegment")
    host.close_module("DMAFSegment")


def test_one_click_fills_all_selectors(host, open_panel):
    panel = open_panel()
    host.click(panel.ui.sampleButton)
    chosen = {name: node.GetName() for name, node in panel.panel.selectors.nodes().items()}
    assert chosen == {f"{name}": f"Simulated_{BRATS[name].title}" for name in BRATS.names}
    assert panel.ui.applyButton.enabled
    assert not panel.ui.sampleButton.visible


def test_the_button_is_there_only_while_nothing_is_chosen(host, open_panel, new_volume):
    new_volume("case_t1")
    panel = open_panel()
    assert not panel.ui.sampleButton.visible
    panel.panel.selectors.combos["t1"].setCurrentNode(None)
    assert panel.ui.sampleButton.visible
    host.click(panel.ui.sampleButton)
    assert set(panel.panel.selectors.nodes()) == set(BRATS.names)


def test_a_broken_installation_says_so_and_offers_nothing(host, open_panel, monkeypatch, copy):
    (copy / "DMAFSegment-simulated_t2.nii.gz").unlink()
    monkeypatch.setattr(sample_data.sample_case, "__defaults__", (copy,))
    assert not open_panel().ui.sampleButton.visible


# -- the Sample Data module --------------------------------------------------------------------------


class SampleDataLogic:
    """The part of Slicer's class that we use, with its parameter names; remembers what is registered."""

    sources: list[dict]

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType="VolumeFile",
        loadFiles=None,
        loadFileProperties={},  # noqa: B006 - Slicer's signature
        checksums=None,
    ):
        assert isinstance(uris, list | tuple)
        assert len(uris) == len(fileNames) == len(nodeNames) == len(checksums)
        SampleDataLogic.sources.append(dict(locals()))


@pytest.fixture
def sample_data_module(monkeypatch):
    SampleDataLogic.sources = []
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return SampleDataLogic.sources


def test_sample_data_can_download_what_is_registered(host, sample_data_module, tmp_path):
    register_sample_data()
    (source,) = sample_data_module
    assert source["category"] == "DMAF Segment"
    assert Path(source["thumbnailFileName"]).is_file()
    assert source["loadFileType"] == "VolumeFile"
    for uri, name, checksum in zip(source["uris"], source["fileNames"], source["checksums"], strict=True):
        assert uri.startswith("file:///")
        assert Path(url2pathname(uri.removeprefix("file://"))).name == name
        with urlopen(uri) as response:  # noqa: S310 - a file beside the module
            (tmp_path / name).write_bytes(response.read())
        algorithm, digest = slicer.util.extractAlgoAndDigest(checksum)  # Slicer's own check
        assert slicer.util.computeChecksum(algorithm, str(tmp_path / name)) == digest


def test_registered_when_slicer_has_started(host, sample_data_module):
    host.load_module(MODULE_FILE)
    slicer.app.startupCompleted.emit()
    assert sample_data_module[-1]["sampleName"] == "SimulatedBrainTumor"


def test_slicer_without_sample_data_starts_all_the_same(host):
    assert "SampleData" not in sys.modules
    register_sample_data()
    host.raise_errors()
