"""The shifted appearance: outside of what training draws, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from DMAFTraining.data.simulation import writing
from DMAFTraining.data.simulation.artifacts import degrade
from DMAFTraining.data.simulation.case import simulate_case
from DMAFTraining.data.simulation.contrast import SEQUENCES, draw_tissue
from DMAFTraining.data.simulation.look import LOOKS, SHIFTED, TRAINING
from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.tumor_plan import draw_plan
from DMAFTraining.prepare import main
from round_head import ball_anatomy


def _apart(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[1] < second[0] or second[1] < first[0]


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("part", [0, 1], ids=["gray", "fluid"])
def test_no_shifted_contrast_can_occur_in_training(sequence: str, part: int) -> None:
    for shifted in SHIFTED.protocols[sequence]:
        assert all(_apart(shifted[part], known[part]) for known in TRAINING.protocols[sequence])


def test_neither_can_resolutions_and_shapes() -> None:
    assert _apart(SHIFTED.thick, TRAINING.thick)
    assert _apart(SHIFTED.blur, TRAINING.blur)
    assert _apart(SHIFTED.rough, TRAINING.rough)
    assert _apart(SHIFTED.lobes, TRAINING.lobes)


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_drawn_lies_in_the_ranges(name: str) -> None:
    look, rng = LOOKS[name], np.random.default_rng(0)
    for _ in range(200):
        plan = draw_plan(rng, look)
        assert look.lobes[0] <= plan.lobes <= look.lobes[1]
        assert look.rough[0] <= plan.rough <= look.rough[1]
        values = draw_tissue("flair", rng, look)
        gray, fluid = values[Tissue.GRAY], values[Tissue.CSF]
        assert any(g[0] <= gray <= g[1] and f[0] <= fluid <= f[1] for g, f in look.protocols["flair"])


def test_shifted_scans_are_coarser() -> None:
    """Of white noise less is left the coarser a scan is."""
    grid = Grid((24, 24, 24), 2.0)
    image = 1 + 0.5 * np.random.default_rng(0).standard_normal(grid.shape).astype(np.float32).clip(-1.9, 1.9)
    left = {
        name: np.median([degrade(image, grid, np.random.default_rng(seed), look=look).std() for seed in range(12)])
        for name, look in LOOKS.items()
    }
    assert left["shifted"] < 0.8 * left["training"]


def test_the_same_patient_differs_in_appearance_only() -> None:
    plain, shifted = (
        simulate_case(ball_anatomy(), np.random.default_rng(3), 4.0, look) for look in (TRAINING, SHIFTED)
    )
    assert plain.info["kind"] == shifted.info["kind"]
    assert plain.info["whole_ml"] == shifted.info["whole_ml"]
    assert plain.info["rough"] < shifted.info["rough"]
    assert np.allclose(np.diag(plain.affine), np.diag(shifted.affine))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is quick to simulate."""
    monkeypatch.setattr(writing, "load_icbm152", ball_anatomy)
    monkeypatch.setattr(writing.BrainRecipe, "summarize", lambda *_: "")


def _settings(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "cohort.json").read_text(encoding="utf-8"))["settings"])


@pytest.mark.usefixtures("few")
def test_the_command_draws_it_and_keeps_cohorts_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["simulate", "--count", "1", "--spacing", "5", "--processes", "1", "--split", "test"]
    assert main([*common, "--appearance", "shifted", "--output", str(tmp_path / "shifted")]) == 0
    (case,) = json.loads((tmp_path / "shifted" / "cohort.json").read_text(encoding="utf-8"))["cases"]
    assert SHIFTED.lobes[0] <= case["lobes"] <= SHIFTED.lobes[1]
    assert _settings(tmp_path / "shifted")["appearance"] == "shifted"
    assert main([*common, "--output", str(tmp_path / "plain")]) == 0
    assert "appearance" not in _settings(tmp_path / "plain")  # as cohorts always said
    assert main([*common, "--appearance", "training", "--output", str(tmp_path / "plain")]) == 0
    assert main([*common, "--output", str(tmp_path / "shifted")]) == 2
    assert "appearance shifted instead of None" in capsys.readouterr().err


def test_training_cases_are_never_shifted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "--count", "1", "--output", str(tmp_path / "c")]
    assert main([*command, "--appearance", "shifted"]) == 2
    assert "is for judging; give --split validation or --split test" in capsys.readouterr().err
    assert main([*command, "--anatomy", "heart", "--appearance", "shifted"]) == 2
    assert "--appearance is for brains only" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
