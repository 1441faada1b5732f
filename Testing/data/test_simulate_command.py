"""Simulated cohorts as folders: whole cases, the same ones however often the command was interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.data.datasets import MYOPS
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.data.simulated_cohort import write_cohort
from DMAFTraining.data.simulation import writing
from DMAFTraining.data.simulation.anatomy import Anatomy
from DMAFTraining.data.simulation.cohort import Cohort
from DMAFTraining.data.simulation.heart import HeartCohort
from DMAFTraining.data.simulation.writing import BrainRecipe, WrittenCases
from DMAFTraining.prepare import main
from round_head import ball_anatomy
from tiny_recipe import TinyRecipe

ROOT = Path(__file__).parents[2]


def simulate(folder: Path, *options: object) -> int:
    return main(["simulate", "--output", str(folder), *map(str, options)])


def hearts(folder: Path, count: int, *options: object) -> int:
    return simulate(folder, "--anatomy", "heart", "--seed", 4, "--count", count, "--processes", 1, *options)


def table(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "cohort.json").read_text(encoding="utf-8")))


def write(folder: Path, count: int, processes: int = 1, seed: int = 0) -> str:
    return write_cohort(TinyRecipe(seed), count, folder, processes)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_larger_count_adds_cases_and_a_smaller_one_takes_none_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write(tmp_path, 2)
    assert "2 simulated cases in" in text
    assert "2 of them new. Research use only" in text
    assert text.endswith("squares add up to 1")
    assert "Simulating 2/2" in capsys.readouterr().err
    written = (tmp_path / "tiny-0").stat().st_mtime_ns
    text = write(tmp_path, 4)
    assert "4 simulated cases in" in text
    assert "2 of them new" in text
    assert text.endswith("squares add up to 14")
    assert "Simulating 4/4" in capsys.readouterr().err  # what is there counts as done
    assert (tmp_path / "tiny-0").stat().st_mtime_ns == written
    assert [case["id"] for case in table(tmp_path)["cases"]] == ["tiny-0", "tiny-1", "tiny-2", "tiny-3"]
    assert (table(tmp_path)["simulated"], table(tmp_path)["settings"]) == (True, {"anatomy": "tiny", "seed": 0})
    assert "4 simulated cases" in write(tmp_path, 1)
    (tmp_path / "tiny-1" / "tiny-1.txt").unlink()
    (tmp_path / "tiny-1").rmdir()
    assert "1 of them new" in write(tmp_path, 4)


def test_processes_do_not_change_the_result(tmp_path: Path) -> None:
    write(tmp_path / "one", 5, processes=1)
    write(tmp_path / "two", 5, processes=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")


KILLED = """
import os, signal, sys
from pathlib import Path
from DMAFTraining.data import simulated_cohort
from tiny_recipe import TinyRecipe

real, left = getattr(simulated_cohort, sys.argv[1]), [int(sys.argv[2])]

def deadly(*arguments, **options):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(simulated_cohort, sys.argv[1], deadly)
simulated_cohort.write_cohort(TinyRecipe(), 4, Path(sys.argv[3]), 1)
"""


@pytest.mark.parametrize(
    ("moment", "call", "kept"),
    [
        ("place_folder", 3, 2),  # the third case is ready, but not at its place
        ("write_atomically", 4, 2),  # it is at its place, but its record is not there
        ("write_atomically", 6, 4),  # all cases are there, but cohort.json does not list them
    ],
)
def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path: Path, moment: str, call: int, kept: int) -> None:
    folder = tmp_path / "cohort"
    command = [sys.executable, "-c", KILLED, moment, str(call), str(folder)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'Testing'}"}
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert table(folder)["cases"] == []  # there from the first moment, so that nobody takes this for real patients
    assert len(list((folder / ".records").glob("*.json"))) == kept
    before = (folder / "tiny-0").stat().st_mtime_ns
    text = write(folder, 4)
    assert f"{4 - kept} of them new" in text
    assert (folder / "tiny-0").stat().st_mtime_ns == before
    write(tmp_path / "whole", 4)
    assert content(folder) == content(tmp_path / "whole")
    assert not list(folder.glob(".partial*"))


def test_another_cohort_is_refused_in_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "a", 1)
    before = content(tmp_path / "a")
    with pytest.raises(ValueError, match=r"another simulated cohort \(seed 0 instead of 5\); give a new folder"):
        write(tmp_path / "a", 1, seed=5)
    assert content(tmp_path / "a") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("important", encoding="utf-8")
    with pytest.raises(ValueError, match="holds files already; give a new folder"):
        write(tmp_path / "mine", 1)
    (tmp_path / "a" / "cohort.json").write_text("[]", encoding="utf-8")  # as an early version of this project wrote it
    with pytest.raises(ValueError, match="cannot be continued; give a new folder"):
        write(tmp_path / "a", 1)


def test_hearts_as_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hearts(tmp_path, 1) == 0
    assert "Simulating 1/1" in capsys.readouterr().err
    drawn = HeartCohort(4).case(0)
    document = table(tmp_path)
    assert document["settings"] == {"anatomy": "heart", "seed": 4}
    read = writing.read_heart(tmp_path, document["cases"][0])
    assert np.array_equal(read.labels, drawn.labels)
    assert all(np.array_equal(read.images[name], drawn.images[name]) for name in drawn.images)
    assert read.affine == pytest.approx(drawn.affine, abs=1e-4)
    cohort = find_cohort(tmp_path, MYOPS)
    assert (cohort.simulated, cohort.problems, [case.name for case in cohort.cases]) == (True, (), [drawn.name])
    assert (tmp_path / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")
    assert f"{drawn.info['volumes_ml']['SCAR']:.4g}" in (tmp_path / "statistics.txt").read_text(encoding="utf-8")
    assert simulate(tmp_path, "--count", 1, "--seed", 4) == 2
    assert "(anatomy heart instead of brain); give a new folder" in capsys.readouterr().err


def test_hearts_on_pixels_of_a_given_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hearts(tmp_path, 1, "--spacing", 2.4) == 0
    image = sitk.ReadImage(str(next(tmp_path.glob("*/*_C0.nii.gz"))))
    assert image.GetSpacing()[:2] == pytest.approx((2.4, 2.4))
    assert 300 - 20 <= 2.4 * image.GetSize()[0] <= 370 + 20
    drawn = HeartCohort(3, 2.4).case(0)
    assert drawn.info["spacing_mm"][:2] == [2.4, 2.4]
    as_scanned = HeartCohort(3).case(0)  # the same person, on other pixels
    assert drawn.info["shape"] == as_scanned.info["shape"]
    for part, ml in drawn.info["volumes_ml"].items():
        assert ml == pytest.approx(as_scanned.info["volumes_ml"][part], rel=0.1), part
    assert hearts(tmp_path, 1) == 2
    assert "another simulated cohort (spacing 2.4 instead of None)" in capsys.readouterr().err


def test_hearts_on_pixels_too_large_for_a_wall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hearts(tmp_path / "a", 1, "--spacing", 12) == 2
    assert "The spacing of hearts is 12 mm; give 0.5 to 4." in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("option", [("--split", "test"), ("--anatomies", "x"), ("--backgrounds", "x")])
def test_options_of_brains_are_refused_for_hearts(
    tmp_path: Path, option: tuple[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert hearts(tmp_path / "a", 1, *option) == 2
    assert f"{option[0]} is for brains only" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_recipes_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="belong to the train split"):
        BrainRecipe(split="test", backgrounds=Path("x"))
    with pytest.raises(ValueError, match="give a positive number"):
        BrainRecipe(spacing=0.0)
    with pytest.raises(ValueError, match="Unknown split 'exam'"):
        BrainRecipe(split="exam")


def test_settings_name_the_content_of_the_files_they_come_from(tmp_path: Path) -> None:
    for person in (1, 2, 15):
        (tmp_path / f"seg_{person:02d}.nii.gz").write_bytes(b"%d" % person)
    settings = BrainRecipe(anatomies=tmp_path).settings
    assert list(settings["anatomies"]) == ["seg_01.nii.gz", "seg_02.nii.gz"]  # the third one is for validation
    (tmp_path / "seg_02.nii.gz").write_bytes(b"changed")
    changed = BrainRecipe(anatomies=tmp_path).settings
    assert settings["anatomies"]["seg_01.nii.gz"] == changed["anatomies"]["seg_01.nii.gz"]
    assert settings["anatomies"]["seg_02.nii.gz"] != changed["anatomies"]["seg_02.nii.gz"]


@pytest.fixture(scope="module")
def phantom() -> Anatomy:
    return ball_anatomy()


def test_brains_as_files(
    phantom: Anatomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The phantom replaces the average brain: this test is about files and messages.
    monkeypatch.setattr(writing, "load_icbm152", lambda: phantom)
    folder = tmp_path / "cohort"
    assert simulate(folder, "--count", 2, "--seed", 4, "--spacing", 5, "--processes", 1) == 0
    out = capsys.readouterr().out
    assert "Research use only" in out
    drawn = Cohort([phantom], seed=4).case(1, 5.0)
    case = folder / "simulated-4-00001"
    assert sorted(path.name.split("_")[-1] for path in case.iterdir()) == [
        "flair.nii.gz", "seg.nii.gz", "t1.nii.gz", "t1ce.nii.gz", "t2.nii.gz",
    ]  # fmt: skip
    image = sitk.DICOMOrient(sitk.ReadImage(str(case / "simulated-4-00001_flair.nii.gz")), "RAS")
    assert np.allclose(sitk.GetArrayFromImage(image).transpose(2, 1, 0), drawn.images["flair"])
    assert np.allclose(np.array(image.GetOrigin()) * [-1, -1, 1], drawn.affine[:3, 3], atol=1e-3)
    document = table(folder)
    assert [case["volumes_ml"] for case in document["cases"]][1] == drawn.info["volumes_ml"]
    (read,) = WrittenCases(folder, document["cases"])[1:]
    assert np.array_equal(read.labels, drawn.labels)
    assert all(np.array_equal(read.images[name], drawn.images[name]) for name in drawn.images)
    assert read.affine == pytest.approx(drawn.affine, abs=1e-4)
    assert (folder / "statistics.txt").read_text(encoding="utf-8").strip() in out
    assert (folder / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")
    (folder / "contact-sheet.png").unlink()
    (folder / "statistics.txt").unlink()
    assert simulate(folder, "--count", 2, "--seed", 4, "--spacing", 5, "--processes", 1) == 0
    assert "0 of them new" in capsys.readouterr().out
    assert {"contact-sheet.png", "statistics.txt"} <= {path.name for path in folder.iterdir()}
    assert simulate(folder, "--count", 2, "--seed", 4, "--spacing", 4) == 2
    assert "(spacing 5.0 instead of 4.0)" in capsys.readouterr().err
