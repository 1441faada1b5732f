"""Shared parts of the module's tests: a model file, volumes, the stand-in worker, a plain child process.

The folder is not called ``slicer``: slicer-core imports every file of any folder of that name on sys.path.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import slicer

from comparison_rig import compare, compare_panel, fusing, reference  # noqa: F401 - fixtures
from DMAFTraining.inference.metadata import (
    DOCUMENT_HASH_KEY,
    DOCUMENT_KEY,
    BundleMetadata,
    Label,
    Preprocessing,
    Region,
    Window,
)
from DMAFTraining.modalities import BRATS
from results_rig import cleanup, inputs, labels, make_event, new_run, run  # noqa: F401 - fixtures
from scans_rig import raw_panel  # noqa: F401 - fixture
from worker_rig import open_module, tiny_bundle  # noqa: F401 - fixtures

CATEGORY = "Segmentation category and type - DMAFSegment~SCT^49755003^Morphologically Altered Structure~"
REGION = "~^^~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"


def make_metadata() -> BundleMetadata:
    """Description of a brain tumor model with three labels and three regions."""
    return BundleMetadata(
        name="brats-test",
        version="0.1",
        title="Brain tumor test model",
        description="Segments brain tumors from any of four MR sequences.",
        network={"name": "dmaf3d", "config": {}},
        modalities=BRATS,
        labels=(
            Label(1, "Necrotic core", (220, 40, 40), f"{CATEGORY}SCT^6574001^Necrosis{REGION}"),
            Label(2, "Edema", (60, 180, 75), f"{CATEGORY}SCT^79654002^Edema{REGION}"),
            Label(3, "Enhancing tumor", (250, 210, 50), f"{CATEGORY}NCIt^C113842^Enhancing Lesion{REGION}"),
        ),
        regions=(
            Region("WT", "Whole tumor", (1, 2, 3)),
            Region("TC", "Tumor core", (1, 3)),
            Region("ET", "Enhancing tumor", (3,)),
        ),
        preprocessing=Preprocessing((2.0, 2.0, 2.0)),
        window=Window((64, 64, 64)),
        training_data="simulated",
        license="Apache-2.0",
        simulated_training=True,
    )


@pytest.fixture(scope="module")
def metadata() -> BundleMetadata:
    return make_metadata()


def write_bundle(path: Path, metadata: BundleMetadata) -> Path:
    """A model file without weights: enough for everything that only reads its description."""
    text = metadata.to_json()
    document = {DOCUMENT_KEY: text, DOCUMENT_HASH_KEY: hashlib.sha256(text.encode()).hexdigest()}
    header = json.dumps({"__metadata__": document}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@pytest.fixture
def write_model():
    """:func:`write_bundle`, for tests of several models."""
    return write_bundle


@pytest.fixture
def bundle(tmp_path: Path, metadata: BundleMetadata) -> Path:
    return write_bundle(tmp_path / "brats-test.safetensors", metadata)


@pytest.fixture
def scene(host):
    """The empty scene of the Slicer stand-in."""
    return slicer.mrmlScene


def make_volume(scene, name: str, array: np.ndarray | None = None, matrix: np.ndarray | None = None):
    """Scalar volume in the scene; by default 24 x 20 x 16 voxels (I, J, K) of 2 mm around the origin."""
    if array is None:
        array = np.arange(16 * 20 * 24, dtype=np.float32).reshape(16, 20, 24) % 251
    if matrix is None:
        matrix = np.diag([-2.0, -2.0, 2.0, 1.0])
        matrix[:3, 3] = (24, 20, -16)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, array)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.CreateDefaultDisplayNodes()
    return node


@pytest.fixture
def new_volume(scene):
    return lambda name, *args, **kwargs: make_volume(scene, name, *args, **kwargs)


@pytest.fixture(scope="module")
def worker_command():
    """Command of the stand-in worker with a behavior such as ``"normal"`` or ``"hang"``."""
    script = str(Path(__file__).with_name("fake_worker.py"))
    return lambda behavior: (sys.executable, script, behavior)


class PlainProcess:
    """A child process for jobs without Qt; callbacks run inside :meth:`pump`."""

    def __init__(self) -> None:
        self.events: queue.Queue = queue.Queue()
        self.child: subprocess.Popen | None = None

    def start(self, command, environment) -> None:
        try:
            self.child = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **environment},
            )
        except OSError:
            self.events.put((self.on_exit, None))
            return
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        readers = [
            threading.Thread(target=self._read, args=(self.child.stdout, lambda data: self.on_output(data))),
            threading.Thread(target=self._read, args=(self.child.stderr, lambda data: self.on_error_output(data))),
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        code = self.child.wait()
        self.events.put((self.on_exit, code))

    def _read(self, stream, callback) -> None:
        while data := stream.read1(7):  # tiny chunks: every line arrives in pieces
            self.events.put((callback, data))

    def write(self, data: bytes) -> None:
        self.child.stdin.write(data)
        self.child.stdin.flush()

    def kill(self) -> None:
        self.child.kill()

    def wait(self, seconds: float) -> None:
        self.child.wait(seconds)

    def pump(self, until, timeout: float = 20.0) -> bool:
        deadline = time.monotonic() + timeout
        while not until():
            if time.monotonic() > deadline:
                return False
            try:
                callback, data = self.events.get(timeout=0.05)
            except queue.Empty:
                continue
            callback(data)
        return True


@pytest.fixture
def plain_process():
    process = PlainProcess()
    yield process
    if process.child is not None and process.child.poll() is None:
        process.child.kill()
