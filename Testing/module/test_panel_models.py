"""The section "Models" and the input selectors, driven by mouse clicks, with real downloads on this computer."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import slicer
from PySide6.QtCore import QUrl
from PySide6.QtGui import QTextDocument

from DMAFSegmentLib import models
from DMAFSegmentLib.catalogue import describe_bundle
from DMAFTraining.modalities import MYOPS
from model_server import ModelServer

MODULE_FILE = Path(__file__).resolve().parents[2] / "DMAFSegment" / "DMAFSegment.py"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's model folder, and no other models."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path / "site"))
    monkeypatch.setattr(models, "library_folders", tuple)
    (tmp_path / "site").mkdir()
    return models.user_folder()


@pytest.fixture
def server():
    server = ModelServer()
    with server.running():
        yield server


@pytest.fixture
def publish(server, tmp_path, metadata, write_model):
    """Puts a model onto the server, and into the catalogue of the site; what is ``claimed`` may be untrue."""
    listed = []

    def add(name, padding=0, **claimed):
        path = write_model(tmp_path / f"{name}.safetensors", dataclasses.replace(metadata, name=name, title=name))
        path.write_bytes(path.read_bytes() + bytes(padding))
        server.files[path.name] = path.read_bytes()
        entry = describe_bundle(path, f"{server.url}/{path.name}", {"cpu": 13}, f"# Card of {name}")
        listed.append({**entry, **claimed})
        document = {"schema_version": 1, "models": listed}
        (tmp_path / "site" / "site.catalogue.json").write_text(json.dumps(document), encoding="utf-8")
        path.unlink()

    return add


@pytest.fixture
def open_panel(host, home):
    host.load_module(MODULE_FILE)

    def open_section():
        widget = host.open_module("DMAFSegment")
        widget.ui.modelsButton.collapsed = False
        host.process_events()
        return widget

    yield open_section
    host.close_module("DMAFSegment")


def rows(widget):
    table = widget.ui.modelsTable
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def names(folder):
    return sorted(path.name for path in folder.glob("*"))


def idle(host, widget):
    section = widget.panel.model_section
    assert host.process_events(until=lambda: not section._download.running)
    host.process_events()


def choose(widget, title):
    (index,) = [index for index, row in enumerate(rows(widget)) if row[0].startswith(title)]
    widget.ui.modelsTable.selectRow(index)


def test_shipped_model_is_there_at_once_and_says_why_it_stays(host, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv(models.FOLDER_VARIABLE, raising=False)
    host.load_module(MODULE_FILE)
    widget = host.open_module("DMAFSegment")
    ui = widget.ui
    assert rows(widget) == [["Brain tumor, 2 mm, U-Net, 1.0.0", "shipped", "11.3 MB"]]
    assert "simulated tumors only" in ui.modelCard.plainText
    assert "about 5 s on a processor" in ui.modelCard.plainText
    assert ui.modelCard.readOnly
    pictures = re.findall(r'<img src="([^"]+)"', ui.modelCard.html)
    assert len(pictures) == 3
    for name in pictures:
        assert len(ui.modelCard.loadResource(QTextDocument.ResourceType.ImageResource, QUrl(name))) > 10_000
    assert not ui.removeModelButton.enabled
    assert ui.removeModelButton.toolTip.startswith("This model came with the extension")
    assert not ui.downloadModelButton.enabled
    assert ui.downloadModelButton.toolTip == "This model is here already."
    assert str(tmp_path / "home") in ui.modelFolderLabel.text
    host.close_module("DMAFSegment")


def test_download_by_mouse_makes_the_model_usable(host, open_panel, publish, home, new_volume):
    publish("first")
    new_volume("case_t1")
    widget = open_panel()
    ui = widget.ui
    assert rows(widget) == [["first, 0.1", "to download", "0.0 MB"]]
    assert "Card of first" in ui.modelCard.plainText
    assert "Install one under Models" in ui.modelDescriptionLabel.text
    assert "http://127.0.0.1" in ui.downloadModelButton.toolTip
    assert "license Apache-2.0" in ui.downloadModelButton.toolTip
    host.click(ui.downloadModelButton)
    idle(host, widget)
    assert ui.modelsStatusLabel.text == "first 0.1 is installed."
    assert rows(widget)[0][:2] == ["first, 0.1", "installed"]
    assert names(home) == ["first-0.1.md", "first-0.1.safetensors"]
    assert ui.modelComboBox.currentText == "first, 0.1"
    assert "case_t1" in {node.GetName() for node in widget.panel.selectors.nodes().values()}
    assert ui.applyButton.enabled
    assert not ui.downloadProgress.visible


def test_download_does_not_block_and_shows_progress(host, open_panel, publish, server):
    publish("large", padding=2_000_000)
    server.pause = 0.02
    widget = open_panel()
    host.click(widget.ui.downloadModelButton)
    assert widget.ui.downloadModelButton.text == "Cancel download"
    assert widget.ui.downloadProgress.visible
    assert host.process_events(until=lambda: 0 < widget.ui.downloadProgress.value < 100)
    assert "of 2.0 MB" in widget.ui.modelsStatusLabel.text
    assert not widget.ui.installModelButton.enabled
    idle(host, widget)
    assert rows(widget)[0][1:] == ["installed", "2.0 MB"]


def test_download_can_be_canceled_and_leaves_nothing(host, open_panel, publish, server, home):
    publish("large", padding=2_000_000)
    server.pause = 0.05
    widget = open_panel()
    host.click(widget.ui.downloadModelButton)
    assert host.process_events(until=lambda: widget.ui.downloadProgress.value > 0)
    host.click(widget.ui.downloadModelButton)
    assert not widget.ui.downloadModelButton.enabled
    idle(host, widget)
    assert widget.ui.modelsStatusLabel.text == "Download canceled. Nothing was installed."
    assert names(home) == []
    assert rows(widget)[0][1] == "to download"
    assert widget.ui.downloadModelButton.text == "Download"
    assert widget.ui.downloadModelButton.enabled


def test_cut_connection_is_mended(host, open_panel, publish, server, home):
    publish("large", padding=500_000)
    server.cuts = [200_000]
    widget = open_panel()
    host.click(widget.ui.downloadModelButton)
    idle(host, widget)
    assert rows(widget)[0][1] == "installed"
    assert [start for _path, start in server.requests] == [None, "bytes=200000-"]


@pytest.mark.parametrize(
    ("claimed", "text"),
    [
        ({"sha256": "0" * 64}, "Not installed: The file from 127.0.0.1"),
        ({"size": 5}, "sends another file than the catalogue describes"),
        ({"url": "http://127.0.0.1:9/m.safetensors"}, "could not be reached (refused)"),
        ({"version": "9"}, "The downloaded file is broken 0.1, not broken 9."),
        ({"size": 10**18}, "free, the download needs"),
    ],
)
def test_failed_downloads_are_explained_and_leave_nothing(host, open_panel, publish, home, claimed, text):
    publish("broken", **claimed)
    widget = open_panel()
    host.click(widget.ui.downloadModelButton)
    idle(host, widget)
    assert text in widget.ui.modelsStatusLabel.text
    assert names(home) == []
    assert widget.ui.downloadModelButton.enabled


def test_file_that_is_gone(host, open_panel, publish, server, home):
    publish("gone")
    server.files.clear()
    widget = open_panel()
    host.click(widget.ui.downloadModelButton)
    idle(host, widget)
    assert "does not have this file any more (HTTP 404)" in widget.ui.modelsStatusLabel.text


def test_closing_the_module_ends_a_download(host, open_panel, publish, server, home):
    publish("large", padding=2_000_000)
    server.pause = 0.05
    widget = open_panel()
    host.click(widget.ui.downloadModelButton)
    assert host.process_events(until=lambda: widget.ui.downloadProgress.value > 0)
    download = widget.panel.model_section._download
    host.close_module("DMAFSegment")
    assert not download.running
    assert names(home) == []


def test_missing_interpreter_is_explained(host, open_panel, publish, monkeypatch):
    publish("first")
    widget = open_panel()
    monkeypatch.setattr("DMAFSegmentLib.panel_models.worker_interpreter", lambda: "no-such-python")
    host.click(widget.ui.downloadModelButton)
    idle(host, widget)
    assert widget.ui.modelsStatusLabel.text.startswith("Not installed: The download stopped unexpectedly.")


@pytest.fixture
def two_models(home, write_model, metadata, tmp_path):
    """A brain model in the site's folder and a heart model in a file."""
    write_model(tmp_path / "site" / "brain.safetensors", metadata)
    heart = dataclasses.replace(metadata, name="a-heart", title="A heart model", modalities=MYOPS)
    return write_model(tmp_path / "heart.safetensors", heart)


def test_install_from_file_keeps_the_choice(host, open_panel, two_models, home):
    widget = open_panel()
    ui = widget.ui
    assert ui.modelComboBox.currentText == "Brain tumor test model, 0.1"
    host.dialogs.answer("QFileDialog.getOpenFileName", str(two_models))
    host.click(ui.installModelButton)
    assert ui.modelsStatusLabel.text == "heart.safetensors is installed."
    assert names(home) == ["a-heart-0.1.safetensors"]
    assert ui.modelComboBox.count == 2
    assert ui.modelComboBox.currentText == "Brain tumor test model, 0.1"
    assert list(widget.panel.selectors.combos) == ["t1", "t1ce", "flair", "t2"]
    ui.modelComboBox.currentIndex = ui.modelComboBox.findText("A heart model, 0.1")
    assert list(widget.panel.selectors.combos) == ["bssfp", "lge", "t2"]
    assert "A heart model" in ui.modelCard.plainText


def test_nothing_happens_without_a_file(host, open_panel, two_models, home):
    widget = open_panel()
    host.click(widget.ui.installModelButton)
    assert not home.exists()
    assert not widget.ui.modelsStatusLabel.visible


def test_damaged_file_is_not_installed(host, open_panel, two_models, home):
    two_models.write_bytes(two_models.read_bytes()[:40])
    widget = open_panel()
    host.dialogs.answer("QFileDialog.getOpenFileName", str(two_models))
    host.click(widget.ui.installModelButton)
    assert widget.ui.modelsStatusLabel.text.startswith("Not installed: ")
    assert names(home) == []


def test_catalogue_can_be_installed_from_a_file(host, open_panel, publish, tmp_path, home):
    publish("first")
    file = (tmp_path / "site" / "site.catalogue.json").rename(tmp_path / "our models.json")
    widget = open_panel()
    assert rows(widget) == []
    host.dialogs.answer("QFileDialog.getOpenFileName", str(file))
    host.click(widget.ui.installModelButton)
    assert [row[:2] for row in rows(widget)] == [["first, 0.1", "to download"]]


def test_broken_catalogue_is_told(host, open_panel, tmp_path):
    (host_catalogue := tmp_path / "site" / "catalogue.json").write_text("{}", encoding="utf-8")
    widget = open_panel()
    assert f"{host_catalogue} is not a usable catalogue of models" in widget.ui.modelsStatusLabel.text


def test_remove_asks_first(host, open_panel, two_models, home, monkeypatch):
    widget = open_panel()
    ui = widget.ui
    host.dialogs.answer("QFileDialog.getOpenFileName", str(two_models))
    host.click(ui.installModelButton)
    choose(widget, "A heart model")
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text))
    host.click(ui.removeModelButton)
    assert asked == [f"Delete A heart model, 0.1 (0.0 MB) from {home}?"]
    assert names(home) == ["a-heart-0.1.safetensors"]
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: True)
    host.click(ui.removeModelButton)
    assert names(home) == []
    assert ui.modelsStatusLabel.text == "A heart model, 0.1 was removed."
    assert ui.modelComboBox.count == 1
    assert ui.modelComboBox.currentText == "Brain tumor test model, 0.1"


def test_models_of_the_site_are_not_removed(host, open_panel, two_models, tmp_path):
    widget = open_panel()
    assert not widget.ui.removeModelButton.enabled
    assert str(tmp_path / "site") in widget.ui.removeModelButton.toolTip


def test_nothing_is_removed_during_a_run(host, open_panel, two_models, home, monkeypatch):
    widget = open_panel()
    host.dialogs.answer("QFileDialog.getOpenFileName", str(two_models))
    host.click(widget.ui.installModelButton)
    choose(widget, "A heart model")
    monkeypatch.setattr(type(widget.logic), "running", True)
    host.click(widget.ui.removeModelButton)
    monkeypatch.undo()
    assert widget.ui.modelsStatusLabel.text.startswith("A segmentation is running")
    assert "a-heart-0.1.safetensors" in names(home)


def test_folder_is_opened(host, open_panel, home):
    widget = open_panel()
    host.click(widget.ui.modelFolderButton)
    assert ("QDesktopServices.openUrl", f"file://{home}") in host.dialogs.messages
    assert home.is_dir()


def test_section_can_be_used_with_the_keyboard_and_a_screen_reader(open_panel, two_models):
    ui = open_panel().ui
    for name in ("modelsTable", "downloadModelButton", "installModelButton", "removeModelButton", "modelFolderButton"):
        widget = getattr(ui, name)
        assert widget.accessibleName or widget.text
        assert widget.toolTip
    assert ui.modelCard.accessibleName == "Model card"
    assert ui.downloadProgress.accessibleName


# -- input selectors --------------------------------------------------------------------------


def test_selectors_explain_sequences_and_guesses(host, open_panel, two_models, new_volume):
    new_volume("case_t1")
    meaningless = new_volume("7: series")
    widget = open_panel()
    combos = widget.panel.selectors.combos
    assert combos["t1"].toolTip == (
        "T1 volume; leave at None when it does not exist.\n"
        "T1-weighted without contrast medium: fluid is dark, white matter brighter than gray matter. "
        "Also called t1w, t1n, t1native, t1pre.\n"
        'Chosen because of its name "case_t1" (high confidence).'
    )
    assert combos["t1"].accessibleDescription.endswith("(high confidence).")
    assert "ventricles are dark, edema is bright" in combos["flair"].toolTip
    combos["flair"].setCurrentNode(meaningless)
    assert combos["flair"].toolTip.endswith("Chosen by you.")
    assert widget.ui.summaryLabel.text == (
        "T1 and FLAIR present; T1ce and T2 missing; expected accuracy unknown for this model."
    )


def test_low_confidence_asks_for_a_look(host, open_panel, two_models, new_volume):
    node = new_volume("7: series")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    host.dicom.values |= {("1.2.3", "0018,0080"): "4500", ("1.2.3", "0018,0081"): "100"}
    widget = open_panel()
    combo = widget.panel.selectors.combos["t2"]
    assert combo.currentNode() is node
    assert combo.toolTip.endswith("inversion times (T2) (low confidence). Please check it.")
    assert widget.ui.summaryLabel.text.endswith("Please check what was chosen for T2: the tooltip says why.")
    combo.setCurrentNode(None)
    assert "Please check" not in widget.ui.summaryLabel.text


def test_model_with_figures_tells_what_to_expect(host, open_panel, metadata, write_model, tmp_path, new_volume):
    table = {"T1": {"WT": 0.7, "ET": 0.2}, "T1+T1ce+FLAIR+T2": {"WT": 0.9, "ET": 0.25}}
    measured = dataclasses.replace(metadata, expected_dice=table, expected_dice_source="simulated test cases")
    write_model(tmp_path / "site" / "brain.safetensors", measured)
    new_volume("case_t1")
    assert open_panel().ui.summaryLabel.text == (
        "T1 present; T1ce, FLAIR and T2 missing; expected whole tumor Dice 0.70 (simulated test cases). "
        "With all sequences the Dice of the whole tumor would be 0.90 in place of 0.70."
    )
