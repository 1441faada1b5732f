"""What the worker's Python lacks, and saying so."""

from __future__ import annotations

import sys

import pytest

from DMAFSegmentLib import install
from DMAFSegmentLib.install import Check, check_now, offline_help, question, read_check


def test_nothing_is_missing_here():
    check = check_now(sys.executable)
    assert check.ready
    assert check.text == f"Python {'.'.join(map(str, sys.version_info[:3]))} has everything that is needed."


@pytest.mark.parametrize("requirement", ["no-such-package-at-all>=1", "numpy>=99"])
def test_missing_and_old_packages_are_found(requirement):
    check = check_now(sys.executable, ["numpy>=1.20", requirement])
    assert check.lacks == (requirement,)
    assert not check.ready


def test_other_python_is_never_changed():
    check = check_now(sys.executable, ["no-such-package-at-all>=1"])
    assert not check.can_install
    assert check.text.endswith(f'Install them there: "{sys.executable}" -m pip install "no-such-package-at-all>=1"')


@pytest.mark.parametrize("program", ["no-such-python", "/bin/false", "/bin/true"])
def test_python_that_does_not_run_is_explained(program):
    check = check_now(program)
    assert check.problem.startswith(f"Python for the worker cannot be run ({program}).")
    assert not check.ready
    assert not check.can_install


def test_old_python_is_explained():
    check = read_check("python", ["numpy>=1"], '{"python": [3, 9, 10], "found": {"numpy": "2.0"}}')
    assert check.problem == "Python for the worker is 3.9.10; 3.11 or newer is needed (python)."


@pytest.mark.parametrize(
    ("version", "line", "lacks"),
    [
        ("2.9.1", "torch>=2.4,!=2.9.*", True),
        ("2.13.0+cu128", "torch>=2.4,!=2.9.*", False),
        ("2.5.0rc1", "torch>=2.4", False),
    ],
)
def test_versions_of_builds(version, line, lacks):
    check = read_check("python", [line], f'noise\n{{"python": [3, 12, 1], "found": {{"torch": "{version}"}}}}')
    assert bool(check.lacks) == lacks


def test_question_lists_every_package_with_its_size():
    text = question(["torch>=2.4", "scipy>=1.11"])
    assert "  - torch>=2.4 (0.2 to 3 GB)\n  - scipy>=1.11 (40 MB)" in text
    assert "PyTorch extension" in text
    assert "PyTorch extension" not in question(["scipy>=1.11"])


def test_every_shipped_requirement_has_a_size():
    assert "unknown" not in question(install.read_requirements())


def test_offline_way_names_the_commands():
    text = offline_help(["torch>=2.4", "scipy>=1.11"])
    assert 'pip download -d wheels "torch>=2.4" "scipy>=1.11"' in text
    assert 'pip install --no-index --find-links wheels "torch>=2.4" "scipy>=1.11"' in text


def test_packages_that_are_there_and_do_not_work():
    check = Check("/p/python", "3.12.1").broken("PyTorch cannot be loaded (libc.so).")
    assert not check.ready
    assert not check.can_install
    assert check.text.startswith("Nothing can run in this Python: PyTorch cannot be loaded (libc.so). Remove PyTorch")


def test_chosen_python_comes_first():
    assert install.default_worker("/opt/python").command == ("/opt/python", "-m", "DMAFTraining.predict")
    assert Check("p", "3.12.1").text == "Python 3.12.1 has everything that is needed."
