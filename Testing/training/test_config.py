"""Settings: shipped files are valid, the command line overrides them, mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from DMAFTraining.balancing import build_strategy
from DMAFTraining.balancing.base import Task
from DMAFTraining.balancing.dmaf import DMAFBalancing
from DMAFTraining.networks import build_network
from DMAFTraining.train import main, read_config
from tiny_cohort import tiny_arguments

CONFIGS = Path(__file__).parents[2] / "DMAFTraining" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_build_their_network_and_strategy(path: Path) -> None:
    config, _ = read_config([f"--config={path}", "data.root=somewhere", "epochs=7"])
    assert (config.epochs, config.data.root) == (7, Path("somewhere"))
    assert len(config.data.patch) == config.network.dims
    assert config.output.name == path.stem
    with torch.device("meta"):
        network = build_network(config.network)
        task = Task(config.network.classes, (1.0,) * config.network.modalities, config.epochs)
        strategy = build_strategy(config.strategy, task, network)
    assert len(network.encoders) == config.network.modalities
    assert strategy.settings is config.strategy
    # Transformers learn a position per token of the training patch; more would be weights that nothing uses.
    tokens = tuple(side // 16 for side in config.data.patch)
    assert getattr(config.network, "window", tokens) == tokens
    if config.data.setting == "idt":
        rates = "".join(f"{round(10 * rate)}" for rate in config.data.missing_rates)
        assert f"idt{rates}" in path.stem


@pytest.mark.parametrize("path", sorted((CONFIGS / "data").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_data_setting_can_stand_in_a_run(path: Path) -> None:
    config, _ = read_config(
        [f"--config={CONFIGS / 'brats2020_pdt_none.yaml'}", f"--data={path}", "data.root=somewhere"]
    )
    rates = "".join(f"{round(10 * rate)}" for rate in config.data.missing_rates)
    assert path.stem.endswith(f"idt{rates}" if rates else "pdt")


def test_nested_settings_of_a_method_are_options() -> None:
    wanted = ["strategy.monitoring.decay_mode=fixed", "strategy.scaling.gamma_target=lr", "strategy.distill=false"]
    config, _ = read_config(["data.root=r", "output=o", "strategy=DMAFBalancing", *wanted])
    assert isinstance(config.strategy, DMAFBalancing)
    assert config.strategy.monitoring.decay_mode == "fixed"
    assert (config.strategy.scaling.gamma_target, config.strategy.distill) == ("lr", False)


def test_defaults_are_the_published_ones() -> None:
    config, _ = read_config(["data.root=r", "output=o"])
    assert (config.epochs, config.batch, config.seed) == (300, 1, 1037)
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay) == (2e-4, 1e-4)
    assert config.optimizer.clip is None
    assert config.validation.patience is None
    assert config.average_decay == 0


def _exit_code(arguments: list[str]) -> object:
    try:
        return main(arguments)
    except SystemExit as stop:  # the parser's own way
        return stop.code


def test_wrong_settings_are_named(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = tiny_arguments(cohort, tmp_path / "run")
    for wrong, words in (
        ("batch=0", "start at 1"),
        ("average_decay=1", "average_decay should lie in [0, 1)"),
        ("data.missing_rates=[0.5,1,0.5,0.5]", "Missing rates should lie in [0, 1)"),
        ("data.missing_rates=[0.5,0.5]", "2 missing rates were given for 4 sequences"),
        ("device=abacus", "The device 'abacus' cannot be used"),
        ("data.background=shifted", "prepare another store"),
        (f"data.root={tmp_path / 'none'}", str(tmp_path / "none")),
    ):
        assert _exit_code([*arguments, wrong]) == 2
        assert words in capsys.readouterr().err


def test_another_run_may_not_use_the_folder(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tiny_arguments(cohort, tmp_path / "run", "epochs=1", "iterations=1")) == 0
    assert main(tiny_arguments(cohort, tmp_path / "run", "epochs=1", "iterations=1", "seed=3")) == 2
    assert "holds a run with other settings (seed)" in capsys.readouterr().err
