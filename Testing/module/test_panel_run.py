"""Running from the panel with real processes: launchers, kills at any moment, silence, the report, many runs."""

from __future__ import annotations

import collections
import os
import signal
import sys
from pathlib import Path

import pytest
import slicer
from shiboken6 import Shiboken

from DMAFSegmentLib import models
from DMAFSegmentLib.attributes import our_segmentations
from DMAFSegmentLib.job import Worker
from results_rig import choose_subsets

ROOT = Path(__file__).resolve().parents[2]
MODULE_FILE = ROOT / "DMAFSegment" / "DMAFSegment.py"
LAUNCHER = "import subprocess, sys\nsys.exit(subprocess.call(sys.argv[1:]))\n"


@pytest.fixture
def panel(host, bundle, new_volume, worker_command, monkeypatch):
    """The open panel with T1 and FLAIR in the scene."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    new_volume("Roe_Jane_t1")
    new_volume("Roe_Jane_flair")
    host.load_module(MODULE_FILE)
    widget = host.open_module("DMAFSegment")
    widget.logic.worker = Worker(worker_command("normal"))
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    yield widget
    host.close_module("DMAFSegment")


@pytest.fixture
def behind_launcher(tmp_path):
    """The command of a worker behind a parent that only starts it and waits, as PythonSlicer does."""
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER, encoding="utf-8")
    return lambda command: (sys.executable, str(script), *command)


@pytest.fixture
def children():
    """Process ids of what the test started, and of what that started; zombies do not count.

    Earlier tests may have left processes of Python's own, such as its resource tracker.
    """
    others = descendants(os.getpid())
    return lambda: [pid for pid in descendants(os.getpid()) if pid not in others]


def descendants(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text(encoding="utf-8").split()):
            found += [child, *descendants(child)] if alive(child) else []
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def node_ids():
    scene = slicer.mrmlScene
    return {scene.GetNthNode(i).GetID() for i in range(scene.GetNumberOfNodes())}


def run_until_idle(host, panel):
    assert host.process_events(until=lambda: not panel.logic.running)
    host.process_events()


@pytest.mark.parametrize("how", ["cancel", "close the module", "close the scene"])
def test_deaf_worker_behind_a_launcher_is_ended(host, panel, worker_command, behind_launcher, how, children):
    panel.logic.worker = Worker(behind_launcher(worker_command("hang")))
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: panel.ui.progressBar.value == 50)
    launcher, worker = children()
    logic = panel.logic
    if how == "cancel":
        host.click(panel.ui.applyButton)
    elif how == "close the module":
        host.close_module("DMAFSegment")
    else:
        host.clear_scene()
    assert host.process_events(until=lambda: not (alive(launcher) or alive(worker)))
    assert host.process_events(until=lambda: not logic.running)


def test_worker_ends_when_only_its_launcher_was_killed(host, panel, worker_command, behind_launcher, children):
    panel.logic.worker = Worker(behind_launcher(worker_command("slow")))
    choose_subsets(panel)
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: panel.logic.job.worker_info)
    launcher, worker = children()
    os.kill(launcher, signal.SIGKILL)
    assert host.process_events(until=lambda: not alive(worker)), "the end of its input should end it"
    run_until_idle(host, panel)
    assert "signal 9" in panel.ui.statusLabel.text


def test_real_worker_behind_a_launcher_ends_at_once_while_it_starts(host, panel, behind_launcher, children):
    panel.logic.worker = Worker(
        behind_launcher([sys.executable, "-m", "DMAFTraining.predict"]), {"PYTHONPATH": str(ROOT)}
    )
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: len(children()) == 2)
    processes = children()
    host.close_module("DMAFSegment")
    assert host.process_events(until=lambda: not any(map(alive, processes)))


@pytest.mark.parametrize(
    ("moment", "kept"), [("starting", 0), ("loading", 0), ("preparing", 0), ("results", 1), ("writing", 1)]
)
def test_killed_worker_leaves_the_scene_unchanged_or_with_finished_results(
    host, panel, worker_command, moment, kept, children
):
    panel.logic.worker = Worker(worker_command(f"pause-{moment}"))
    choose_subsets(panel)
    before = node_ids()
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: "pausing" in panel.ui.logText.plainText)
    folder = panel.logic.job.folder
    (worker,) = children()
    os.kill(worker, signal.SIGKILL)
    run_until_idle(host, panel)
    text = panel.ui.statusLabel.text
    assert text.startswith("Failed: The system ended the worker (signal 9), probably because the computer ran out")
    assert ("One finished result was kept." in text) == bool(kept)
    assert len(our_segmentations(slicer.mrmlScene)) == len(panel.logic.segmentations) == kept
    if not kept:
        assert node_ids() == before
    assert not folder.exists()
    assert panel.ui.applyButton.enabled


def test_silence_is_told_and_the_next_sign_of_life_ends_it(host, panel, worker_command, monkeypatch):
    monkeypatch.setattr("DMAFSegmentLib.panel_run._SILENCE_S", 0.2)
    panel.panel.run._watch.interval = 20
    panel.logic.worker = Worker(worker_command("hang"))
    host.click(panel.ui.applyButton)
    assert host.process_events(until=lambda: panel.ui.statusLabel.text.startswith("Hanging\nNo"))
    assert panel.ui.statusLabel.text == "Hanging\nNo sign of life for 0 s; still waiting - Cancel is safe."
    panel.logic.job.progress.emit(0.6, "Back again", None)
    assert panel.ui.statusLabel.text == "Back again"
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    assert panel.ui.statusLabel.text.startswith("Canceled")


def test_script_gets_a_sentence_when_something_runs(host, panel, worker_command):
    panel.logic.worker = Worker(worker_command("slow"))
    host.click(panel.ui.applyButton)
    job = panel.logic.job
    with pytest.raises(RuntimeError, match=r"running already\. Wait for it or cancel it\."):
        panel.logic.process(panel.panel.selectors.nodes())
    assert panel.logic.job is job
    run_until_idle(host, panel)
    assert panel.ui.statusLabel.text == "Finished: one segmentation."


def test_closing_the_scene_ends_a_run_of_a_script(host, panel, worker_command):
    logic = sys.modules["DMAFSegment"].DMAFSegmentLogic()
    logic.worker = Worker(worker_command("slow"))
    inputs = panel.panel.selectors.nodes()
    host.close_module("DMAFSegment")
    job = logic.prepare(inputs)
    job.started.connect(lambda _event: host._core.clear())
    logic.prepare = lambda *_args, **_options: job
    with pytest.raises(RuntimeError, match="was canceled"):
        logic.process(inputs)
    assert our_segmentations(slicer.mrmlScene) == []


def test_report_names_no_patient(host, panel, worker_command, monkeypatch):
    node = slicer.util.getNode("Roe_Jane_t1")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName("/archive/Roe_Jane/1970-01-02/t1.nii.gz")
    node.SetAttribute("DICOM.instanceUIDs", "1.2.3.4.5.6.7")
    host.dicom.values[("1.2.3.4.5.6.7", "0010,0010")] = "ROE^JANE"
    host.dicom.values[("1.2.3.4.5.6.7", "0010,0020")] = "7654321"
    panel.logic.worker = Worker(worker_command("gossip"), {"GOSSIP": node.GetName()})
    host.click(panel.ui.applyButton)
    run_until_idle(host, panel)
    assert "Roe_Jane" in panel.ui.statusLabel.text, "the user sees the file; the report must not"
    panel.ui.copyReportButton.click()
    report = sys.modules["qt"].QApplication.clipboard().text()
    for secret in (
        "Roe",
        "roe",
        "ROE",
        "Jane",
        "JANE",
        "7654321",
        "1970",
        "archive",
        "head scan",
        "1.2.840",
        "1.2.3.4",
    ):
        assert secret not in report, report
    for wanted in (
        f"Slicer: {slicer.app.applicationVersion}",
        "Worker: torch: 2.13.0",
        "Device: auto (used: cpu)",
        "t1: 24x20x16, 2 x 2 x 2 mm",
        'Failed: Cannot read "<path>". Check t1.',
    ):
        assert wanted in report, report


def test_report_without_a_run_tells_the_versions(host, panel):
    panel.ui.copyReportButton.click()
    report = sys.modules["qt"].QApplication.clipboard().text()
    assert f"Slicer: {slicer.app.applicationVersion}" in report


def test_twenty_runs_leave_nothing_behind(host, panel, worker_command, children):
    panel.logic.worker = Worker(worker_command("quick"))

    def run():
        host.click(panel.ui.applyButton)
        run_until_idle(host, panel)
        assert panel.ui.statusLabel.text == "Finished: one segmentation.", panel.ui.logText.plainText
        for kind in ("Segmentation", "Table", "Text"):
            for node in slicer.util.getNodesByClass(f"vtkMRML{kind}Node"):
                slicer.mrmlScene.RemoveNode(node)
        host.process_events()

    def count():
        wrappers = [type(entry).__name__ for entry in Shiboken.getAllValidWrappers()]
        return {
            "files": len(os.listdir("/proc/self/fd")),
            "children": len(children()),
            "processes": wrappers.count("QProcess"),
            "timers": wrappers.count("QTimer"),
            "nodes": collections.Counter(node.GetClassName() for node in slicer.util.getNodesByClass("vtkMRMLNode")),
        }

    def resident_bytes():
        return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    assert host.process_events(until=lambda: panel.panel.environment.devices.known)
    for _ in range(3):
        run()
    before, memory = count(), resident_bytes()
    for _ in range(20):
        run()
    grown, nodes = resident_bytes() - memory, before.pop("nodes")
    assert count()["nodes"] == nodes

    def nothing_left():  # timers of the last run may still have to fire
        after = count()
        return all(after[name] <= before[name] for name in before)

    assert host.process_events(until=nothing_left, timeout=5), (before, count())
    assert grown < 20e6, "a volume of a real case is larger"
