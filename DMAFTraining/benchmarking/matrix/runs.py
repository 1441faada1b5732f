"""The runs of a plan as training configurations, and what is left to do for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from DMAFTraining.benchmarking.matrix.plan import Cell, MatrixPlan
from DMAFTraining.data.index import INDEX_FILE, Preparation
from DMAFTraining.data.opening import open_or_prepare
from DMAFTraining.data.progress import track
from DMAFTraining.train import read_config
from DMAFTraining.training.config import TrainingConfig
from DMAFTraining.training.run_folder import CONFIG

_STORES = "stores"
_HOW_NOT_WHAT = ("output", "device", "log_every", "checkpoint_every", "data.store", "data.validation_store")


@dataclass(frozen=True)
class PlannedRun:
    """One cell of the grid.

    Attributes:
        number: its place in the plan, from 1.
        cell: setting, method, seed.
        folder: run folder.
        arguments: command line of the training.
        config: what they say.
        resolved: the same as YAML text.
    """

    number: int
    cell: Cell
    folder: Path
    arguments: tuple[str, ...]
    config: TrainingConfig
    resolved: str


def planned_runs(plan: MatrixPlan, place: Path, output: Path, overrides: Sequence[str] = ()) -> list[PlannedRun]:
    """The runs of a plan in its order; reads and checks every configuration.

    Args:
        plan: the grid.
        place: folder of the plan, which its paths are relative to.
        output: folder of the runs.
        overrides: ``key=value`` for all runs, the last word.

    Raises:
        ValueError: the settings of a run are refused.
    """
    cells = track(plan.cells, "Reading settings")
    return [_planned_run(plan, place, output.resolve(), overrides, n, cell) for n, cell in enumerate(cells, 1)]


def check_unchanged(runs: Iterable[PlannedRun]) -> None:
    """Compare runs that have begun with the plan.

    Raises:
        ValueError: one was begun with other settings.
    """
    for run in runs:
        path = run.folder / CONFIG
        if not path.exists():
            continue
        before, now = (_leaves(yaml.safe_load(text)) for text in (path.read_text(encoding="utf-8"), run.resolved))
        changed = sorted(k for k in before | now if before.get(k) != now.get(k) and k not in _HOW_NOT_WHAT)
        if changed:
            raise ValueError(
                f"{run.cell} was begun with other settings ({', '.join(changed)}); "
                "give another --output, or the settings it was begun with."
            )


def prepare_stores(runs: Iterable[PlannedRun]) -> None:
    """Prepare the cases of all runs once, where they are not prepared yet.

    Raises:
        ValueError: cases that cannot be used, or two folders of cases with one name.
    """
    prepared: dict[Path, Path] = {}
    for run in runs:
        data = run.config.data
        for root, store in ((data.root, data.store), (data.validation, data.validation_store)):
            if root is None or store is None or prepared.get(store) == root:
                continue
            if store in prepared:
                raise ValueError(f"{root} and {prepared[store]} would share the store {store}; set data.store.")
            how = Preparation(data.normalization, data.background)
            open_or_prepare(root, store, how, data.prepare_processes or None)
            prepared[store] = root


def _planned_run(
    plan: MatrixPlan, place: Path, output: Path, overrides: Sequence[str], number: int, cell: Cell
) -> PlannedRun:
    setting, method = plan.settings[cell.setting], plan.methods[cell.method]
    folder = output / cell.setting / cell.method / f"seed{cell.seed}"
    arguments = (
        *(f"--config={place / path}" for path in (plan.base, method.config) if path),
        f"export.name={cell.setting}-{cell.method}-seed{cell.seed}",
        f"export.title={method.title} ({setting.title}, seed {cell.seed})",
        *setting.overrides,
        *method.overrides,
        *overrides,
        f"seed={cell.seed}",
        f"output={folder}",
    )
    try:
        config, resolved = read_config(list(arguments))
        if stores := _stores(config, output / _STORES):
            arguments = (*arguments, *stores)
            config, resolved = read_config(list(arguments))
    except SystemExit as error:  # the parser has said why
        raise ValueError(f"The settings of {cell} are refused, see above; correct the plan.") from error
    except ValueError as error:
        raise ValueError(f"The settings of {cell} are refused: {error}") from error
    return PlannedRun(number, cell, folder, arguments, config, resolved)


def _stores(config: TrainingConfig, place: Path) -> list[str]:
    """Where raw cases are kept once they are prepared: one place for all runs."""
    data = config.data
    parts = (("store", data.root, data.store), ("validation_store", data.validation, data.validation_store))
    return [
        f"data.{name}={place / root.stem}"
        for name, root, store in parts
        if root is not None and store is None and not (root / INDEX_FILE).is_file()
    ]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings by dotted name."""
    found: dict[str, Any] = {}
    for name, part in tree.items():
        if isinstance(part, dict):
            found |= _leaves(part, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = part
    return found
