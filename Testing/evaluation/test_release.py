"""`make train-release` in miniature: its own commands, on balls and with networks of width 2."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tiny_cohort
from DMAFTraining.balancing.dmaf import DMAFBalancing
from DMAFTraining.data.datasets import BRATS as SPEC
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.evaluation import cohort
from DMAFTraining.evaluation.model_card import TITLE, with_scores
from DMAFTraining.evaluation.score_files import mean_by_subset, read_score_file
from DMAFTraining.evaluation.scorebook import read_scores
from DMAFTraining.inference.metadata import read_header, read_metadata
from DMAFTraining.modalities import BRATS
from DMAFTraining.prepare import _parser
from DMAFTraining.release import main
from DMAFTraining.train import read_config

ROOT = Path(__file__).resolve().parents[2]
JUDGED = ("validation", "validation-shifted", "test", "test-shifted")
SMALL = "data.patch=[32,32,32] network.width=2 iterations=2 batch=1 precision=fp32 device=cpu"
SMALL_DMAF = f"{SMALL} network.grid=[2,2,2] network.layers=1 network.channels_per_head=2"


def commands(place: Path, *variables: str) -> list[list[str]]:
    """What make would run for a release in a folder: module and arguments."""
    environment = place.parent / "environment"
    environment.mkdir(exist_ok=True)
    (environment / ".demo").touch()
    given = [f"RELEASE={place}", f"VENV={environment}", *variables]
    done = subprocess.run(["make", "-n", "train-release", *given], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(" -m DMAFTraining.", 1)[1]) for line in lines if " -m DMAFTraining." in line]


def simulated(folder: Path, cases: int = 1) -> Path:
    """Balls that say that they are simulated, as the simulator leaves them."""
    tiny_cohort.write_tiny_cohort(folder, cases)
    document = {"schema": "dmaf-cohort", "version": 2, "simulated": True, "settings": {}, "cases": []}
    (folder / "cohort.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "statistics.txt").write_text("made for a test\n", encoding="utf-8")
    return folder


def run(command: list[str]) -> int:
    module, *arguments = command
    return int(importlib.import_module(f"DMAFTraining.{module}").main(arguments))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where everything ran, beginning with simulated cases."""
    place = tmp_path_factory.mktemp("made") / "release"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_cohort, "SIDE", 32)  # one window
        for name in JUDGED:
            simulated(place / name)
        cases = simulated(place / "cohort", 2)
    prepare_store(find_cohort(cases, SPEC), place / "store", processes=1)
    options = [f"TRAIN_dmaf={SMALL_DMAF}", f"TRAIN_plain={SMALL_DMAF}", f"TRAIN_unet={SMALL}"]
    with pytest.MonkeyPatch.context() as patch:
        # Processes would load torch again, eight times.
        patch.setattr(cohort, "in_processes", lambda work, tasks, _: map(work, tasks))
        for command in commands(place, *options, "CROPS=optimizer.learning_rate=0.001"):
            assert run(command) == 0, command
    return place


def test_the_makefile_asks_for_what_the_commands_know(tmp_path: Path) -> None:
    found = commands(tmp_path / "release")
    drawn = [_parser().parse_args(arguments) for module, *arguments in found if module == "prepare"]
    heads = [(d.split, d.appearance, d.seed) for d in drawn if d.command == "simulate"]
    looks = [("validation", None), ("validation", "shifted"), ("test", None), ("test", "shifted")]
    assert {(split, look) for split, look, _ in heads} == {(None, None), *looks}
    assert len({seed for _, _, seed in heads}) == len(heads) == 5
    assert [d.split for d in drawn if d.command == "simulate" and d.backgrounds] == [None]  # training only
    runs = {str(c.output.name): c for c in (read_config(a)[0] for module, *a in found if module == "train")}
    assert list(runs) == ["dmaf-crops", "dmaf", "plain-crops", "plain", "unet-crops", "unet"]
    for name in ("dmaf", "plain", "unet"):
        assert runs[name].initial == runs[f"{name}-crops"].output / "checkpoint.pt"
        assert runs[name].data.root == tmp_path / "release" / "store"
        assert (runs[f"{name}-crops"].data.patch, runs[name].data.patch) == ((64, 64, 64), (80, 96, 80))
    dmaf, plain, unet = (runs[name] for name in ("dmaf", "plain", "unet"))
    assert isinstance(dmaf.strategy, DMAFBalancing)
    assert isinstance(plain.strategy, DMAFBalancing)
    without = replace(dmaf.strategy, distill=False, monitor=False, distillation=plain.strategy.distillation)
    assert without == plain.strategy
    for name in ("network", "data", "optimizer", "iterations", "batch"):
        assert getattr(dmaf, name) == getattr(plain, name)
    assert unet.data == replace(dmaf.data, setting="pdt", missing_rates=())
    assert [runs[f"{name}-crops"].initial for name in ("dmaf", "plain", "unet")] == [None] * 3


def test_the_model_is_chosen_by_the_mean_of_both_appearances(release: Path) -> None:
    record = json.loads((release / "choice.json").read_text(encoding="utf-8"))
    means = {}
    for name in ("dmaf", "plain", "unet"):
        label = read_metadata(release / name / "model.safetensors").name
        values = []
        for scores in ("validation", "validation-shifted"):
            rows = read_scores(release / "scores" / scores / "scores.csv")
            dices = [row.dice for row in rows if row.model.startswith(f"{label} ") and row.region != "ET-500"]
            assert len(dices) == 15 * 3
            values.append(sum(dices) / len(dices))
        means[str(release / name / "model.safetensors")] = sum(values) / 2
    assert {name: row["mean"] for name, row in record["models"].items()} == pytest.approx(means, abs=1e-5)
    assert means[record["chosen"]] == max(means.values())
    assert (release / "chosen.safetensors").read_bytes() == Path(record["chosen"]).read_bytes()


def test_the_released_model_has_temperatures_and_expected_dice_and_the_weights_of_the_chosen(release: Path) -> None:
    metadata = read_metadata(release / "release.safetensors")
    names = [str(subset) for subset in BRATS.subsets()]
    assert list(metadata.expected_dice) == sorted(names)
    assert set(metadata.temperatures) == set(metadata.calibration_error) == set(names)
    assert metadata.calibration_source.startswith("2 simulated cases, 10000 voxels of each brain")
    assert metadata.expected_dice_source == "2 simulated test cases of people never trained on"
    rows = [
        row
        for part in ("test", "test-shifted")
        for row in read_scores(release / "scores" / part / "scores.csv")
        if row.subset == "t1+flair" and row.region == "WT"
    ]
    assert len(rows) == 2
    assert metadata.expected_dice["T1+FLAIR"]["WT"] == pytest.approx(sum(row.dice for row in rows) / 2, abs=1e-4)
    assert set(metadata.expected_dice["T1"]) == {"WT", "TC", "ET"}
    files = [release / name for name in ("chosen.safetensors", "release.safetensors")]
    assert len({read_header(file)["__metadata__"]["weights_sha256"] for file in files}) == 1


def test_a_second_make_has_nothing_to_do(release: Path) -> None:
    assert commands(release) == []
    (release / "release.safetensors").rename(release / "aside")
    assert [command[0] for command in commands(release)] == ["evaluate", "evaluate", "release"]
    (release / "aside").rename(release / "release.safetensors")


def test_real_patients_choose_no_model(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = scores_of(release, tmp_path / "real", simulated_cases=False)
    command = ["choose", "--bundles", str(release / "dmaf" / "model.safetensors"), "--scores", str(real)]
    assert main([*command, "--output", str(tmp_path / "chosen.safetensors")]) == 2
    assert "a model is chosen by simulated cases only" in capsys.readouterr().err
    assert not (tmp_path / "chosen.safetensors").exists()


def scores_of(release: Path, folder: Path, **changes: object) -> Path:
    """A copy of the test scores whose record says something else."""
    shutil.copytree(release / "scores" / "test", folder)
    record = folder / "evaluation.json"
    record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8")) | changes), encoding="utf-8")
    return folder / "scores.csv"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({}, "holds no scores of this model file"), ({"not_evaluated": ["ball0: damaged"]}, "lacks cases")],
)
def test_expected_accuracy_is_that_of_this_very_model_and_of_all_cases(
    release: Path, tmp_path: Path, changes: dict[str, object], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = release / "chosen.safetensors"  # the scores are of the calibrated one
    scores = scores_of(release, tmp_path / "scores", **changes)
    output = tmp_path / "out.safetensors"
    assert main(["expect", "--bundle", str(bundle), "--scores", str(scores), "--output", str(output)]) == 2
    assert sentence in capsys.readouterr().err
    assert not output.exists()


def test_a_card_has_one_table_for_each_kind_of_case(release: Path, tmp_path: Path) -> None:
    metadata = read_metadata(release / "release.safetensors")
    files = [
        read_score_file(release / "scores" / "test" / "scores.csv"),
        read_score_file(scores_of(release, tmp_path / "real", simulated_cases=False)),
    ]
    card = with_scores("# Model\n\nText.\n", files, metadata)
    assert card.startswith(f"# Model\n\nText.\n\n{TITLE}\n\n### On 1 simulated case (test)\n\n")
    assert card.count("### On 1 real patient (real)\n") == 1
    values = mean_by_subset(files[0].rows)["t1+flair"]
    line = f"| T1+FLAIR | 1 | {' | '.join(f'{100 * value:.2f}' for value in values.values())} |"
    assert card.count(line) == 2
    assert with_scores(card, files, metadata) == card  # tables are replaced, not repeated
    with pytest.raises(ValueError, match=re.escape("holds no scores of other 1.0.0")):
        with_scores("", files, replace(metadata, name="other"))


def test_a_card_shows_each_of_few_patients(release: Path) -> None:
    metadata = read_metadata(release / "release.safetensors")
    file = read_score_file(release / "scores" / "test" / "scores.csv")
    first = [row for row in file.rows if row.subset in ("t1", "t1+flair")]
    dice = {("a", "t1"): 0.5, ("a", "t1+flair"): 0.75, ("b", "t1"): 0.0}
    rows = [
        replace(row, case=case, dice=value) for (case, key), value in dice.items() for row in first if row.subset == key
    ]
    card = with_scores("", [replace(file, rows=tuple(rows), simulated=False)], metadata)
    assert card.split("**Each patient: Dice, percent (WT / TC / ET)**")[1].split("\n") == [
        "",
        "",
        "| Sequences | a | b |",
        "| --- | --- | --- |",
        "| T1 | 50 / 50 / 50 | 0 / 0 / 0 |",
        "| T1+FLAIR | 75 / 75 / 75 | - |",
        "| Mean | 62 / 62 / 62 | 0 / 0 / 0 |",
        "",
    ]
    assert "Each patient" not in with_scores("", [replace(file, rows=tuple(rows))], metadata)  # simulated


def test_the_tool_puts_the_tables_into_the_card_beside_the_model(release: Path, tmp_path: Path) -> None:
    bundle = shutil.copy(release / "release.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "model.md").write_text("# Model\n", encoding="utf-8")
    scores = release / "scores" / "test" / "scores.csv"
    tool = [sys.executable, str(ROOT / "Testing" / "tools" / "describe_model.py"), str(bundle)]
    command = [*tool, "--catalogue", str(tmp_path / "catalogue.json"), "--scores", str(scores)]
    subprocess.run(command, check=True)
    assert "### On 1 simulated case (test)\n" in (tmp_path / "model.md").read_text(encoding="utf-8")


def test_the_worst_results_are_drawn(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores, cases = release / "scores" / "test" / "scores.csv", release / "test"
    command = ["worst", "--bundle", str(release / "release.safetensors"), "--scores", str(scores)]
    assert main([*command, "--cases", str(cases), "--output", str(tmp_path / "worst")]) == 0
    rows = [row for row in read_scores(scores) if row.region != "ET-500"]
    lowest = min(mean_by_subset(rows).items(), key=lambda item: sum(item[1].values()))[0]
    assert [path.name for path in (tmp_path / "worst").iterdir()] == [f"ball0-{lowest}.png"]  # one case, drawn once
    assert main([*command, "--cases", str(tmp_path / "worst"), "--output", str(tmp_path / "no")]) == 2
    assert "Error: " in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
