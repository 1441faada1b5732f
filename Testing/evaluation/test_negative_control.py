"""What a model calls in a brain without tumor, as a table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import SimpleITK as sitk

from DMAFTraining.inference.geometry import to_image
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.release import main
from tiny import head_grid, head_volume, write_tiny_bundle


@pytest.fixture
def scans(tmp_path: Path) -> dict[str, Path]:
    """Two sequences of a ball."""
    paths = {}
    for seed, name in enumerate(("t1", "flair")):
        volume = head_volume(head_grid(), seed)
        paths[name] = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(to_image(volume.array, volume.grid), str(paths[name]))
    return paths


def test_every_subset_and_region_is_listed_with_the_volume_that_segmenting_gives(
    tmp_path: Path, scans: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, output = write_tiny_bundle(tmp_path / "tiny.safetensors"), tmp_path / "control"
    cases = [f"{name}={path}" for name, path in scans.items()]
    assert main(["control", "--bundle", str(bundle), "--case", *cases, "--output", str(output)]) == 0
    segmenter = Segmenter(bundle)
    with (output / "control.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = {r.subset.names: r.volumes_ml for r in segmenter.segment(segmenter.prepare(scans), "all")}
    wanted = {("+".join(names), region): ml for names, volumes in found.items() for region, ml in volumes.items()}
    assert {(row["subset"], row["region"]): float(row["ml"]) for row in rows} == pytest.approx(wanted, abs=6e-4)
    assert [row["subset"] for row in rows[::3]] == ["t1", "flair", "t1+flair"]  # the order of the papers
    assert {(row["model"], row["model_sha256"]) for row in rows} == {("tiny 1.0", segmenter.bundle.sha256)}
    text = (output / "control.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    assert "without tumor (all of it is wrong)" in text
    line = f"| T1+FLAIR | {' | '.join(f'{ml:.1f}' for ml in found['t1', 'flair'].values())} |"
    assert line in text.splitlines()


def test_mistakes_are_named_and_nothing_is_written(
    tmp_path: Path, scans: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, output = write_tiny_bundle(tmp_path / "tiny.safetensors"), tmp_path / "control"
    for case, sentence in (
        (str(scans["t1"]), "is not NAME=FILE"),
        (f"dwi={scans['t1']}", "does not know the sequence 'dwi'"),
        (f"t1={tmp_path / 'none.nii.gz'}", "none.nii.gz"),
    ):
        assert main(["control", "--bundle", str(bundle), "--case", case, "--output", str(output)]) == 2
        assert sentence in capsys.readouterr().err
    assert not output.exists()
