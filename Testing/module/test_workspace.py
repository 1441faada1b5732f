"""Temporary folders of runs: a new one each, and what a killed Slicer left is removed, nothing else."""

from __future__ import annotations

import os
import tempfile
import time

import pytest

from DMAFSegmentLib.workspace import JOB_FILE, make_workspace, remove_stale

TWO_DAYS = 2 * 24 * 60 * 60


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_behind(parent, name: str, age_s: float, file: str = JOB_FILE):
    folder = parent / name
    folder.mkdir()
    (folder / file).write_text("{}", encoding="utf-8")
    (folder / "t1.nrrd").write_bytes(b"voxels")
    then = time.time() - age_s
    os.utime(folder, (then, then))
    return folder


def test_each_run_has_its_own_folder(temporary_folder):
    first, second = make_workspace(), make_workspace()
    assert first != second
    assert {first.parent, second.parent} == {temporary_folder}


def test_only_old_folders_of_runs_are_removed(temporary_folder):
    old = left_behind(temporary_folder, "dmafrun-old", TWO_DAYS)
    young = left_behind(temporary_folder, "dmafrun-young", 60)
    foreign = left_behind(temporary_folder, "dmafrun-notes", TWO_DAYS, file="notes.txt")
    other = left_behind(temporary_folder, "somebody", TWO_DAYS)
    remove_stale()
    assert not old.exists()
    assert all((folder / "t1.nrrd").is_file() for folder in (young, foreign, other))


def test_a_link_is_not_followed(temporary_folder, tmp_path_factory):
    outside = left_behind(tmp_path_factory.mktemp("outside"), "study", TWO_DAYS)
    (temporary_folder / "dmafrun-link").symlink_to(outside)
    remove_stale()
    assert (outside / "t1.nrrd").is_file()
