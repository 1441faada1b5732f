"""The self test that users can start in Slicer, and the command that runs everything there: both run here first."""

from __future__ import annotations

import runpy
import sys
import unittest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "Testing" / "Python" / "run_in_slicer.py"


@pytest.fixture
def module(host):
    return host.load_module(ROOT / "DMAFSegment" / "DMAFSegment.py")


def flat(suite):
    """The single tests of a suite."""
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flat(item)
        else:
            yield item


def test_reload_and_test_runs_every_test(module, monkeypatch):
    names = unittest.defaultTestLoader.getTestCaseNames(module.DMAFSegmentTest)
    assert len(names) >= 2
    done = []
    for name in names:
        plain = getattr(module.DMAFSegmentTest, name)
        monkeypatch.setattr(module.DMAFSegmentTest, name, lambda self, n=name, f=plain: (f(self), done.append(n)))
    module.DMAFSegmentTest().runTest()
    assert done == names


def test_a_failing_self_test_is_reported(module, monkeypatch):
    monkeypatch.setattr(module, "detect", lambda *_: {})
    with pytest.raises(AssertionError):
        module.DMAFSegmentTest().runTest()


def test_the_runner_finds_all_files_and_the_self_test(module, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))  # discovery adds the folder
    tests = list(flat(runpy.run_path(str(RUNNER))["all_tests"]()))
    files = {path.stem for path in RUNNER.parent.glob("test_*.py")}
    assert {type(test).__module__ for test in tests} == files | {"DMAFSegment"}
    assert not [test for test in tests if "FailedTest" in type(test).__name__]
