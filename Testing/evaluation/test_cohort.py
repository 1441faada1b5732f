"""Models on many cases, as a person runs it: real files, real processes, killed in the middle and gone on with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DMAFTraining.data.datasets import BRATS, MYOPS
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.evaluate import main
from DMAFTraining.evaluation.cohort import EvaluatedModel, Task, dataset_of, finished_parts, open_models, run_task
from DMAFTraining.evaluation.cohort_report import CohortReport
from DMAFTraining.evaluation.scorebook import ScoreRow, read_scores
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.comparison import dice, region_dice, region_mask
from DMAFTraining.inference.metadata import BundleMetadata, read_metadata
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from tiny import tiny_heart_metadata, write_tiny_bundle
from tiny_cohort import write_tiny_cohort, write_tiny_hearts

SUBSETS = ["+".join(subset.names) for subset in BRATS.modalities.subsets()]
REGIONS = ["WT", "TC", "ET", "ET-500"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models and two cases; the second case lacks T1ce and T2."""
    folder = tmp_path_factory.mktemp("evaluation")
    for seed, name in enumerate("ab"):
        write_tiny_bundle(folder / f"{name}.safetensors", seed)
    write_tiny_cohort(folder / "cases", 2)
    for name in ("t1ce", "t2"):
        (folder / "cases" / "ball1" / f"ball1_{name}.nii.gz").unlink()
    return folder


def arguments(place: Path, output: Path, *more: str) -> list[str]:
    bundles = [str(place / f"{name}.safetensors") for name in "ab"]
    fixed = ["--cases", str(place / "cases"), "--output", str(output), "--device", "cpu", "--processes", "1"]
    return ["--bundle", *bundles, *fixed, *more]


@pytest.fixture(scope="module")
def evaluated(place: Path) -> Path:
    """The output of one whole run."""
    assert main(arguments(place, place / "scores")) == 0
    return place / "scores"


def task(place: Path, output: Path, subsets: str = "all", case: int = 0) -> Task:
    model = open_models([place / "a.safetensors"], place / "cases")[0]
    return Task(model.path, model.sha256, model.cohort.cases[case], model.cohort.spec, subsets, output, "cpu")


def test_one_row_per_model_case_subset_and_region(evaluated: Path, place: Path) -> None:
    rows = read_scores(evaluated / "scores.csv")
    models = [
        model.sha256 for model in open_models([place / "a.safetensors", place / "b.safetensors"], place / "cases")
    ]
    had = {"ball0": SUBSETS, "ball1": ["t1", "flair", "t1+flair"]}
    wanted = [(m, case, s, r) for m in models for case, listed in had.items() for s in listed for r in REGIONS]
    assert [(row.model_sha256, row.case, row.subset, row.region) for row in rows] == wanted
    assert {row.model for row in rows} == {"tiny 1.0"}
    assert all(row.simulated_training for row in rows)


def test_scores_are_those_of_the_label_maps_that_predict_gives(evaluated: Path, place: Path) -> None:
    segmenter = Segmenter(place / "a.safetensors", "cpu")
    folder = place / "cases" / "ball0"
    case = segmenter.prepare({name: folder / f"ball0_{name}.nii.gz" for name in BRATS.modalities.names})
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "ball0_seg.nii.gz"))).transpose(2, 1, 0)
    rows = {(row.subset, row.region): row for row in read_scores(evaluated / "scores.csv")[: 15 * 4]}
    for result in segmenter.segment(case, "all"):
        overlap = region_dice(result.labels, truth, BRATS.regions)
        for region in BRATS.regions:
            row = rows["+".join(result.subset.names), region.name]
            assert row.dice == pytest.approx(overlap[region.name], abs=2e-3)  # ties may fall differently on turned axes
            assert row.predicted_ml == pytest.approx(result.volumes_ml[region.name], rel=1e-2)
            assert row.truth_ml == pytest.approx(region_mask(truth, region).sum() * 0.008, abs=1e-6)  # 2 mm voxels


def test_calibration_is_of_the_brain_and_of_the_region(evaluated: Path, place: Path) -> None:
    segmenter = Segmenter(place / "a.safetensors", "cpu")
    folder = place / "cases" / "ball0"
    case = segmenter.prepare({name: folder / f"ball0_{name}.nii.gz" for name in BRATS.modalities.names})
    _, classes = next(segmenter.probabilities(case, "full"))
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "ball0_seg.nii.gz"))).transpose(2, 1, 0)
    # Every voxel of these images is brain, so the box of the prediction is the whole grid.
    foreground = (classes[1:].sum(dim=0) / classes.sum(dim=0)).numpy()
    assert foreground.shape == truth.shape
    rows = {(row.subset, row.region): row for row in read_scores(evaluated / "scores.csv")[: 15 * 4]}
    row = rows[SUBSETS[-1], "WT"]
    assert row.brier == pytest.approx(((foreground - (truth > 0)) ** 2).mean(), rel=1e-3)
    assert 0 < row.ece < 1
    assert rows[SUBSETS[-1], "ET-500"].brier is None


def test_tables_say_what_they_show(evaluated: Path) -> None:
    text = (evaluated / "tables.txt").read_text(encoding="utf-8")
    assert text.startswith("Research use only. Not a medical device.\n2 cases of ")
    assert "1 mm if one is, 0 if both are, as PASSION" in text
    assert "ET-500: ET where a prediction below 0.5 mL (500 voxels of 1 mm) counts as nothing." in text
    assert text.count(", trained on simulated data\n") == 2
    lines = text.splitlines()
    first = lines.index("Dice, percent")
    assert [line.split()[:2] for line in lines[first + 2 : first + 17]] == [
        [str(subset), "2" if str(subset) in ("T1", "FLAIR", "T1+FLAIR") else "1"]
        for subset in BRATS.modalities.subsets()
    ]
    rows = [row for row in read_scores(evaluated / "scores.csv")[: (15 + 3) * 4] if row.region == "WT"]
    t1 = np.mean([100 * row.dice for row in rows if row.subset == "t1"])
    (line,) = [line for line in lines[first : first + 17] if line.startswith("T1 ")]
    assert line.split()[2] == f"{t1:.2f}"
    assert (evaluated / "tables.md").read_text(encoding="utf-8").count("| T1+T1ce+FLAIR+T2 | 1 |") == 2 * 9
    assert json.loads((evaluated / "evaluation.json").read_text(encoding="utf-8"))["empty"] == "passion"


def test_killed_in_the_middle_and_gone_on_with_gives_the_same_bytes(
    evaluated: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = place / "killed"
    command = [sys.executable, "-m", "DMAFTraining.evaluate", *arguments(place, output)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(output.glob("cases/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(process.pid), "a process outlived the one that started it"
    finished = len(list(output.glob("cases/*/*.json")))
    assert 1 <= finished < 4
    assert not (output / "scores.csv").exists()
    assert main([*arguments(place, output), "--processes", "2"]) == 0  # nor does it matter how many work
    assert f"4 of 4 evaluated, {finished} of them earlier" in capsys.readouterr().out
    assert (output / "scores.csv").read_bytes() == (evaluated / "scores.csv").read_bytes()
    assert (output / "tables.txt").read_bytes() == (evaluated / "tables.txt").read_bytes()


def _alive(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_bad_case_is_named_and_the_others_are_finished(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases, output = place / "partly", place / "partly-scores"
    shutil.copytree(place / "cases", cases)
    bad = cases / "ball0" / "ball0_flair.nii.gz"
    bad.write_bytes(bad.read_bytes()[:2000])
    command = ["--bundle", str(place / "a.safetensors"), "--cases", str(cases), "--output", str(output)]
    assert main([*command, "--device", "cpu", "--processes", "1", "--empty", "nan"]) == 1
    said = capsys.readouterr().out
    assert "Not evaluated: ball0, a.safetensors: " in said
    assert str(bad) in said
    assert "1 of 2 evaluated" in said
    assert "left out of the means" in said
    assert {row.case for row in read_scores(output / "scores.csv")} == {"ball1"}


def test_finished_cases_are_kept_until_their_files_or_the_question_change(place: Path, tmp_path: Path) -> None:
    first = task(place, tmp_path, case=1)
    assert not run_task(first).kept
    assert run_task(first).kept
    (part,) = tmp_path.glob("cases/*/*.json")
    assert part.parts[-2:] == (first.sha256[:16], "ball1.json")
    assert not run_task(task(place, tmp_path, "full", case=1)).kept  # other subsets
    copy = tmp_path / "copy"
    shutil.copytree(place / "cases", copy)
    moved = Task(first.model, first.sha256, find_cohort(copy, BRATS).cases[1], BRATS, "full", tmp_path, "cpu")
    assert run_task(moved).kept  # the same bytes elsewhere
    shutil.copy(copy / "ball1" / "ball1_t1.nii.gz", copy / "ball1" / "ball1_flair.nii.gz")
    assert not run_task(moved).kept  # other bytes
    part.write_bytes(part.read_bytes()[:-20])
    assert not run_task(moved).kept  # a damaged part


@pytest.mark.parametrize(
    ("subsets", "wanted"),
    [("full", ["t1+flair"]), ("all", ["t1", "flair", "t1+flair"]), ("FLAIR,T1+T2,flair+t1", ["flair", "t1+flair"])],
)
def test_a_case_is_scored_on_the_subsets_it_has(place: Path, tmp_path: Path, subsets: str, wanted: list[str]) -> None:
    (part,) = finished_parts(tmp_path, [run_task(task(place, tmp_path, subsets, case=1))])
    assert list(dict.fromkeys(row.subset for row in part.scores.rows)) == wanted


def test_an_empty_truth(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "cases", tmp_path / "cases")
    path = tmp_path / "cases" / "ball0" / "ball0_seg.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(path)) * 0, str(path))
    shutil.copy(place / "a.safetensors", tmp_path)
    (part,) = finished_parts(tmp_path, [run_task(task(tmp_path, tmp_path, "full"))])
    for row in part.scores.rows:
        assert (row.truth_empty, row.truth_ml, row.hd95_pooled) == (True, 0, None)
        assert row.dice == float(row.predicted_empty)


HEART = DMAFNetConfig(modalities=3, dims=2, width=2, levels=4, grid=(2, 2), layers=1, channels_per_head=2)
HEART_METADATA = tiny_heart_metadata(HEART, 1.0, 32, 32)


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluatedModel, CohortReport, Path]:
    folder = tmp_path_factory.mktemp("heart")
    torch.manual_seed(3)
    save_bundle(folder / "heart.safetensors", HEART_METADATA, DMAFNet(HEART).state_dict())
    (model,) = open_models([folder / "heart.safetensors"], write_tiny_hearts(folder / "cases"))
    case = model.cohort.cases[0]
    outcome = run_task(Task(model.path, model.sha256, case, model.cohort.spec, "all", folder, "cpu"))
    assert not outcome.problem
    report = CohortReport([model], finished_parts(folder, [outcome]), folder / "cases", "all", "none", "passion")
    report.write(folder)
    return model, report, folder


def test_slices_are_scored_as_a_volume_and_one_by_one(heart: tuple[EvaluatedModel, CohortReport, Path]) -> None:
    model, report, folder = heart
    rows, slices = read_scores(folder / "scores.csv"), read_scores(folder / "slices.csv")
    subsets = ["+".join(subset.names) for subset in MYOPS.modalities.subsets()]
    regions = ["LVB", "RVB", "MYO"]
    name = "myops_training_101"
    assert [(r.case, r.subset, r.region) for r in rows] == [(name, s, r) for s in subsets for r in regions]
    assert [(r.case, r.subset, r.region) for r in slices] == [
        (f"{name}_slice_{n}", s, r) for n in range(2) for s in subsets for r in regions
    ]
    assert ", slice by slice" in report.as_text([])
    case = model.cohort.cases[0]
    segmenter = Segmenter(model.path, "cpu")
    prepared = segmenter.prepare({name: source.path for name, source in case.images.items()})
    coded = sitk.GetArrayFromImage(sitk.ReadImage(str(case.labels.path))).transpose(2, 1, 0)
    truth = np.select([coded == 500, coded == 600, coded == 200], [1, 2, 3], 0)
    for result in segmenter.segment(prepared, "all"):
        for region in MYOPS.regions:
            found, wanted = region_mask(result.labels, region), region_mask(truth, region)
            row = _pick(rows, result.subset.names, region.name)
            assert row.dice == pytest.approx(dice(found, wanted), abs=1e-6)
            assert row.truth_ml == pytest.approx(wanted.sum() * 12 / 1000)  # 1 x 1 x 12 mm
            for n in range(2):
                row = _pick(slices, result.subset.names, region.name, f"slice_{n}")
                assert row.dice == pytest.approx(dice(found[..., n], wanted[..., n]), abs=1e-6)
                assert row.truth_ml == pytest.approx(wanted[..., n].sum() * 12 / 1000)


def _pick(rows: list[ScoreRow], names: tuple[str, ...], region: str, case: str = "") -> ScoreRow:
    (row,) = [r for r in rows if (r.subset, r.region) == ("+".join(names), region) and r.case.endswith(case)]
    return row


def test_distances_of_slices_stay_in_the_plane(heart: tuple[EvaluatedModel, CohortReport, Path]) -> None:
    _, _, folder = heart
    plane = np.hypot(39, 39)  # the diagonal of a slice of 40 x 40 mm
    slices = read_scores(folder / "slices.csv")
    assert any(row.hd for row in slices)
    assert all(row.hd is None or row.hd <= plane for row in slices)
    assert all(None in (row.hd95, row.hd) or row.hd95 <= row.hd for row in slices)


def test_a_model_of_no_known_data_set_reads_its_own_label_values(tmp_path: Path) -> None:
    known = read_metadata(write_tiny_bundle(tmp_path / "a.safetensors"))
    assert dataset_of(known) == BRATS
    assert dataset_of(HEART_METADATA) == MYOPS
    labels = tuple(reversed(known.labels))
    renamed = tuple(type(label)(n, label.name, label.color) for n, label in enumerate(labels, 1))
    own = dataset_of(BundleMetadata(**{**vars(known), "labels": renamed}))
    assert own.label_codings == ({0: 0, 1: 1, 2: 2, 3: 3},)
    assert "seg" in own.label_tokens
    assert own.modalities == known.modalities


def test_command_lines_that_cannot_work_end_with_2_and_a_sentence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, cases = str(place / "a.safetensors"), str(place / "cases")
    many = ["--cases", cases, "--output", str(tmp_path / "out")]
    expected = {
        ("--bundle", model, model, *many): "are the same model",
        ("--bundle", str(tmp_path / "none.safetensors"), *many): "There is no model file",
        ("--bundle", model, "--cases", str(tmp_path), "--output", str(tmp_path / "out")): "There are no cases in",
        ("--bundle", model, *many, "--subsets", "T1+PET"): "is not a sequence",
        ("--bundle", model, *many, "--device", "abacus"): "cannot be used on this computer",
        ("--bundle", model, *many, "--split", "published"): "ball0",
    }
    for line, sentence in expected.items():
        assert main(line) == 2
        assert sentence in capsys.readouterr().err
    for line in (["--bundle", model], [str(place), *many, "--bundle", model, "--truth", "x"], [str(place)], []):
        with pytest.raises(SystemExit) as stopped:
            main(line)
        assert stopped.value.code == 2
        assert "give RESULTS_FOLDER and --truth" in capsys.readouterr().err


def test_an_image_the_model_cannot_use_is_a_failed_case(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "cases", tmp_path / "cases")
    shutil.copy(place / "a.safetensors", tmp_path)
    for name, corner in (("t1", slice(0, 6)), ("t2", slice(28, 34))):  # they show different places
        path = tmp_path / "cases" / "ball0" / f"ball0_{name}.nii.gz"
        image = sitk.ReadImage(str(path))
        array = sitk.GetArrayFromImage(image)
        outside = np.ones(array.shape, bool)
        outside[corner, corner, corner] = False
        array[outside] = 0
        changed = sitk.GetImageFromArray(array)
        changed.CopyInformation(image)
        sitk.WriteImage(changed, str(path))
    outcome = run_task(task(tmp_path, tmp_path))
    assert "ball0, a.safetensors: T1 and T2 do not overlap in space" in outcome.problem
    assert not finished_parts(tmp_path, [outcome])
