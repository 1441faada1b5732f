"""Scores against a reference: numbers checked by hand, and sentences about what does not fit."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.data.brats import REGIONS
from DMAFTraining.evaluate import main
from DMAFTraining.evaluation.scores import read_truth
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, to_image

SIZE = (10, 6, 4)


def write_labels(path: Path, array: np.ndarray, spacing: float = 2.0) -> Path:
    sitk.WriteImage(to_image(array, Grid(SIZE, np.diag([spacing, spacing, spacing, 1.0]))), str(path))
    return path


def row(values: int) -> np.ndarray:
    """A label map with edema in the first ``values`` voxels of one line and enhancing tumor in the last of them."""
    labels = np.zeros(SIZE, np.uint8)
    labels[:values, 0, 0] = 2
    if values:
        labels[values - 1, 0, 0] = 3
    return labels


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of T1+T2 (8 voxels), of T1 (4 voxels) and of T2 (nothing found)."""
    folder = tmp_path / "results"
    folder.mkdir()
    listed = {}
    for subset, count in ((["t1"], 4), (["t1", "t2"], 8), (["t2"], 0)):
        title = "+".join(name.upper() for name in subset)
        write_labels(folder / f"labels_{title}.nii.gz", row(count))
        numbers = {"WT": 0.1, "TC": 0.2, "ET": 0.3}
        listed[title] = {"subset": subset, "file": f"labels_{title}.nii.gz"}
        listed[title] |= {"volumes_ml": numbers, "dice_to_fullest": numbers}
    document = {
        "model": {"name": "hand-made", "version": "1"},
        "labels": {"1": "Necrotic core", "2": "Edema", "3": "Enhancing tumor"},
        "regions": [{"name": r.name, "title": r.title, "labels": list(r.labels)} for r in REGIONS],
        "results": listed,
    }
    (folder / "provenance.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Six voxels, the last of them enhancing tumor in the old BraTS spelling, 4."""
    labels = row(6)
    labels[labels == 3] = 4
    return write_labels(tmp_path / "seg.nii.gz", labels)


# Whole tumor, 6 voxels in the truth: 2*6/(8+6), 2*4/(4+6), 0. The enhancing voxel is at 7, 3, nowhere; truth 5.
EXPECTED = [
    ("T1+T2", 12 / 14, 0.0, 0.0),
    ("T1", 8 / 10, 0.0, 0.0),
    ("T2", 0.0, 0.0, 0.0),
    ("Mean", (12 / 14 + 0.8) / 3, 0.0, 0.0),
]


def test_the_command_prints_the_hand_computed_table(results: Path, truth: Path) -> None:
    command = [sys.executable, "-m", "DMAFTraining.evaluate", str(results), "--truth", str(truth)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["WT", "TC", "ET"]
    assert lines[1:] == [[name, *(f"{value:.3f}" for value in values)] for name, *values in EXPECTED]


def test_csv_and_markdown_hold_the_same_numbers(
    results: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "scores.csv"
    assert main([str(results), "--truth", str(truth), "--csv", str(table), "--markdown"]) == 0
    with table.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.reader(stream))
    assert lines[0] == ["sequences", "WT", "TC", "ET"]
    for line, (name, *values) in zip(lines[1:], EXPECTED, strict=True):
        assert line[0] == name
        assert [float(text) for text in line[1:]] == pytest.approx(values, abs=1e-6)
    assert capsys.readouterr().out.splitlines() == [
        "| Sequences | WT | TC | ET |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {name} | {wt:.3f} | {tc:.3f} | {et:.3f} |" for name, wt, tc, et in EXPECTED),
    ]


def test_the_brats_value_4_is_enhancing_tumor(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = row(8)
    labels[labels == 3] = 4
    truth = write_labels(tmp_path / "seg.nii.gz", labels)
    assert main([str(results), "--truth", str(truth)]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["T1+T2", "1.000", "1.000", "1.000"]


def test_hearts_may_be_spelled_as_myops_does(tmp_path: Path) -> None:
    labels = np.zeros(SIZE, np.int16)
    labels[:5, 0, 0] = [500, 600, 200, 1220, 2221]  # left and right ventricle, then three parts of the myocardium
    path = write_labels(tmp_path / "gd.nii.gz", labels)
    merged, parts = read_truth(path, (1, 2, 3)), read_truth(path, (1, 2, 3, 4, 5))
    assert merged.array[:6, 0, 0].tolist() == [1, 2, 3, 3, 3, 0]
    assert parts.array[:6, 0, 0].tolist() == [2, 3, 1, 4, 5, 0]
    with pytest.raises(InputError, match="holds the label value 200, which the results do not have"):
        read_truth(path, (1, 2))


def test_two_empty_maps_agree(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_labels(tmp_path / "seg.nii.gz", row(0))
    assert main([str(results), "--truth", str(truth)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["T1+T2", "0.000", "0.000", "0.000"]
    assert lines[3] == ["T2", "1.000", "1.000", "1.000"]


def test_another_grid_is_refused_in_a_sentence(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_labels(tmp_path / "seg.nii.gz", row(6), spacing=1.0)
    assert main([str(results), "--truth", str(truth)]) == 2
    said = capsys.readouterr()
    assert "lie on different grids" in said.err
    assert str(truth) in said.err
    assert said.out == ""


def test_unknown_labels_fractions_and_missing_files_are_named(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = write_labels(tmp_path / "strange.nii.gz", row(6) * 5)
    fractions = write_labels(tmp_path / "fractions.nii.gz", row(6).astype(np.float32) / 4)
    garbage = tmp_path / "garbage.nii.gz"
    garbage.write_bytes(b"no image")
    expected = {
        strange: "holds the label value 10, which the results do not have (they have 1, 2, 3)",
        fractions: "holds values that are no labels",
        garbage: "cannot be read as an image",
        tmp_path / "nowhere.nii.gz": "There is no label map at",
    }
    for path, sentence in expected.items():
        assert main([str(results), "--truth", str(path)]) == 2
        assert sentence in capsys.readouterr().err


def test_a_folder_without_finished_results_ends_the_process_with_2(truth: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "DMAFTraining.evaluate", str(tmp_path), "--truth", str(truth)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"Error: {tmp_path} holds no finished results (no provenance.json). Give the output folder of predict."
    )


def test_broken_provenance_is_refused(results: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("{", "[]", '{"results": {}}', '{"results": {"T1": {}}, "model": {}, "labels": {}}'):
        (results / "provenance.json").write_text(text, encoding="utf-8")
        assert main([str(results), "--truth", str(truth)]) == 2
        assert "is not a provenance file of this program" in capsys.readouterr().err


def test_no_provenance_reaches_out_of_its_folder(
    results: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    document["results"]["T1"]["file"] = "../seg.nii.gz"
    (results / "provenance.json").write_text(json.dumps(document), encoding="utf-8")
    assert main([str(results), "--truth", str(truth)]) == 2
    assert f"There is no label map at {results / 'seg.nii.gz'}" in capsys.readouterr().err


def test_regions_are_those_of_the_model_that_made_the_results(
    results: Path, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads((results / "provenance.json").read_text(encoding="utf-8"))
    document["regions"] = [{"name": "ED", "title": "Edema", "labels": [2]}]
    (results / "provenance.json").write_text(json.dumps(document), encoding="utf-8")
    assert main([str(results), "--truth", str(truth)]) == 0
    assert capsys.readouterr().out.split()[0] == "ED"
