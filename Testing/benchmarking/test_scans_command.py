"""The raw-like test: reading cases, the outcome of a run, the report and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from ball_head_rig import shift
from DMAFTraining.benchmark import main
from DMAFTraining.benchmarking.scans_case import CleanCase, read_case
from DMAFTraining.benchmarking.scans_document import Truth
from DMAFTraining.benchmarking.scans_head import HeadMap, read_head
from DMAFTraining.benchmarking.scans_measure import (
    carry_labels,
    correlation,
)
from DMAFTraining.benchmarking.scans_raw import (
    RawScan,
    make_raw,
)
from DMAFTraining.benchmarking.scans_report import as_markdown
from DMAFTraining.benchmarking.scans_variants import Outcome, plan_variants
from DMAFTraining.data.brats import REGIONS
from DMAFTraining.evaluation.stored import LabelMap
from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, Volume, read_volume, to_image
from DMAFTraining.inference.scans.verdict import Verdict
from DMAFTraining.modalities import BRATS
from tiny import write_tiny_bundle


def _write(folder: Path, name: str, array: np.ndarray, grid: Grid) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"case_{name}.nii.gz"
    sitk.WriteImage(to_image(array, grid), str(path))
    return path


def test_a_case_is_read_with_its_brain_and_labels(tmp_path: Path, case: CleanCase) -> None:
    hollow = case.images["t1"].array.copy()
    hollow[30:34, 40:44, 30:34] = 0
    _write(tmp_path / "a", "t1", hollow, case.grid)
    assert case.labels is not None
    _write(tmp_path / "a", "seg", np.where(case.labels == 3, 4, case.labels).astype(np.uint8), case.grid)
    found = read_case(tmp_path / "a", BRATS, (1, 2, 3))
    assert np.array_equal(found.brain, case.brain)
    assert np.array_equal(found.labels, case.labels)
    assert list(found.images) == ["t1"]


def test_cases_that_are_not_clean_are_refused(tmp_path: Path, case: CleanCase) -> None:
    image = case.images["t1"].array
    _write(tmp_path / "a", "t1", image + np.random.default_rng(0).random(image.shape, np.float32), case.grid)
    with pytest.raises(InputError, match=r"case_t1.* does not show the brain alone\. There is no empty background"):
        read_case(tmp_path / "a", BRATS, (1, 2, 3))
    _write(tmp_path / "b", "t1", image, case.grid)
    _write(tmp_path / "b", "t2", image, Grid(case.grid.size, shift(1, 0, 0) @ case.grid.ijk_to_ras))
    with pytest.raises(GeometryError, match=r"case_t2.* and case_t1.* lie on different grids"):
        read_case(tmp_path / "b", BRATS, (1, 2, 3))


def test_a_head_without_a_skull_is_refused(tmp_path: Path, template: HeadMap, case: CleanCase) -> None:
    whole = _write(tmp_path, "whole", template.labels, template.grid)
    assert np.array_equal(read_head(whole).labels, template.labels)
    bare = np.where(template.labels < 500, template.labels, 0).astype(np.int16)
    for path in (
        _write(tmp_path, "bare", bare, template.grid),
        _write(tmp_path, "gray", case.images["t1"].array, case.grid),
    ):
        with pytest.raises(InputError, match="is no label map of a whole head"):
            read_head(path)


@pytest.fixture(scope="module")
def perfect(scans: dict[str, RawScan], case: CleanCase) -> Outcome:
    """What a pipeline without any error would give."""
    assert case.labels is not None
    maps = {
        name: LabelMap(carry_labels(case.labels, case.grid, raw.grid_in_case), raw.volume.grid, name)
        for name, raw in scans.items()
    }
    to_reference = {name: scans["t1ce"].motion @ np.linalg.inv(scans[name].motion) for name in ("t1", "t2")}
    native = {name: maps[name] for name in ("t1", "t2")}
    return Outcome("", maps["t1ce"], native, to_reference, scans["t1ce"].brain, "oracle", {"read": 1.0, "brain": 2.0})


def test_a_perfect_outcome_has_perfect_figures(perfect: Outcome, scans: dict[str, RawScan], case: CleanCase) -> None:
    assert case.labels is not None
    truth = Truth(case, scans, "t1ce", REGIONS)
    clean = Outcome(result=LabelMap(case.labels, case.grid, "clean"))
    figures = truth.judge(perfect, clean)
    ones = {"WT": 1, "TC": 1, "ET": 1}
    assert truth.judge_clean(clean)["dice_to_segmentation"] == ones
    assert figures["dice_to_segmentation"] == figures["dice_to_clean"] == ones
    for name in ("t1", "t2"):
        assert figures["registration"][name]["mean_mm"] == pytest.approx(0, abs=1e-9)
        assert figures["registration"][name]["before_mm"] > 1
        assert figures["native"][name]["dice_to_segmentation"] == ones
        assert figures["native"][name]["same_header"]
        assert figures["native"][name]["round_trip_voxels"] < 0.1
    assert figures["brain"]["dice"] == 1
    assert figures["brain"]["missed_ml"] == figures["brain"]["extra_ml"] == 0
    assert figures["all_seconds"] == 3
    assert truth.interpolation_alone()["WT"] > 0.95  # type: ignore[index]


def test_every_error_shows_in_its_figure(perfect: Outcome, scans: dict[str, RawScan], case: CleanCase) -> None:
    """A transform 3 mm off, a brain without its right half, labels two slices up on T1, nothing on the reference."""
    assert case.labels is not None
    truth = Truth(case, scans, "t1ce", REGIONS)
    clean = Outcome(result=LabelMap(case.labels, case.grid, "clean"))
    assert perfect.result is not None
    half = scans["t1ce"].brain.copy()
    half[: half.shape[0] // 2] = False
    t1 = LabelMap(np.roll(perfect.native["t1"].array, 2, axis=2), perfect.native["t1"].grid, "t1")
    figures = truth.judge(
        replace(
            perfect,
            transforms={**perfect.transforms, "t2": shift(0, 3, 0) @ perfect.transforms["t2"]},
            brain=half,
            native={"t1": t1},
        ),
        clean,
    )
    assert figures["registration"]["t2"]["mean_mm"] == pytest.approx(3)
    assert figures["brain"]["missed_ml"] == pytest.approx((scans["t1ce"].brain & ~half).sum() / 1000)
    assert figures["brain"]["extra_ml"] == 0
    assert figures["native"]["t1"]["round_trip_voxels"] == pytest.approx(2, abs=0.1)
    assert figures["native"]["t1"]["round_trip_mm"] == pytest.approx(10, abs=0.5)
    assert figures["native"]["t1"]["dice_to_segmentation"]["WT"] < 0.7
    empty = replace(perfect, result=LabelMap(np.zeros_like(perfect.result.array), perfect.result.grid, "empty"))
    assert truth.judge(empty, clean)["dice_to_clean"] == {"WT": 0, "TC": 0, "ET": 0}
    assert truth.judge(empty, clean)["native"]["t1"]["round_trip_voxels"] is None


def test_the_report_shows_the_figures_and_what_was_refused(
    perfect: Outcome, scans: dict[str, RawScan], case: CleanCase
) -> None:
    assert case.labels is not None
    truth = Truth(case, scans, "t1ce", REGIONS)
    clean = Outcome(result=LabelMap(case.labels, case.grid, "clean"), seconds={"read": 1.5}, warnings=("Odd.",))
    document = {
        "notice": "Research only.",
        "case": "ball",
        "model": "tiny 1.0",
        "head": "head",
        "seed": 1,
        "noise": 0.02,
        "reference": "t1ce",
        "regions": ["WT", "TC", "ET"],
        "scans": truth.describe_scans(),
        "interpolation_alone": truth.interpolation_alone(),
        "runs": {
            "clean": {"title": "clean case", **truth.judge_clean(clean)},
            "raw": {"title": "skull on", **truth.judge(perfect, clean)},
            "unprepared": {"title": "as it is", **truth.judge(Outcome(problem="They do not overlap."), clean)},
        },
    }
    report = as_markdown(json.loads(json.dumps(document)))
    assert "| clean case | 1.000 | 1.000 | 1.000 | - | - | - |" in report
    assert "| skull on | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |" in report
    assert "| as it is: refused (They do not overlap.) | - | - | - | - | - | - |" in report
    assert "| t1ce | 1x1x1 sagittal |" in report
    assert "0.00 (0.00)" in report
    assert "| skull on | oracle | 1.000 |" in report
    assert "| skull on | 1.0 | 2.0 | 3.0 |" in report
    assert "- Odd. (clean case)" in report
    widths = {line.count(" | ") for line in report.split("## Seconds")[1].splitlines() if line.startswith("| ")}
    assert len(widths) == 1


def test_variants_differ_in_what_is_left_to_do(tmp_path: Path) -> None:
    clean = {name: tmp_path / name for name in ("t1", "t1ce")}
    kinds = {kind: {name: tmp_path / kind / name for name in clean} for kind in ("raw", "stripped", "aligned")}
    variants = {v.name: v for v in plan_variants(clean, kinds, "t1ce", tmp_path / "cache")}
    assert variants["clean"].files == clean
    assert variants["clean"].reference is None
    assert {name: v.options.registration for name, v in variants.items()} == {
        "clean": "auto", "aligned": "off", "stripped": "auto", "raw": "auto", "unprepared": "off"
    }  # fmt: skip
    assert variants["raw"].files == variants["unprepared"].files == kinds["raw"]
    assert variants["raw"].native == ("t1",)


def test_help_has_examples_and_bad_words_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["scans", "--help"])
    assert "examples:" in capsys.readouterr().out
    words = ["scans", "--case", str(tmp_path / "none"), "--head", "x", "--output", str(tmp_path / "out")]
    assert main(words) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registration and brain extraction that know the truth, for heads too small and too smooth for the real ones."""
    made: list[RawScan] = []

    def make(*words: Any) -> dict[str, RawScan]:
        found = make_raw(*words)
        made.extend(found.values())
        return found

    def of(volume: Volume) -> RawScan:
        return next(raw for raw in made if raw.volume.grid.same_as(volume.grid))

    class Tool:
        name, version = "oracle", "1"

        def __call__(self, volume: Volume, on_progress: Any) -> np.ndarray:
            return of(volume).brain

    monkeypatch.setattr("DMAFTraining.benchmarking.scans_work.make_raw", make)
    monkeypatch.setattr(
        "DMAFTraining.inference.scans.decisions.are_aligned",
        lambda volumes, of, on_progress: {
            name: Verdict(volume.grid.same_as(volumes[of].grid), "") for name, volume in volumes.items() if name != of
        },
    )
    monkeypatch.setattr(
        "DMAFTraining.inference.scans.aligning.register",
        lambda moving, fixed, on_progress: of(fixed).motion @ np.linalg.inv(of(moving).motion),
    )
    monkeypatch.setattr("DMAFTraining.inference.scans.aligning.doubts", lambda *_: "")
    monkeypatch.setattr("DMAFTraining.inference.scans.brain_mask.find_tool", lambda choice: Tool())


@pytest.mark.usefixtures("oracle")
def test_the_command_measures_a_pipeline_that_knows_the_truth(
    tmp_path: Path, template: HeadMap, case: CleanCase, capsys: pytest.CaptureFixture[str]
) -> None:
    assert case.labels is not None
    for name in ("t1", "t1ce"):
        _write(tmp_path / "ball", name, case.images[name].array, case.grid)
    _write(tmp_path / "ball", "seg", case.labels, case.grid)
    whole = _write(tmp_path, "head", template.labels, template.grid)
    bundle = write_tiny_bundle(tmp_path / "tiny.safetensors")
    words = ["--case", tmp_path / "ball", "--head", whole, "--bundle", bundle, "--output", tmp_path / "out"]
    assert main(["scans", *map(str, words), "--seed", "3", "--grid", "t1=2x2x4:coronal"]) == 0
    assert capsys.readouterr().out.strip() == (tmp_path / "out" / "report.md").read_text(encoding="utf-8").strip()
    document = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    runs = document["runs"]
    assert document["reference"] == "t1ce"
    assert [run["problem"] for run in runs.values()] == [None] * 5
    assert "dice_to_clean" not in runs["clean"]
    for name in ("stripped", "raw"):
        assert runs[name]["registration"]["t1"]["max_mm"] == pytest.approx(0, abs=1e-6)
        assert runs[name]["native"]["t1"]["same_header"]
    assert runs["stripped"]["dice_to_clean"] == pytest.approx(runs["aligned"]["dice_to_clean"], abs=1e-3)
    assert runs["raw"]["dice_to_clean"]["WT"] == pytest.approx(runs["aligned"]["dice_to_clean"]["WT"], abs=0.05)
    assert runs["stripped"]["brain"] is None
    assert runs["raw"]["brain"]["tool"] == "oracle 1"
    assert runs["raw"]["brain"]["dice"] > 0.999
    assert {"register", "brain", "segment"} <= set(runs["raw"]["seconds"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "aligned", "raw", "report.json", "report.md", "results", "stripped", "truth"
    }  # fmt: skip
    motions = json.loads((tmp_path / "out" / "truth" / "motions.json").read_text(encoding="utf-8"))
    seen = read_volume(tmp_path / "out" / "raw" / "ball_t1.nii.gz")
    back = Volume(seen.array, Grid(seen.grid.size, np.linalg.inv(motions["t1"]) @ seen.grid.ijk_to_ras))
    assert correlation(back, case.images["t1"], case.brain) > 0.75


def test_nothing_is_left_of_a_run_that_fails(
    tmp_path: Path, template: HeadMap, case: CleanCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "ball", "t1", case.images["t1"].array, case.grid)
    whole = _write(tmp_path, "head", template.labels, template.grid)
    before = sorted(tmp_path.iterdir())

    def fail(*_: object) -> None:
        assert sorted(tmp_path.iterdir()) != before
        raise MemoryError

    monkeypatch.setattr("DMAFTraining.benchmarking.scans_work.make_head", fail)
    words = ["scans", "--case", tmp_path / "ball", "--head", whole, "--output", tmp_path / "out"]
    with pytest.raises(MemoryError):
        main([*map(str, words)])
    assert sorted(tmp_path.iterdir()) == before
