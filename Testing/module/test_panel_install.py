"""Missing packages, the chosen Python and the devices in the panel, with stand-ins of what installs in Slicer."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import slicer

from DMAFSegmentLib import install, models
from DMAFSegmentLib.job import Worker
from host.installation import Installation

ROOT = Path(__file__).resolve().parents[2]
MODULE_FILE = ROOT / "DMAFSegment" / "DMAFSegment.py"


@pytest.fixture
def open_panel(host, bundle, worker_command, new_volume, monkeypatch):
    """Opens the panel with one volume; ``program`` is the worker's Python (default: this one)."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    monkeypatch.setattr("DMAFSegmentLib.panel_environment._LOOK_AFTER_S", 0.0)
    new_volume("case_t1")
    host.load_module(MODULE_FILE)

    def open_with(program=sys.executable, behavior="normal"):
        widget = host.open_module("DMAFSegment")
        widget.logic.worker = Worker((str(program), *worker_command(behavior)[1:]))
        return widget

    yield open_with
    host.close_module("DMAFSegment")


@pytest.fixture
def installation(tmp_path, monkeypatch):
    """A Slicer whose Python lacks two packages; its 5.12 tools are there."""
    folder = tmp_path / "slicer-python"
    folder.mkdir()
    stand_in = Installation(folder)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("torch>=99.1\nimaginary>=2.0\n", encoding="utf-8")
    monkeypatch.setattr(install, "REQUIREMENTS", requirements)
    monkeypatch.setenv("PATH", str(stand_in.program.parent), prepend=":")
    assert shutil.which("PythonSlicer") == str(stand_in.program)
    monkeypatch.syspath_prepend(str(stand_in.site))
    monkeypatch.setitem(sys.modules, "slicer.packaging", stand_in.packaging())
    monkeypatch.setitem(sys.modules, "PyTorchUtils", stand_in.extension())
    monkeypatch.setattr(slicer.util, "launchConsoleProcess", stand_in.launch_console_process)
    monkeypatch.setattr(slicer.util, "pip_install", stand_in.pip_install)
    return stand_in


@pytest.fixture
def asked(monkeypatch):
    """Questions the user was asked; all are answered with OK."""
    questions = []

    def confirm(text, windowTitle=None, parent=None, **kwargs):
        questions.append((text, kwargs["detailedText"]))
        return True

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    return questions


def looked(host, panel):
    assert host.process_events(until=lambda: panel.panel.environment.check is not None)


def settled(host, panel):
    assert host.process_events(until=lambda: not panel.panel.environment.install.installer.running)
    assert host.process_events(until=lambda: "Looking" not in panel.ui.interpreterLabel.text)


def test_missing_packages_are_told_before_anybody_presses_apply(host, open_panel, installation, asked):
    panel = open_panel(installation.program)
    looked(host, panel)
    assert panel.ui.installFrame.visible
    text = 'Not installed yet: PyTorch, imaginary. Press "Install...".'
    assert panel.ui.installLabel.text == text
    assert panel.ui.applyButton.toolTip == text
    assert not panel.ui.applyButton.enabled
    assert installation.calls == asked == []


def test_one_question_then_torch_in_the_background_and_the_rest_by_pip_ensure(host, open_panel, installation, asked):
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    assert panel.ui.installButton.text == "Cancel installation"
    assert panel.ui.applyButton.toolTip == "Python packages are being installed."
    settled(host, panel)
    assert installation.calls == [("light_the_torch", "torch>=99.1"), ("pip_ensure", ["imaginary>=2.0"])]
    ((question, details),) = asked
    assert "  - torch>=99.1 (0.2 to 3 GB)\n  - imaginary>=2.0 (size unknown)" in question
    assert "--no-index --find-links wheels" in details
    assert "Collecting torch" in panel.ui.logText.plainText
    assert not panel.ui.installFrame.visible
    assert panel.ui.applyButton.enabled
    assert host.process_events(until=lambda: "Card A" in panel.ui.interpreterLabel.text)


def test_declining_installs_nothing(host, open_panel, installation, monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_args, **_kwargs: False)
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    assert installation.calls == []
    assert panel.ui.installButton.text == "Install..."


def test_cancel_stops_the_download(host, open_panel, installation, asked):
    installation.patience_ms = 20_000
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    host.click(panel.ui.installButton)
    settled(host, panel)
    assert installation.calls == [("light_the_torch", "torch>=99.1")]
    assert panel.ui.installLabel.text.startswith("Canceled.")
    assert "Not installed yet: PyTorch, imaginary" in panel.ui.installLabel.text
    assert panel.ui.installButton.text == "Install..."


def test_failed_download_is_told_and_can_be_tried_again(host, open_panel, installation, asked):
    installation.torch_code = 1
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    settled(host, panel)
    assert "PyTorch could not be installed (exit code 1)" in panel.ui.installLabel.text
    installation.torch_code = 0
    host.click(panel.ui.installButton)
    settled(host, panel)
    assert panel.ui.applyButton.enabled


def test_older_slicer_installs_with_the_extension_and_pip(host, open_panel, installation, asked, monkeypatch):
    monkeypatch.setattr(slicer.util, "launchConsoleProcess", lambda args, useStartupEnvironment=True: None)
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    settled(host, panel)
    assert installation.calls == [("installTorch", ["torch>=99.1"]), ("pip_install", ["imaginary>=2.0"])]
    assert "Slicer does not answer until PyTorch is installed" in panel.ui.logText.plainText
    assert panel.ui.applyButton.enabled


def test_missing_extension_is_named(host, open_panel, installation, asked, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    settled(host, panel)
    assert "The PyTorch extension is missing. Install it with the Extensions Manager" in panel.ui.installLabel.text
    assert installation.calls == []


def test_closing_the_panel_during_an_installation(host, open_panel, installation, asked):
    installation.patience_ms = 300
    panel = open_panel(installation.program)
    looked(host, panel)
    host.click(panel.ui.installButton)
    host.close_module("DMAFSegment")
    host.process_events(until=lambda: False, timeout=0.5)


def test_apply_with_missing_packages_installs_nothing(host, open_panel, installation, monkeypatch):
    monkeypatch.setattr("DMAFSegmentLib.panel_environment._LOOK_AFTER_S", 60.0)  # nobody has looked before
    panel = open_panel(installation.program)
    host.click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text.startswith("Not installed yet: PyTorch")
    assert panel.ui.installFrame.visible
    assert installation.calls == []


def test_script_gets_a_sentence_when_packages_are_missing(host, open_panel, installation):
    panel = open_panel(installation.program)
    with pytest.raises(RuntimeError, match="Not installed yet: PyTorch"):
        panel.logic.process({"t1": slicer.util.getNode("case_t1")})


def test_devices_are_listed_in_the_background(host, open_panel):
    panel = open_panel()
    combo = panel.ui.deviceComboBox
    assert [combo.itemText(index) for index in range(combo.count)] == ["Automatic", "CPU"]
    assert host.process_events(until=lambda: combo.count == 4)
    assert combo.itemText(1) == "CUDA 0 (Card A, 7.5 GB free)"
    assert combo.itemData(2, sys.modules["qt"].Qt.ToolTipRole) == "CUDA 1 does not work: no kernel image is available"
    assert combo.currentText == "Automatic"


def test_stored_device_that_is_gone_stays_visible_and_automatic_is_used(host, open_panel):
    panel = open_panel()
    combo, devices = panel.ui.deviceComboBox, panel.panel.environment.devices
    devices.choose("cuda:5")
    assert combo.currentText == "CUDA 5"
    assert devices.value == "cuda:5", "nobody knows better yet"
    assert host.process_events(until=lambda: combo.count == 5)
    assert combo.currentText == "CUDA 5 (not found; Automatic is used)"
    assert panel.panel.request()["device"] == "auto"
    assert devices.choice == "cuda:5"
    combo.currentIndex = 1
    assert panel.panel.request()["device"] == "cuda:0"


def test_torch_that_is_there_and_does_not_load_disables_apply(host, open_panel):
    panel = open_panel(behavior="crash")
    assert host.process_events(until=lambda: panel.ui.installFrame.visible)
    assert "PyTorch cannot be loaded (libc.so)." in panel.ui.installLabel.text
    assert not panel.ui.installButton.visible
    assert panel.ui.applyButton.toolTip == panel.ui.installLabel.text


def test_chosen_python_is_checked_and_remembered_outside_the_scene(host, open_panel, bundle):
    panel = open_panel()
    panel.logic.worker = None  # the shipped one
    panel.ui.interpreterEdit.text = "/no/such/python"
    panel.ui.interpreterEdit.editingFinished.emit()
    assert host.process_events(until=lambda: "cannot be run (/no/such/python)" in panel.ui.interpreterLabel.text)
    assert not panel.ui.applyButton.enabled
    assert panel.ui.installFrame.visible
    assert not panel.ui.installButton.visible, "we install in Slicer's own Python only"
    node = panel.logic.getParameterNode()
    assert all("/no/such" not in node.GetParameter(name) for name in node.GetParameterNames())
    host.close_module("DMAFSegment")
    panel = open_panel()
    assert panel.ui.interpreterEdit.text == "/no/such/python"
    panel.ui.interpreterEdit.text = ""
    panel.ui.interpreterEdit.editingFinished.emit()
    settled(host, panel)
    assert "has everything that is needed" in panel.ui.interpreterLabel.text
    assert panel.ui.applyButton.enabled


def test_python_can_be_browsed(host, open_panel):
    panel = open_panel()
    panel.ui.advancedButton.collapsed = False
    panel.parent.resize(520, 1600)
    host.process_events()
    host.dialogs.answer("QFileDialog.getOpenFileName", sys.executable)
    host.click(panel.ui.browseInterpreterButton)
    assert panel.ui.interpreterEdit.text == sys.executable
    settled(host, panel)
    host.dialogs.answer("QFileDialog.getOpenFileName", "")
    host.click(panel.ui.browseInterpreterButton)
    assert panel.ui.interpreterEdit.text == sys.executable


# -- the program that extracts the brain: offered, never demanded ------------------------------------------


def without_packages(program):
    """Let a stand-in of PythonSlicer see only what was "installed" in it."""
    program.write_text(
        program.read_text(encoding="utf-8").replace(f'"{sys.executable}"', f'"{sys.executable}" -S'), encoding="utf-8"
    )


@pytest.fixture
def nothing_else_missing(installation):
    """Slicer's Python has what every segmentation needs, and no program for brain extraction."""
    install.REQUIREMENTS.write_text("imaginary>=2.0\n", encoding="utf-8")
    installation.add("imaginary>=2.0")
    without_packages(installation.program)
    return installation


def section(host, panel):
    panel.ui.preprocessingButton.collapsed = False
    panel.parent.resize(400, 2000)
    looked(host, panel)
    host.process_events()
    return panel.ui


def test_deepbet_is_offered_and_installed_after_one_question(host, open_panel, nothing_else_missing, asked):
    panel = open_panel(nothing_else_missing.program)
    ui = section(host, panel)
    assert ui.brainToolLabel.text == (
        "No program for brain extraction is installed: scans with a skull will be refused."
    )
    assert ui.applyButton.enabled, "perhaps the scans have none"
    ui.brainComboBox.currentIndex = ui.brainComboBox.findData("deepbet")
    assert ui.applyButton.toolTip.startswith("deepbet is not installed.")
    assert asked == []
    host.click(ui.brainToolButton)
    settled(host, panel)
    ((question, details),) = asked
    assert "Extracting the brain needs this Python package" in question
    assert "  - deepbet>=1.0.2 (10 MB" in question
    assert '"deepbet>=1.0.2"' in details
    assert nothing_else_missing.calls == [("pip_ensure", ["deepbet>=1.0.2"])]
    assert ui.brainToolLabel.text == "Installed for brain extraction: deepbet."
    assert not ui.brainToolButton.visible
    assert ui.applyButton.enabled


def test_declining_deepbet_installs_nothing(host, open_panel, nothing_else_missing, monkeypatch):
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_args, **_kwargs: False)
    panel = open_panel(nothing_else_missing.program)
    ui = section(host, panel)
    host.click(ui.brainToolButton)
    assert nothing_else_missing.calls == []
    assert ui.brainToolButton.enabled


def test_why_deepbet_could_not_be_installed_is_told(host, open_panel, nothing_else_missing, asked, monkeypatch):
    def fail(*_arguments, **_options):
        raise RuntimeError("no network")

    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", fail)
    panel = open_panel(nothing_else_missing.program)
    ui = section(host, panel)
    host.click(ui.brainToolButton)
    settled(host, panel)
    assert ui.brainToolLabel.text.startswith("The installation failed: no network No program")
    assert ui.brainToolButton.enabled


def test_deepbet_waits_for_what_is_needed_first(host, open_panel, installation):
    without_packages(installation.program)
    panel = open_panel(installation.program)
    ui = section(host, panel)
    assert ui.brainToolButton.visible
    assert not ui.brainToolButton.enabled
    assert ui.brainToolButton.toolTip == "Wait until what every segmentation needs is installed."


def test_another_python_is_told_the_command(host, open_panel, tmp_path, monkeypatch):
    program, requirements = tmp_path / "python", tmp_path / "requirements.txt"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    requirements.write_text("", encoding="utf-8")
    monkeypatch.setattr(install, "REQUIREMENTS", requirements)
    panel = open_panel(program)
    ui = section(host, panel)
    panel.panel.environment.look()  # the first look may have been at the Python of the shipped worker
    settled(host, panel)
    assert ui.brainToolLabel.text.endswith(f'Install one there: "{program}" -m pip install "deepbet>=1.0.2"')
    assert not ui.brainToolButton.visible
