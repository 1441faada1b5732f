"""The demo as a user runs it: a process, files on disk, sentences and exit codes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk

from DMAFTraining import demo
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.modalities import BRATS, Modality, ModalitySet
from tiny import tiny_metadata, tiny_network, write_tiny_bundle


def test_the_demo_leaves_a_page_to_open(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny.safetensors")
    output = tmp_path / "out"
    command = [sys.executable, "-m", "DMAFTraining.demo", "--output", str(output), "--bundle", str(bundle)]
    done = subprocess.run([*command, "--spacing", "4"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == str(output / "comparison.html")
    assert lines[0] == "  0 %  Loading the average brain"
    assert "100 %  Done" in lines
    assert "Research use only." in done.stdout
    fractions = [int(line[:3]) for line in lines if line[3:5] == " %"]
    assert fractions == sorted(fractions)
    assert (output / "comparison.html").read_text(encoding="utf-8").count('<figure class="result">') == 15
    assert (output / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((output / "results").glob("labels_*.nii.gz"))) == 15
    files = sorted(path.name for path in (output / "case").iterdir())
    assert files == ["case.json", *(f"simulated_{name}.nii.gz" for name in ("flair", "seg", "t1", "t1ce", "t2"))]
    truth = sitk.ReadImage(str(output / "case" / "simulated_seg.nii.gz"))
    assert truth.GetSpacing() == pytest.approx((4, 4, 4))
    assert truth.GetMetaData("descrip").startswith("Simulated, not a patient.")
    assert set(sitk.GetArrayViewFromImage(truth).flat) == {0, 1, 2, 3}


def test_a_missing_model_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    bundle = tmp_path / "nowhere.safetensors"
    command = [sys.executable, "-m", "DMAFTraining.demo", "--output", str(tmp_path / "out"), "--bundle", str(bundle)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == f"Error: There is no model file at {bundle}. Check the path."
    assert not (tmp_path / "out").exists()


def test_a_model_for_other_sequences_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = ModalitySet((*BRATS.modalities[:3], Modality("dwi", "DWI")))
    bundle = tmp_path / "other.safetensors"
    save_bundle(bundle, replace(tiny_metadata(), modalities=other), tiny_network().state_dict())
    assert demo.main(["--output", str(tmp_path / "out"), "--bundle", str(bundle)]) == 2
    assert "The demo cannot simulate DWI" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny.safetensors")
    output = tmp_path / "file"
    output.write_text("taken", encoding="utf-8")
    assert demo.main(["--output", str(output), "--bundle", str(bundle)]) == 2
    assert str(output) in capsys.readouterr().err
