"""Raw scans through the worker as a real process, and through the command: DICOM, skulls, other grids, cancel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, to_image
from DMAFTraining.inference.job import read_job
from DMAFTraining.predict import main
from raw_scans_rig import brain_mask, rigid, scan
from tiny import head_grid, oblique_grid, write_tiny_bundle

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-m", "DMAFTraining.predict"]
GRID = head_grid((48, 54, 48), 4.0)
THICK = oblique_grid((50, 52, 34), (8.0, -5.0, 4.0), (4.0, 4.0, 6.0), 1)
Command = Callable[..., tuple[int, str, str]]

LAY = rigid((6.0, -4.0, 8.0), (7.0, -5.0, 6.0))
"""Where the patient lay in the T2 scan."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("m") / "tiny.safetensors")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patient: T1ce with skull as NIfTI, T2 of thick slices as NRRD, lying elsewhere, and the mask of the brain."""
    folder = tmp_path_factory.mktemp("p") / "patient"
    folder.mkdir()
    for name, grid, at, suffix in (("t1ce", GRID, None, ".nii.gz"), ("t2", THICK, LAY, ".nrrd")):
        sitk.WriteImage(to_image(scan(name, grid, at).array, grid), str(folder / f"p_{name}{suffix}"))
    mask = to_image(brain_mask(GRID).astype(np.uint8), GRID)
    sitk.WriteImage(mask, str(folder.parent / "mask.nii.gz"))
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs the command with its default cache in ``tmp_path``; gives its exit code, output and errors."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def _worker(tmp_path: Path, bundle: Path, raw: Path, scans: dict[str, Any]) -> subprocess.Popen[str]:
    document = {
        "schema": 1,
        "bundle": str(bundle),
        "inputs": {"t1ce": str(raw / "p_t1ce.nii.gz"), "t2": str(raw / "p_t2.nrrd")},
        "output": str(tmp_path / "out"),
        "device": "cpu",
        "native": ["t1ce", "t2"],
        "scans": scans,
    }
    job = tmp_path / "job.json"
    job.write_text(json.dumps(document), encoding="utf-8")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, "--job", str(job)], text=True, env=ENVIRONMENT, **pipes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, bundle: Path, raw: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The result folder of a worker that aligned the T2 and cut out the brain by the mask, and what it told."""
    folder = tmp_path_factory.mktemp("run")
    scans = {"brain": "mask", "brain_mask": str(raw.parent / "mask.nii.gz"), "cache": str(folder / "cache")}
    worker = _worker(folder, bundle, raw, scans)
    assert worker.stdout is not None
    lines = [json.loads(line) for line in worker.stdout]  # not communicate(): the end of its input cancels a worker
    assert worker.wait(60) == 0, lines[-1]
    return folder / "out", lines


def test_the_worker_tells_what_it_did_with_the_scans(finished: tuple[Path, list[dict[str, Any]]]) -> None:
    _, lines = finished
    events = [line["event"] for line in lines]
    assert events.count("scans") == 1
    assert events.index("started") < events.index("scans") < events.index("result")
    told = lines[events.index("scans")]
    assert told["reference"] == "t1ce"
    needed = {(d["step"], d["sequence"]) for d in told["decisions"] if d["needed"]}
    assert needed == {("registration", "t2"), ("brain", "t1ce"), ("brain", "t2")}
    assert (told["brain_tool"], list(told["transforms"])) == ("mask", ["t2"])
    early = lines[events.index("decisions")]
    assert (early["reference"], early["decisions"]) == (told["reference"], told["decisions"])
    stages = [line["stage"] for line in lines[: events.index("decisions")] if line["event"] == "stage"]
    assert stages == ["load", "read", "prepare"]  # the slow steps come after it
    assert told["brain_ml"] == pytest.approx(1164, rel=0.02)
    assert [line["message"] for line in lines if line["event"] == "warning"] == []
    stages = [line["stage"] for line in lines if line["event"] == "stage"]
    assert stages == ["load", "read", "prepare", "register", "brain", "prepare", "segment"]
    fractions = [line["fraction"] for line in lines if line["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_the_scan_lands_on_the_reference(finished: tuple[Path, list[dict[str, Any]]], raw: Path) -> None:
    """The transform undoes how the patient lay, and ITK does with its file what it should."""
    out, lines = finished
    (told,) = [line for line in lines if line["event"] == "scans"]
    moved_by = np.array(told["transforms"]["t2"])
    corners = np.array([[x, y, z, 1.0] for x in (-54, 54) for y in (-78, 78) for z in (-66, 66)]).T
    assert np.linalg.norm((moved_by @ LAY @ corners - corners)[:3], axis=0).max() < 3  # mm; voxels are 4 and 6 mm
    transform = sitk.ReadTransform(str(out / "transform_t2_to_t1ce.tfm"))
    there = transform.TransformPoint((-10.0, -20.0, 30.0))  # LPS, from the reference back to the scan
    back = moved_by @ [-there[0], -there[1], there[2], 1]
    assert np.allclose(back[:3], (10, 20, 30), atol=1e-6)


def test_results_lie_on_the_grid_of_each_scan(finished: tuple[Path, list[dict[str, Any]]], raw: Path) -> None:
    out, lines = finished
    (result,) = [line for line in lines if line["event"] == "result"]
    assert result["native"] == {"t2": str(out / "native_t2" / "labels_T1ce+T2.nii.gz")}  # the reference counts once
    pairs = ((result["file"], "p_t1ce.nii.gz"), (result["native"]["t2"], "p_t2.nrrd"))
    for labels, source in ((sitk.ReadImage(a), sitk.ReadImage(str(raw / b))) for a, b in pairs):
        assert labels.GetSize() == source.GetSize()
        for name in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert np.allclose(getattr(labels, name)(), getattr(source, name)(), atol=1e-4)
    on_t2 = sitk.GetArrayFromImage(sitk.ReadImage(result["native"]["t2"])).transpose(2, 1, 0)
    # The network of the test labels the whole brain, so its labels lie where the brain is in this scan.
    labeled, brain = np.argwhere(on_t2 != 0), np.argwhere(brain_mask(THICK, LAY))
    assert np.abs(labeled.mean(axis=0) - brain.mean(axis=0)).max() < 0.5


def test_provenance_has_every_decision_and_step(finished: tuple[Path, list[dict[str, Any]]]) -> None:
    out, lines = finished
    document = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    scans = document["scans"]
    (told,) = [line for line in lines if line["event"] == "scans"]
    assert {name: scans[name] for name in ("reference", "decisions", "transforms", "brain_ml")} == {
        name: told[name] for name in ("reference", "decisions", "transforms", "brain_ml")
    }
    registration, brain = scans["steps"]
    assert registration["sequence"] == "t2"
    assert registration["tool"].startswith("SimpleITK")
    assert registration["cached"] is False
    assert registration["similarity"] > registration["similarity_before"]
    assert (brain["tool"], brain["file"], brain["applied_to"]) == ("mask", "mask.nii.gz", ["t1ce", "t2"])
    assert scans["transform_files"] == {"t2": "transform_t2_to_t1ce.tfm"}
    assert np.allclose(scans["grids"]["t2"]["ijk_to_ras"], THICK.ijk_to_ras, atol=1e-4)
    assert document["results"]["T1ce+T2"]["native"] == {"t2": {"labels": "native_t2/labels_T1ce+T2.nii.gz"}}
    assert set(document["stage_seconds"]) == {"load", "read", "prepare", "register", "brain", "segment"}


def test_a_second_run_takes_the_registration_from_the_cache(
    finished: tuple[Path, list[dict[str, Any]]], bundle: Path, raw: Path, tmp_path: Path, command: Command
) -> None:
    out, _ = finished
    mask = raw.parent / "mask.nii.gz"
    arguments = ["--bundle", bundle, "--case", raw, "--brain-mask", mask, "--native", "all", "--device", "cpu"]
    code, said, errors = command(*arguments, "--cache", out.parent / "cache", "--output", tmp_path / "o")
    assert code == 0, errors
    assert "T2: p_t2.nrrd" in said  # what was taken for what
    assert "Registration, t2:" in said
    document = json.loads((tmp_path / "o" / "provenance.json").read_text(encoding="utf-8"))
    assert document["scans"]["steps"][0]["cached"] is True
    for name in ("labels_T1ce+T2.nii.gz", "native_t2/labels_T1ce+T2.nii.gz"):
        first, second = (sitk.GetArrayFromImage(sitk.ReadImage(str(f / name))) for f in (out, tmp_path / "o"))
        assert np.array_equal(first, second)
    assert not (tmp_path / "cache").exists()  # the default folder was not touched


def test_cancel_during_registration_answers_at_once_and_leaves_nothing(tmp_path: Path, bundle: Path, raw: Path) -> None:
    worker = _worker(tmp_path, bundle, raw, {"brain": "off", "cache": str(tmp_path / "cache")})
    assert worker.stdout is not None
    for line in worker.stdout:
        if json.loads(line).get("stage") == "register":
            break
    worker.communicate("cancel\n", timeout=60)
    assert worker.returncode == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.json"]


def test_a_head_without_a_tool_is_refused_with_the_ways_out(
    tmp_path: Path, bundle: Path, raw: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("DMAFTraining.inference.scans.brain_tools._FINDERS", {})
    arguments = ["--t1ce", raw / "p_t1ce.nii.gz", "--bundle", bundle, "--output", tmp_path / "out"]
    code, _, errors = command(*arguments)
    assert code == 2
    for way in ("Install deepbet", "--brain-mask", "--brain off"):
        assert way in errors
    assert list(tmp_path.iterdir()) == []


def test_brain_off_on_a_head_works_with_a_warning(tmp_path: Path, bundle: Path, raw: Path, command: Command) -> None:
    arguments = ["--t1ce", raw / "p_t1ce.nii.gz", "--bundle", bundle, "--brain", "off", "--no-cache"]
    code, _, errors = command(*arguments, "--output", tmp_path / "out")
    assert code == 0, errors
    assert errors.count("T1ce seems to show the whole head") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_dicom_series_is_a_case(tmp_path: Path, bundle: Path, command: Command) -> None:
    """Two series of brains on one grid, in one folder: told apart by their tags, and segmented."""
    folder = tmp_path / "dicom"
    folder.mkdir()
    grid = head_grid((40, 44, 40), 4.0)
    for number, name in enumerate(("t1", "flair"), 1):
        _write_dicom(folder, grid, name.upper(), number)
    arguments = ["--case", folder, "--bundle", bundle, "--output", tmp_path / "out", "--subsets", "all"]
    code, said, errors = command(*arguments)
    assert code == 0, errors
    assert "FLAIR:" in said
    document = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert set(document["inputs"]) == {"t1", "flair"}
    assert document["inputs"]["t1"]["sha256"] != document["inputs"]["flair"]["sha256"]
    labels = sitk.ReadImage(str(tmp_path / "out" / "labels_T1+FLAIR.nii.gz"))
    assert sorted(labels.GetSize()) == sorted(grid.size)


def _write_dicom(folder: Path, grid: Grid, description: str, number: int) -> None:
    volume = scan(description.lower(), grid, stripped=True, seed=number)
    image = sitk.Cast(to_image(volume.array, grid), sitk.sitkInt16)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    common = {
        "0008|0060": "MR",
        "0008|103e": description,
        "0010|0020": "1",
        "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
        "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{number}",
        "0020|0011": str(number),
        "0020|0037": "\\".join(f"{value:.6f}" for value in direction.T[:2].flatten()),
    }
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        part = image[:, :, k]
        position = image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0008|0018": f"{common['0020|000e']}.{k + 1}",
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
        }
        for tag, value in (common | tags).items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{description}{k:03d}.dcm"))
        writer.Execute(part)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scans": {"registration": "maybe"}}, "Unknown choice 'maybe' for registration"),
        ({"scans": {"skull": True}}, "unknown field 'scans.skull'"),
        ({"scans": {"cache": 3}}, "field 'scans.cache' has the wrong type"),
        ({"scans": {"brain": "mask"}}, "belong together"),
        ({"scans": []}, "field 'scans' has the wrong type"),
        ({"native": [1]}, "should list names of sequences"),
    ],
)
def test_wrong_scan_options_of_a_job_are_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(
        json.dumps({"schema": 1, "bundle": "b", "inputs": {"t1": "a"}, "output": "o"} | changes), encoding="utf-8"
    )
    with pytest.raises(InputError, match=sentence):
        read_job(path)


def test_help_teaches_raw_scans() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    assert "--case DICOM_FOLDER --native all" in done.stdout
    assert "--brain-mask" in done.stdout
