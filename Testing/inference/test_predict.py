"""The command and the worker as real processes: files in, files out, exit codes, cancel, bad input."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.inference.events import JsonLines
from DMAFTraining.inference.geometry import to_image
from DMAFTraining.inference.metadata import sha256_file
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks.dmafnet import DMAFNet
from DMAFTraining.predict import main
from tiny import head_grid, head_volume, write_tiny_bundle

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-m", "DMAFTraining.predict"]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("p") / "Patient_01"
    folder.mkdir()
    for seed, name in enumerate(BRATS.names):
        volume = head_volume(head_grid((36, 40, 34), 3.1), seed)
        sitk.WriteImage(to_image(volume.array, volume.grid), str(folder / f"Patient_01_{name}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("m") / "tiny.safetensors")


def _predict(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False)


def _job(tmp_path: Path, bundle: Path, patient: Path, **changes: Any) -> Path:
    document = {
        "schema": 1,
        "bundle": str(bundle),
        "inputs": {name: str(patient / f"Patient_01_{name}.nii.gz") for name in BRATS.names},
        "subsets": "all",
        "reference": "flair",
        "output": str(tmp_path / "out"),
        "device": "cpu",
        "extension": ".nrrd",
    } | changes
    path = tmp_path / "job.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _worker(job: Path) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, "--job", str(job)], text=True, env=ENVIRONMENT, **pipes)


def test_command_writes_label_maps_on_the_input_grid(tmp_path: Path, bundle: Path, patient: Path) -> None:
    out = tmp_path / "out"
    done = _predict("--case", patient, "--bundle", bundle, "--subsets", "T1+FLAIR,T2", "--output", out)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["labels_T1+FLAIR.nii.gz", "labels_T2.nii.gz", "provenance.json"]
    source = sitk.ReadImage(str(patient / "Patient_01_t1.nii.gz"))
    labels = sitk.ReadImage(str(out / "labels_T1+FLAIR.nii.gz"))
    assert labels.GetSize() == source.GetSize()
    assert labels.GetPixelID() == sitk.sitkUInt8
    for name in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert np.allclose(getattr(labels, name)(), getattr(source, name)(), atol=1e-5)
    assert set(np.unique(sitk.GetArrayFromImage(labels))) <= {0, 1, 2, 3}


def test_provenance_says_what_was_done(tmp_path: Path, bundle: Path, patient: Path) -> None:
    flair = patient / "Patient_01_flair.nii.gz"
    assert _predict("--flair", flair, "--bundle", bundle, "--output", tmp_path / "o").returncode == 0
    document = json.loads((tmp_path / "o" / "provenance.json").read_text(encoding="utf-8"))
    assert document["notice"] == "Research use only. Not a medical device."
    assert document["inputs"] == {"flair": {"file": flair.name, "sha256": sha256_file(flair)}}
    assert document["model"] == {"name": "tiny", "version": "1.0", "sha256": sha256_file(bundle)}
    assert document["results"]["FLAIR"]["file"] == "labels_FLAIR.nii.gz"
    assert document["preparation"][0]["sequence"] == "flair"


def test_worker_tells_events_in_order(tmp_path: Path, bundle: Path, patient: Path) -> None:
    worker = _worker(_job(tmp_path, bundle, patient))
    lines = [json.loads(line) for line in worker.stdout]
    assert worker.wait() == 0
    events = [line["event"] for line in lines]
    assert events.count("started") == 1
    assert events[-1] == "done"
    results = [line for line in lines if line["event"] == "result"]
    assert next(r["title"] for r in results) == "T1+T1ce+FLAIR+T2"
    assert len({r["title"] for r in results}) == 15
    assert all(Path(r["file"]).is_file() for r in results)
    assert results[0]["dice_to_fullest"] == {"WT": 1.0, "TC": 1.0, "ET": 1.0}
    fractions = [line["fraction"] for line in lines if line["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {line["stage"] for line in lines if line["event"] == "stage"} == {"load", "read", "prepare", "segment"}


@pytest.mark.parametrize("how", ["line", "end of input"])
def test_cancel_leaves_nothing(tmp_path: Path, bundle: Path, patient: Path, how: str) -> None:
    worker = _worker(_job(tmp_path, bundle, patient))
    for line in worker.stdout:
        if json.loads(line)["event"] == "started":
            break
    if how == "line":
        worker.stdin.write("cancel\n")
        worker.stdin.flush()
    else:
        worker.stdin.close()
        worker.stdin = None
    worker.communicate(timeout=60)
    assert worker.returncode == 3
    assert not (tmp_path / "out").exists()


def test_killed_worker_leaves_only_whole_files(tmp_path: Path, bundle: Path, patient: Path) -> None:
    worker = _worker(_job(tmp_path, bundle, patient))
    for line in worker.stdout:
        if json.loads(line)["event"] == "result":
            worker.send_signal(signal.SIGKILL)
            break
    worker.communicate(timeout=60)
    assert not (tmp_path / "out" / "provenance.json").exists()
    written = list((tmp_path / "out").glob("labels_*"))
    assert written
    for path in written:
        assert sitk.ReadImage(str(path)).GetSize() == (36, 40, 34)


def test_heartbeat_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("DMAFTraining.inference.events._HEARTBEAT_SECONDS", 0.05)
    stream = io.StringIO()
    with JsonLines(stream) as sink:
        sink.emit("progress", fraction=0.5, stage="segment", message="x", eta_s=None)
        deadline = time.monotonic() + 10
        while stream.getvalue().count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) >= 3
    assert {line["fraction"] for line in lines} == {0.5}


def test_bad_input_gets_a_sentence_and_exit_code_2(tmp_path: Path, bundle: Path, patient: Path) -> None:
    t1, t2 = patient / "Patient_01_t1.nii.gz", patient / "Patient_01_t2.nii.gz"
    flat = tmp_path / "flat.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(t1))[:, :, 17:18], str(flat))
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(bundle.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    out = ["--output", tmp_path / "out"]
    cases: list[tuple[list[object], str]] = [
        (["--bundle", bundle, "--t1", tmp_path / "no.nii.gz", *out], "There is no image at"),
        (["--bundle", bundle, "--t1", flat, *out], "is not a 3-D image (its size is 36 x 40 x 1)"),
        (["--bundle", bundle, "--t1", t1, "--flair", t1, *out], "was given for two sequences"),
        (["--bundle", damaged, "--t1", t1, *out], "weights do not match their checksum"),
        (["--bundle", tmp_path / "no.safetensors", "--t1", t1, *out], "There is no model file at"),
        (["--bundle", bundle, *out], "No sequence was given"),
        (["--bundle", bundle, "--t2", t2, "--subsets", "T1", *out], "T1 was asked for, but only T2 was given"),
        (["--bundle", bundle, "--case", tmp_path, "--output", tmp_path / "x"], "no image of a known sequence"),
        (["--bundle", bundle, "--t2", t2, "--output", t1 / "x"], "cannot be made"),
    ]
    for arguments, sentence in cases:
        done = _predict(*arguments)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_existing_results_are_not_overwritten_silently(tmp_path: Path, bundle: Path, patient: Path) -> None:
    arguments = ["--t2", patient / "Patient_01_t2.nii.gz", "--bundle", bundle, "--output", tmp_path / "out"]
    assert _predict(*arguments).returncode == 0
    before = (tmp_path / "out" / "labels_T2.nii.gz").read_bytes()
    again = _predict(*arguments)
    assert (again.returncode, "holds results already" in again.stderr) == (2, True)
    assert (tmp_path / "out" / "labels_T2.nii.gz").read_bytes() == before
    assert _predict(*arguments, "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schema": 9}, "should be a JSON object with schema 1"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"inputs": ["a"]}, "field 'inputs' has the wrong type"),
        ({"extension": ".png"}, "not '.png'"),
        ({"subsets": "some"}, "Subsets should be 'all', 'full' or a list"),
        ({"device": "toaster"}, "device 'toaster' cannot be used"),
    ],
)
def test_wrong_job_is_an_error_event(
    tmp_path: Path, bundle: Path, patient: Path, changes: dict[str, Any], sentence: str
) -> None:
    worker = _worker(_job(tmp_path, bundle, patient, **changes))
    lines = [json.loads(line) for line in worker.stdout]
    worker.communicate()
    assert worker.returncode == 2
    assert lines[-1]["event"] == "error"
    assert sentence in lines[-1]["message"]
    assert not (tmp_path / "out").exists()


def test_inference_opens_no_socket(tmp_path: Path, bundle: Path, patient: Path) -> None:
    code = (
        "import sys\n"
        "def refuse(event, _):\n"
        "    if event.startswith('socket.'): raise AssertionError(event)\n"
        "sys.addaudithook(refuse)\n"
        "from DMAFTraining.predict import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["--t1", patient / "Patient_01_t1.nii.gz", "--bundle", bundle, "--output", tmp_path / "out"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_heavy_is_imported_before_the_heartbeat_begins() -> None:
    code = "import sys, DMAFTraining.predict; print({'torch', 'numpy', 'SimpleITK'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_help_teaches() -> None:
    done = _predict("--help")
    assert done.returncode == 0
    assert "python -m DMAFTraining.predict --t1 T1.nii.gz --flair FLAIR.nii.gz" in done.stdout


def test_memory_running_out_is_a_warning_and_in_the_provenance(
    tmp_path: Path, bundle: Path, patient: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encode, calls = DMAFNet.encode, []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return encode(*arguments)

    monkeypatch.setattr(DMAFNet, "encode", failing)
    options = ["--flair", patient / "Patient_01_flair.nii.gz", "--t1", patient / "Patient_01_t1.nii.gz"]
    options += ["--bundle", bundle, "--output", tmp_path / "o", "--precision", "fp32", "--subsets", "all"]
    assert main([str(option) for option in options]) == 0
    document = json.loads((tmp_path / "o" / "provenance.json").read_text(encoding="utf-8"))
    assert document["precision"] == "fp32"
    assert len(document["results"]) == 3
    (warning,) = document["warnings"]
    assert "smaller pieces" in warning
    assert warning in capsys.readouterr().err
