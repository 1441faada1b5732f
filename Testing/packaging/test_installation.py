"""What CMake installs, with a strict stand-in of Slicer's CMake package; the installed module is then tried out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE_SLICER = Path(__file__).with_name("fake_slicer")
MODULES = Path("lib", "Slicer-5.12", "qt-scripted-modules")


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The build tree, the installed tree and what CMake said."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed on this machine")
    folder = tmp_path_factory.mktemp("extension")
    configure = ["-S", str(ROOT), "-B", str(folder / "build"), "-Wno-dev", f"-DSlicer_DIR={FAKE_SLICER}"]
    said = run("cmake", *configure, "-DBUILD_TESTING=ON")
    run("cmake", "--install", str(folder / "build"), "--prefix", str(folder / "installed"))
    return folder / "build" / MODULES, folder / "installed" / MODULES, said


def files_below(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


def expected():
    """Everything of the module and of the network library; the models with cards and catalogue."""
    ours = {name for name in files_below(ROOT / "DMAFSegment") if name != "CMakeLists.txt"}
    library = {f"DMAFTraining/{name}" for name in files_below(ROOT / "DMAFTraining")}
    models = {f"Resources/Models/{name}" for name in files_below(ROOT / "Resources" / "Models")}
    return ours | library | models


def test_everything_is_installed_and_nothing_else(built):
    assert files_below(built[1]) == expected()


def test_the_build_tree_holds_the_same_so_that_its_tests_can_run(built):
    assert files_below(built[0]) == files_below(built[1])


def test_every_file_of_in_slicer_tests_is_registered(built):
    tests = {path.name for path in (ROOT / "Testing" / "Python").glob("test_*.py")}
    assert tests
    for name in tests:
        assert f"unittest nomainwindow_{name}" in built[2]
    assert "unittest DMAFSegment.py" in built[2]


def test_the_installed_worker_and_library_work_on_their_own(built, tmp_path):
    """Only the installed folder is on the path: the worker segments with the installed model and sample case."""
    environment = {**os.environ, "PYTHONPATH": str(built[1]), "OMP_NUM_THREADS": "1"}
    code = "import DMAFTraining; print(DMAFTraining.__file__)"
    assert str(built[1]) in run(sys.executable, "-c", code, cwd=tmp_path, env=environment)
    case = built[1] / "Resources" / "SampleData"
    command = [sys.executable, "-m", "DMAFTraining.predict", "--case", str(case), "--output", str(tmp_path / "out")]
    run(*command, "--device", "cpu", cwd=tmp_path, env=environment)
    assert (tmp_path / "out" / "provenance.json").is_file()


def test_a_listed_file_that_is_missing_stops_the_build(built, tmp_path):
    """The stand-in is strict, as Slicer is: else the first test would prove little."""
    copy = tmp_path / "source"
    shutil.copytree(ROOT / "DMAFSegment", copy / "DMAFSegment")
    for name in ("CMakeLists.txt", "DMAFTraining", "Resources", "Testing"):
        (copy / name).symlink_to(ROOT / name)
    (copy / "DMAFSegment" / "Resources" / "requirements.txt").unlink()
    result = subprocess.run(
        ["cmake", "-S", str(copy), "-B", str(tmp_path / "build"), f"-DSlicer_DIR={FAKE_SLICER}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode != 0
    assert "requirements.txt" in result.stderr
