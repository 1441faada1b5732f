"""A grid of runs: it completes, survives kill -9, is shared by workers, and names what fails."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open

from DMAFTraining.benchmark import main
from DMAFTraining.benchmarking.matrix.claims import Claim, holder
from DMAFTraining.benchmarking.matrix.command import place_among_workers
from DMAFTraining.benchmarking.matrix.plan import Cell, read_plan
from DMAFTraining.benchmarking.matrix.runs import planned_runs
from DMAFTraining.benchmarking.matrix.state import last_train_row
from DMAFTraining.evaluation.scorebook import read_scores
from DMAFTraining.modalities import BRATS
from DMAFTraining.train import read_config
from DMAFTraining.training.checkpoint import load_checkpoint
from tiny_cohort import tiny_arguments, write_tiny_cohort

_CONFIGS = Path(__file__).parents[2] / "DMAFTraining" / "configs" / "matrix"
PLANS = sorted(path for path in _CONFIGS.glob("*.yaml") if not path.stem.endswith("_base"))
GRID = [(setting, method) for setting in ("even", "full") for method in ("none", "moddrop")]
STEPS = 12


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases to train and to score on, and the base configuration."""
    folder = tmp_path_factory.mktemp("matrix")
    write_tiny_cohort(folder / "cases", 2)
    write_tiny_cohort(folder / "test", 1)
    network = ("network=UNetConfig", "network.width=2", "network.levels=3", "strategy=NoBalancing")
    short = (*network, "epochs=1", f"iterations={STEPS}", "checkpoint_every=2", "batch=1", "export.window=[48,48,48]")
    words = tiny_arguments(folder / "cases", folder / "unused")
    plain = [word for word in words if not word.startswith("network")]  # DMAF-Net's, there
    _, text = read_config([*plain, *short])
    (folder / "base.yaml").write_text(text, encoding="utf-8")
    return folder


def _plan(home: Path, name: str = "plan.yaml", **changes: Any) -> Path:
    document = {
        "title": "Tiny",
        "dataset": "simulated-brain",
        "base": "base.yaml",
        "settings": {
            "even": {"title": "Even: 0.3", "overrides": ["data.setting=rates", "data.missing_rates=[0.3,0.3,0.3,0.3]"]},
            "full": {"title": "Nothing missing", "overrides": ["data.missing_rates=[]"]},
        },
        "methods": {
            "broken": {"title": "Broken", "overrides": ["network.classes=7"]},
            "none": {"title": "None"},
            "moddrop": {"title": "ModDrop", "overrides": ["strategy=ModDrop"]},
        },
        "seeds": [5],
        "only": [{"method": ["none", "moddrop"]}, {"setting": "even", "method": "broken"}],
        "evaluation": {"cases": str(home / "test"), "empty": "nan"},
    }
    path = home / name
    path.write_text(yaml.safe_dump(document | changes, sort_keys=False), encoding="utf-8")
    return path


def _start(plan: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "DMAFTraining.benchmark", "matrix", str(plan), "--output", str(output), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def _run(plan: Path, output: Path, *more: str) -> tuple[int, str, str]:
    process = _start(plan, output, *more)
    out, errors = process.communicate(timeout=300)
    return process.returncode, out, errors


def _wait(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def _inside(plan: Path, output: Path, *more: str) -> tuple[object, str]:
    """The command in this process; its exit code and all that it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main(["matrix", str(plan), "--output", str(output), *more])
    return code, printed.getvalue()


def _step(folder: Path) -> int:
    row = last_train_row(folder)
    return row["step"] if row else 0


def _times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def _model(folder: Path) -> dict[str, str]:
    """Description and digest of the weights; the order of a file's header is not fixed."""
    with safe_open(folder / "model.safetensors", "np") as bundle:
        return dict(bundle.metadata())


def _metrics(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in row.items() if k not in ("patches_per_second", "memory_mb")} for row in rows]


@pytest.fixture(scope="module")
def whole(home: Path) -> tuple[Path, list[tuple[str, str]]]:
    """A 2 x 2 grid and a cell that fails, shared by two workers that start together; what each of them printed."""
    plan, output = _plan(home), home / "whole"
    workers = [_start(plan, output, "--worker", str(number), "--workers", "2") for number in range(2)]
    printed = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [1, 1], printed
    return output, printed


def test_a_grid_completes(home: Path, whole: tuple[Path, list[tuple[str, str]]]) -> None:
    output, _ = whole
    assert (output / "plan.yaml").read_bytes() == (home / "plan.yaml").read_bytes()
    for setting, method in GRID:
        folder = output / setting / method / "seed5"
        rows = read_scores(folder / "scores.csv")
        assert {row.subset for row in rows} == {"+".join(subset) for subset in BRATS.order}
        assert {row.region for row in rows} >= {"WT", "TC", "ET"}
        assert not (folder / "checkpoint.pt").exists()  # the optimizer's state is of no more use
        assert not list(folder.glob("*claim*"))
        resolved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        assert resolved["data"]["missing_rates"] == ([0.3] * 4 if setting == "even" else [])
        assert resolved["strategy"]["class_path"].endswith("ModDrop" if method == "moddrop" else "NoBalancing")
        assert (resolved["seed"], resolved["output"]) == (5, str(folder))
        assert json.loads((folder / "times.json").read_text(encoding="utf-8"))["steps"] == STEPS
    assert [path.name for path in (output / "stores").iterdir()] == ["cases"]  # prepared once, for all


def test_two_workers_never_do_the_same(whole: tuple[Path, list[tuple[str, str]]]) -> None:
    begun = [set(re.findall(r"(\S+): training", errors)) for _, errors in whole[1]]
    assert begun[0] | begun[1] >= {f"{setting}/{method}/seed5" for setting, method in GRID}
    assert begun[0] & begun[1] <= {"even/broken/seed5"}  # another worker may try a failed run again
    assert all(begun)
    for setting, method in GRID:
        log = (whole[0] / setting / method / "seed5" / "run.log").read_text(encoding="utf-8")
        assert log.count("Model written") == 1


def test_a_failure_is_named_and_does_not_stop_the_others(whole: tuple[Path, list[tuple[str, str]]]) -> None:
    last = max((out for out, _ in whole[1]), key=lambda out: int(re.findall(r"(\d) of 5 runs", out)[0]))
    assert "FAILED even/broken/seed5: exit code 2" in last
    assert "network.classes is 7, but the data has 4" in last
    assert "4 of 5 runs are done, 1 failed." in last


def test_after_kill_9_the_same_command_goes_on(home: Path, whole: tuple[Path, list[tuple[str, str]]]) -> None:
    plan, output = _plan(home, "part.yaml", only=[{"setting": "even", "method": ["none", "moddrop"]}]), home / "killed"
    done, killed = (output / "even" / method / "seed5" for method in ("none", "moddrop"))
    shutil.copytree(whole[0] / "even" / "none", done.parent)
    before = _times(done)
    process = _start(plan, output)
    _wait(lambda: _step(killed) >= 5, process)
    process.kill()
    process.communicate()
    code, out, errors = _run(plan, output, "--keep-checkpoints")
    assert code == 0, errors
    assert "2 of 2 runs are done, 0 failed." in out
    assert _times(done) == before
    assert load_checkpoint(killed / "checkpoint.pt")["step"] == STEPS
    twin = whole[0] / "even" / "moddrop" / "seed5"
    assert _model(killed) == _model(twin)
    assert _metrics(killed) == _metrics(twin)
    scores = [[replace(row, model_sha256="") for row in read_scores(place / "scores.csv")] for place in (killed, twin)]
    assert scores[0] == scores[1]


def test_sigterm_saves_what_is_running(home: Path) -> None:
    plan, output = _plan(home, "long.yaml", only=[{"setting": "full", "method": "none"}]), home / "long"
    process = _start(plan, output, "--set", "iterations=100000")
    folder = output / "full" / "none" / "seed5"
    _wait(lambda: _step(folder) >= 1, process)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM
    saved = load_checkpoint(folder / "checkpoint.pt")["step"]
    assert f"full/none/seed5: stopped at step {saved}, saved" in errors
    assert _step(folder) == saved
    assert "0 of 1 runs are done, 0 failed." in out
    code, listing = _inside(plan, output, "--dry-run", "--set", "iterations=100000")
    assert code == 0
    assert f"part, at step {saved} of 100000" in listing
    code, refused = _inside(plan, output, "--dry-run")
    assert code == 2
    assert "full/none/seed5 was begun with other settings (iterations)" in refused


def test_a_dry_run_writes_nothing(home: Path, whole: tuple[Path, list[tuple[str, str]]]) -> None:
    plan = _plan(home)
    code, listing = _inside(plan, home / "new", "--dry-run")
    assert code == 0
    assert listing.count(f"waiting ({STEPS} steps)") == 5
    assert "0 of 5 runs are done. How long they take is told once one has begun" in listing
    assert not (home / "new").exists()


def test_a_changed_plan_is_refused(home: Path, whole: tuple[Path, list[tuple[str, str]]]) -> None:
    document = yaml.safe_load(_plan(home).read_text(encoding="utf-8"))
    methods = document["methods"]
    before = _times(whole[0])
    for changes, words in (
        ({"title": "Other"}, "changed: title"),
        ({"seeds": [7]}, "even/none/seed5 is left out"),
        ({"methods": methods | {"none": {"title": "Nothing"}}}, "changed: methods.none"),
        ({"evaluation": {"cases": str(home / "test"), "empty": "brats"}}, "changed: empty"),
    ):
        code, printed = _inside(_plan(home, "changed.yaml", **changes), whole[0])
        assert code == 2
        assert words in printed
        assert "give another --output" in printed
    code, printed = _inside(_plan(home), whole[0], "--set", "optimizer.learning_rate=0.5")
    assert code == 2
    assert "even/none/seed5 was begun with other settings (optimizer.learning_rate)" in printed
    assert _times(whole[0]) == before
    code, printed = _inside(_plan(home, "grown.yaml", seeds=[5, 6]), whole[0], "--dry-run")
    assert code == 0
    assert re.findall(r"  (\S+) +(done|waiting.*)", printed)[:6] == [
        ("even/broken/seed5", f"waiting ({STEPS} steps); failed"),
        *((f"{setting}/{method}/seed5", "done") for setting, method in GRID),
        ("even/broken/seed6", f"waiting ({STEPS} steps)"),
    ]
    assert "4 of 10 runs are done. Left, with 1 at a time" in printed
    assert "unknown" not in printed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": "brain"}, "dataset is 'brain'; known are brats2020"),
        ({"settings": {"a/b": {"title": "A"}}}, "settings has the name 'a/b'"),
        ({"methods": {"a": {"title": "A", "override": []}}}, "methods.a has the unknown key override"),
        ({"methods": {"a": {"title": "A", "overrides": ["no assignment"]}}}, "methods.a.overrides should be a list"),
        ({"seeds": [True]}, "seeds should be a list of whole numbers"),
        ({"only": [{"setting": "odd"}]}, "only[0].setting is 'odd'; known are even, full"),
        ({"evaluation": {"cases": "x", "empty": "zero"}}, "evaluation.empty is 'zero'"),
        (
            {"methods": {"a": {"title": "A", "overrides": ["batch=0"]}}, "only": None},
            "The settings of even/a/seed5 are refused: epochs, iterations, batch",
        ),
    ],
)
def test_mistakes_in_a_plan_are_named(home: Path, changes: dict[str, Any], words: str) -> None:
    code, printed = _inside(_plan(home, "wrong.yaml", **changes), home / "new")
    assert code == 2
    assert words in printed
    assert not (home / "new").exists()


def test_only_restricts_the_grid_and_seeds_come_first(home: Path) -> None:
    only = [{"setting": "full", "method": ["none", "moddrop"], "seeds": [2, 1]}, {"method": "none"}]
    plan = read_plan(_plan(home, "only.yaml", seeds=[2, 1], only=only))
    assert plan.cells == (
        Cell("even", "none", 1),
        Cell("full", "none", 1),
        Cell("full", "moddrop", 1),
        Cell("even", "none", 2),
        Cell("full", "none", 2),
        Cell("full", "moddrop", 2),
    )


def test_a_claim_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    first = Claim.take(tmp_path)
    assert first
    assert Claim.take(tmp_path) is None
    assert str(os.getpid()) in (holder(tmp_path) or "")
    first.release()
    program = "import sys, time; from pathlib import Path; from DMAFTraining.benchmarking.matrix.claims import Claim; "
    program += "print(Claim.take(Path(sys.argv[1])).path.name, flush=True); time.sleep(100)"
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout
    assert other.stdout.readline() == "claim-0002\n"
    assert Claim.take(tmp_path) is None
    other.kill()  # and not waited for: a process that is not collected yet holds nothing either
    deadline = time.monotonic() + 60
    while not (second := Claim.take(tmp_path)):
        assert time.monotonic() < deadline
    assert second.path.name == "claim-0003"
    second.release(finished=True)
    assert not list(tmp_path.iterdir())
    other.communicate()


def test_a_claim_on_another_machine_dies_of_silence(tmp_path: Path) -> None:
    claim = tmp_path / "claim-0007"
    claim.write_text("elsewhere\n1\n", encoding="utf-8")
    assert Claim.take(tmp_path) is None
    assert holder(tmp_path) == "process 1 on elsewhere"
    os.utime(claim, (0, time.time() - 1000))
    taken = Claim.take(tmp_path)
    assert taken
    assert taken.path.name == "claim-0008"
    taken.release(finished=True)


def test_workers_find_their_place() -> None:
    assert place_among_workers({}) == (0, 1)
    assert place_among_workers({"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "RANK": "1", "WORLD_SIZE": "2"}) == (3, 8)
    assert place_among_workers({"RANK": "1", "WORLD_SIZE": "2"}) == (1, 2)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_shipped_plans_describe_runs(path: Path, tmp_path: Path) -> None:
    plan = read_plan(path)
    once = {cell.setting: cell for cell in plan.cells} | {cell.method: cell for cell in plan.cells}
    runs = planned_runs(replace(plan, cells=tuple(once.values())), path.parent, tmp_path, ["data.root=somewhere"])
    assert {run.cell.setting for run in runs} == set(plan.settings)
    assert {run.cell.method for run in runs} == set(plan.methods)
    for run in runs:
        data = run.config.data
        rates = "".join(f"{round(10 * rate)}" for rate in data.missing_rates)
        assert run.cell.setting == f"{data.setting}{rates}"
        assert len(data.patch) == run.config.network.dims
        assert data.store == tmp_path / "stores" / "somewhere"
        assert run.config.export.title.startswith(plan.methods[run.cell.method].title)
