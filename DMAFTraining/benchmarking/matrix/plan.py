"""The plan of a grid of runs: a YAML file, read and checked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import yaml

from DMAFTraining.data.splits import SplitKind
from DMAFTraining.evaluation.empty_rule import RuleName
from DMAFTraining.evaluation.study import DATASETS

PLAN = "plan.yaml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][\w.]*=.*", re.DOTALL)


@dataclass(frozen=True)
class Variant:
    """A setting or a method: what tables call it, and what it changes in the base configuration."""

    title: str
    overrides: tuple[str, ...] = ()
    config: str | None = None


@dataclass(frozen=True)
class Cell:
    """One run of the grid."""

    setting: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.setting}/{self.method}/seed{self.seed}"


@dataclass(frozen=True)
class MatrixPlan:
    """A grid of runs.

    Attributes:
        title: of the whole.
        dataset: key of the tables' data sets.
        base: training configuration, relative to the plan.
        settings: what is trained on, such as missing rates.
        methods: networks and strategies; ``config`` is read after the base.
        seeds: of every setting and method that ``only`` does not restrict.
        cells: the runs, seed by seed, so that an unfinished grid has whole tables.
        cases: folder or manifest that every model is scored on.
        split: only its test part counts; ``none`` takes all cases.
        empty: rule for distances where truth or prediction is empty.
    """

    title: str
    dataset: str
    base: str
    settings: Mapping[str, Variant]
    methods: Mapping[str, Variant]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    cases: str
    split: SplitKind
    empty: RuleName

    def changes(self, newer: MatrixPlan) -> list[str]:
        """What ``newer`` changes or lacks, by key of the file; adding settings, methods and seeds is no change."""
        found = [
            field.name
            for field in fields(self)
            if field.name not in ("settings", "methods", "seeds", "cells")
            and getattr(self, field.name) != getattr(newer, field.name)
        ]
        for key in ("settings", "methods"):
            before, after = getattr(self, key), getattr(newer, key)
            found += [f"{key}.{name}" for name in before if after.get(name) != before[name]]
        lost = [cell for cell in self.cells if cell not in newer.cells]
        return found + [f"{cell} is left out" for cell in lost]


def read_plan(path: Path) -> MatrixPlan:
    """Read a plan.

    Raises:
        ValueError: unreadable, or a key is missing, unknown or of another kind.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"The plan {path} cannot be read ({error}); give the YAML file of a plan.") from error
    try:
        return _plan(document)
    except ValueError as error:
        raise ValueError(f"The plan {path} cannot be used: {error}") from error


def _plan(document: Any) -> MatrixPlan:
    keys = ("title", "dataset", "base", "settings", "methods", "seeds", "evaluation")
    top = _mapping(document, "the file", keys, ("only",))
    evaluation = _mapping(top["evaluation"], "evaluation", ("cases",), ("split", "empty"))
    _one_of(top["dataset"], "dataset", DATASETS)
    empty = evaluation.get("empty", "passion")
    _one_of(empty, "evaluation.empty", get_args(RuleName))
    split = evaluation.get("split", "none")
    _one_of(split, "evaluation.split", get_args(SplitKind))
    settings = {name: _variant(entry, f"settings.{name}") for name, entry in _named(top["settings"], "settings")}
    methods = {name: _variant(entry, f"methods.{name}", "config") for name, entry in _named(top["methods"], "methods")}
    seeds = _seeds(top["seeds"], "seeds")
    return MatrixPlan(
        title=_text(top["title"], "title"),
        dataset=top["dataset"],
        base=_text(top["base"], "base"),
        settings=settings,
        methods=methods,
        seeds=seeds,
        cells=_cells(settings, methods, seeds, top.get("only")),
        cases=_text(evaluation["cases"], "evaluation.cases"),
        split=split,
        empty=empty,
    )


def _cells(
    settings: Mapping[str, Variant], methods: Mapping[str, Variant], seeds: tuple[int, ...], only: Any
) -> tuple[Cell, ...]:
    """The whole grid, or what an entry of ``only`` asks for; a key that an entry leaves out restricts nothing."""
    if only is None:
        only = [{}]
    if not isinstance(only, list) or not only:
        raise ValueError("only should be a list of entries with setting, method, seeds.")
    wanted: set[Cell] = set()
    for number, entry in enumerate(only):
        where = f"only[{number}]"
        part = _mapping(entry, where, (), ("setting", "method", "seeds"))
        chosen_settings = _choice(part.get("setting"), f"{where}.setting", settings)
        chosen_methods = _choice(part.get("method"), f"{where}.method", methods)
        chosen_seeds = _seeds(part["seeds"], f"{where}.seeds") if "seeds" in part else seeds
        wanted |= {Cell(*choice) for choice in itertools.product(chosen_settings, chosen_methods, chosen_seeds)}
    every = sorted({cell.seed for cell in wanted}, key=lambda seed: (seed not in seeds, seed))
    ordered = (Cell(setting, method, seed) for seed, setting, method in itertools.product(every, settings, methods))
    return tuple(cell for cell in ordered if cell in wanted)


def _choice(given: Any, where: str, known: Mapping[str, Variant]) -> list[str]:
    if given is None:
        return list(known)
    names = given if isinstance(given, list) else [given]
    for name in names:
        _one_of(name, where, known)
    return names


def _named(section: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(section, dict) or not section:
        raise ValueError(f"{where} should be a mapping of names to entries.")
    for name in section:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{where} has the name {name!r}; it becomes a folder: use letters, digits, '_', '-', '.'.")
    return list(section.items())


def _variant(entry: Any, where: str, *more: str) -> Variant:
    part = _mapping(entry, where, ("title",), ("overrides", *more))
    overrides = part.get("overrides") or []
    if not isinstance(overrides, list) or not all(isinstance(x, str) and _ASSIGNMENT.fullmatch(x) for x in overrides):
        raise ValueError(f"{where}.overrides should be a list of texts like network.width=4 (put lists in quotes).")
    config = _text(part["config"], f"{where}.config") if part.get("config") else None
    return Variant(_text(part["title"], f"{where}.title"), tuple(overrides), config)


def _mapping(value: Any, where: str, needed: tuple[str, ...], allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} should be a mapping.")
    if missing := [key for key in needed if key not in value]:
        raise ValueError(f"{where} lacks {', '.join(missing)}.")
    if odd := [str(key) for key in value if key not in (*needed, *allowed)]:
        raise ValueError(f"{where} has the unknown key {', '.join(odd)}; known are {', '.join((*needed, *allowed))}.")
    return value


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(type(seed) is int and seed >= 0 for seed in value):
        raise ValueError(f"{where} should be a list of whole numbers from 0.")
    return tuple(dict.fromkeys(value))


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} should be a text.")
    return value


def _one_of(value: Any, where: str, known: Mapping[str, Any] | tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{where} is {value!r}; known are {', '.join(known)}.")
