"""Folders of finished runs with scores that a test chooses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from DMAFTraining.evaluation.scorebook import ScoreRow, write_scores
from DMAFTraining.evaluation.study import DATASETS

Change = Callable[[ScoreRow, str, str, int], ScoreRow]
"""The row to write instead of one with Dice 0.5 and distance 2 mm, for setting, method and seed."""


def write_plan(folder: Path, dataset: str, settings: Sequence[str], methods: Sequence[str]) -> None:
    """A plan in which titles are the names in capitals."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "title": "Tiny",
        "dataset": dataset,
        "settings": {name: {"title": name.upper()} for name in settings},
        "methods": {name: {"title": name.upper()} for name in methods},
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def write_run(
    folder: Path, setting: str, method: str, seed: int = 0, cases: int = 3, change: Change = lambda row, *_: row
) -> Path:
    """One run on every subset and region of the plan's data set; returns its folder."""
    data = DATASETS[yaml.safe_load((folder / "plan.yaml").read_text(encoding="utf-8"))["dataset"]]
    place = folder / setting / method / f"seed{seed}"
    place.mkdir(parents=True)
    plain = ScoreRow(
        method, "0" * 64, "", "", "", 0.5, 2.0, 2.0, 2.0, 1.0, 1.0, False, False, None, None, data.simulated
    )
    rows = [
        change(replace(plain, case=f"case{n}", subset="+".join(subset.names), region=region), setting, method, seed)
        for n in range(cases)
        for subset in data.modalities.subsets()
        for region in data.regions
    ]
    write_scores(place / "scores.csv", rows)
    return place


def write_log(run: Path, sequences: Sequence[str], regions: Sequence[str], gap: str = "") -> None:
    """A log of 20 steps and two validations, in which Dice of sequence n alone is 0.1 (n + 1), then twice that."""
    lines: list[dict[str, object]] = []
    for step in range(1, 21):
        curves = {gap: [0.1 * step + n for n in range(len(sequences))]} if gap else {}
        lines.append({"event": "train", "step": step, "curves": curves})
    for visit in (1, 2):
        subsets = {title: dict.fromkeys(regions, 0.1 * visit * (n + 1)) for n, title in enumerate(sequences)}
        lines.append({"event": "validation", "step": 10 * visit, "mean": {}, "subsets": subsets})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
