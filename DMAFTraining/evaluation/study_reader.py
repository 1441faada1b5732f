"""Reading a folder of finished runs.

Layout: ``plan.yaml`` and ``<setting>/<method>/seed<seed>/scores.csv``. A run that is planned and not there
is a gap in the tables; a run whose cases, subsets or regions differ from the others' is an error, since
means over different things must not stand in one column.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import yaml
from numpy.typing import NDArray

from DMAFTraining.data.progress import track
from DMAFTraining.evaluation.empty_rule import EMPTY_RULES, Distance, RuleName
from DMAFTraining.evaluation.scorebook import ScoreRow, read_scores
from DMAFTraining.evaluation.study import DATASETS, Dataset, Metric, Plan, Run, Scores, Study
from DMAFTraining.modalities import ModalitySet, Subset

DISTANCES: tuple[Distance, ...] = get_args(Distance)
_PLAN = "plan.yaml"
_SEED = "seed"


def read_study(folder: Path, empty: RuleName | None = None) -> Study:
    """Read the plan and every run that has scores; ``empty`` is used instead of the plan's rule for empty masks.

    Raises:
        ValueError: the plan or a ``scores.csv`` is missing or odd, no run has scores yet, or runs differ
            in cases, subsets or regions.
    """
    plan = read_plan(folder / _PLAN)
    found = _find(folder, plan)
    if not found:
        raise ValueError(f"No run in {folder} has a scores.csv yet; run and score the plan first.")
    scores = {place: read_scores(path / "scores.csv") for place, path in track(found.items(), "reading scores")}
    first = next(iter(scores.values()))
    if not first:
        raise ValueError(f"{next(iter(found.values()))} has an empty scores.csv; score that run again.")
    axes = _Axes.of(first, DATASETS[plan.dataset])
    rule = empty or plan.empty_rule
    runs = tuple(_run(place, found[place], rows, axes, rule) for place, rows in scores.items())
    return Study(plan, axes.cases, axes.subsets, axes.regions, runs, rule)


def read_plan(path: Path) -> Plan:
    """Read what the tables need of a plan.

    Raises:
        ValueError: unreadable, a key is missing, or the data set or rule is unknown.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        settings, methods = (_titles(document[key]) for key in ("settings", "methods"))
        rule = (document.get("evaluation") or {}).get("empty", "passion")
        planned = _planned(document.get("only"), settings, methods)
        plan = Plan(str(document["title"]), str(document["dataset"]), settings, methods, rule, planned)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"The plan {path} cannot be read ({error}); give a folder of runs.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The plan {path} lacks title, dataset, settings or methods ({error}).") from error
    if plan.empty_rule not in EMPTY_RULES:
        raise ValueError(f"{path} names the rule {plan.empty_rule!r}; known are {', '.join(EMPTY_RULES)}.")
    if plan.dataset not in DATASETS:
        raise ValueError(f"{path} names the data set {plan.dataset!r}; known are {', '.join(DATASETS)}.")
    return plan


def _titles(section: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str((entry or {}).get("title", name)) for name, entry in section.items()}


def _planned(only: Any, settings: Mapping[str, str], methods: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Settings and methods that an entry of ``only`` asks for; a key that an entry leaves out restricts nothing."""
    asked = [(entry.get("setting", list(settings)), entry.get("method", list(methods))) for entry in only or [{}]]
    lists = [[[names] if isinstance(names, str) else names for names in pair] for pair in asked]
    return frozenset(pair for chosen in lists for pair in itertools.product(*chosen))


def _find(folder: Path, plan: Plan) -> dict[tuple[str, str, int], Path]:
    """Setting, method and seed of every run with scores, and where it lies."""
    found: dict[tuple[str, str, int], Path] = {}
    for setting in plan.settings:
        for method in plan.methods:
            paths = {
                int(path.name.removeprefix(_SEED)): path
                for path in (folder / setting / method).glob(f"{_SEED}*")
                if path.name.removeprefix(_SEED).isdecimal() and (path / "scores.csv").is_file()
            }
            found |= {(setting, method, seed): paths[seed] for seed in sorted(paths)}
    return found


@dataclass(frozen=True)
class _Axes:
    """What every run has to be scored on."""

    cases: tuple[str, ...]
    subsets: tuple[Subset, ...]
    regions: tuple[str, ...]
    modalities: ModalitySet

    @classmethod
    def of(cls, rows: Sequence[ScoreRow], dataset: Dataset) -> _Axes:
        scored = {dataset.modalities.parse(row.subset) for row in rows}
        subsets = tuple(subset for subset in dataset.modalities.subsets() if subset in scored)
        named = list(dict.fromkeys(row.region for row in rows))
        regions = [name for name in dataset.regions if name in named]
        if not regions:
            raise ValueError(f"The scores are on {', '.join(named)}, not on a region of {dataset.title}.")
        regions += [name for name in named if name not in regions]
        return cls(tuple(sorted({row.case for row in rows})), subsets, tuple(regions), dataset.modalities)

    def places(self, rows: Sequence[ScoreRow], path: Path) -> NDArray[np.intp]:
        """Index of case, subset and region of each row ``(3, rows)``; checks that each comes exactly once."""
        try:
            listed = [
                (
                    self.cases.index(row.case),
                    self.subsets.index(self.modalities.parse(row.subset)),
                    self.regions.index(row.region),
                )
                for row in rows
            ]
        except ValueError as error:
            raise ValueError(f"{path} is scored on other cases, subsets or regions than the first run.") from error
        if len(set(listed)) != len(listed) or len(listed) != np.prod(self.shape):
            raise ValueError(
                f"{path} has {len(set(listed))} different rows of {len(listed)}; the first run has "
                f"{np.prod(self.shape)}. Score all runs on the same cases, subsets and regions."
            )
        return np.array(listed).T

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.cases), len(self.subsets), len(self.regions)


def _run(place: tuple[str, str, int], folder: Path, rows: Sequence[ScoreRow], axes: _Axes, empty: RuleName) -> Run:
    where = tuple(axes.places(rows, folder / "scores.csv"))
    scores: dict[Metric, Scores] = {}
    columns: dict[Metric, list[float]] = {"dice": [row.dice for row in rows]}
    columns |= {distance: [EMPTY_RULES[empty].apply(row, distance) for row in rows] for distance in DISTANCES}
    for metric, values in columns.items():
        scores[metric] = np.full(axes.shape, np.nan)
        scores[metric][where] = values
    truth, predicted = np.zeros(axes.shape, bool), np.zeros(axes.shape, bool)
    truth[where] = [row.truth_empty for row in rows]
    predicted[where] = [row.predicted_empty for row in rows]
    head = rows[0]
    simulated = any(row.simulated_training for row in rows)
    return Run(*place, folder, head.model, head.model_sha256, simulated, scores, truth, predicted)
