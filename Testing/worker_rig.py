"""The module with the network library's real worker and a tiny model, for tests of both together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from DMAFSegmentLib import models

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory):
    """A model with random weights, made by another process: this one must stay free of torch."""
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    code = (
        "import sys; from pathlib import Path; from tiny import write_tiny_bundle; write_tiny_bundle(Path(sys.argv[1]))"
    )
    folders = os.pathsep.join([str(ROOT), str(ROOT / "Testing")])
    subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": folders}, check=True)
    return path


@pytest.fixture
def open_module(host, new_volume, monkeypatch):
    """Opens the module on the models of a folder, with T1 and FLAIR of a bright ball in the scene."""
    k, j, i = np.mgrid[:24, :30, :32]
    ball = (k - 12) ** 2 + (j - 15) ** 2 + (i - 16) ** 2 < 11**2
    matrix = np.diag([-4.0, -4.0, 4.0, 1.0])
    for name, base in (("t1", 300), ("flair", 200)):
        new_volume(f"case_{name}", np.where(ball, base + 3 * k + 2 * i, 0).astype(np.int16), matrix)
    host.load_module(ROOT / "DMAFSegment" / "DMAFSegment.py")

    def open_with(folder):
        monkeypatch.setenv(models.FOLDER_VARIABLE, str(folder))
        return host.open_module("DMAFSegment")

    yield open_with
    host.close_module("DMAFSegment")


def run(host, widget):
    host.click(widget.ui.applyButton)
    assert host.process_events(until=lambda: not widget.logic.running, timeout=180)
