"""The script of docs/slicer-scripting.md is run as it is printed, and the other ways it names exist."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slicer

from DMAFSegmentLib import models
from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.sample_data import SAMPLE_FOLDER

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "slicer-scripting.md").read_text(encoding="utf-8")


@pytest.fixture
def module(host, bundle, worker_command, monkeypatch):
    """The module with the test model and the stand-in worker."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    module = host.load_module(ROOT / "DMAFSegment" / "DMAFSegment.py")
    monkeypatch.setattr(module.DMAFSegmentLogic, "current_worker", lambda self: Worker(worker_command("normal")))
    return module


@pytest.fixture
def cases(tmp_path):
    """Two patients with different sequences, and one whose files nobody can tell apart."""
    for case, names in {"anna": ("t1", "flair"), "bert": ("t2",), "carl": ()}.items():
        (tmp_path / "cases" / case).mkdir(parents=True)
        for name in names:
            shutil.copy(SAMPLE_FOLDER / f"DMAFSegment-simulated_{name}.nii.gz", tmp_path / "cases" / case)
    shutil.copy(SAMPLE_FOLDER / "DMAFSegment-simulated_t1.nii.gz", tmp_path / "cases" / "carl" / "what.nii.gz")
    return tmp_path / "cases"


@pytest.fixture
def script(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "batch.py"
    path.write_text(block, encoding="utf-8")
    return path


def test_the_script_segments_a_folder_and_says_what_failed(module, script, cases, tmp_path, capsys):
    failures = runpy.run_path(str(script))["main"](cases, tmp_path / "results")
    assert failures == 1
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["anna.seg.nrrd", "bert.seg.nrrd"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "anna flair+t1 -> anna.seg.nrrd",
        "bert t2 -> bert.seg.nrrd",
        "carl FAILED: Choose at least one input volume.",
    ]


def test_what_the_script_writes_are_segmentations_with_names(module, script, cases, tmp_path):
    runpy.run_path(str(script))["main"](cases, tmp_path / "results")
    slicer.mrmlScene.Clear(0)
    node = slicer.util.loadSegmentation(str(tmp_path / "results" / "bert.seg.nrrd"))
    names = [node.GetSegmentation().GetNthSegment(i).GetName() for i in range(3)]
    assert names == ["Necrotic core", "Edema", "Enhancing tumor"]


@pytest.mark.parametrize(("patients", "code"), [(("anna", "bert"), 0), (("anna", "carl"), 1)])
def test_the_exit_code_tells_whether_all_went_well(module, script, cases, tmp_path, monkeypatch, patients, code):
    for case in {"anna", "bert", "carl"} - set(patients):
        shutil.rmtree(cases / case)
    ended = []
    monkeypatch.setattr(slicer.util, "exit", ended.append)
    monkeypatch.setattr(sys, "argv", [str(script), str(cases), str(tmp_path / "results")])
    runpy.run_path(str(script), run_name="__main__")
    assert ended == [code]


def test_options_of_the_page_are_options_of_the_logic(module):
    import inspect

    table = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    parameters = inspect.signature(module.DMAFSegmentLogic.prepare).parameters
    assert table
    assert set(table) <= set(parameters)


def test_the_loop_without_slicer_is_a_command_that_exists(tmp_path):
    """The line of the loop, for the sample case; its options are understood (``--help`` ends it before any work)."""
    line = re.search(r"^ +python (-m DMAFTraining\.predict .*)$", PAGE, re.MULTILINE).group(1)
    line = line.replace("$case", str(SAMPLE_FOLDER)).replace('results/$(basename "$case")', str(tmp_path / "out"))
    words = shlex.split(re.sub(r'"results/\$\(.*?\)"', str(tmp_path / "out"), line))
    result = subprocess.run(
        [sys.executable, *words, "--device", "cpu"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "provenance.json").is_file()
