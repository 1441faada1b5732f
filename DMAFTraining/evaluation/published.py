"""Numbers printed in papers, to stand beside ours where both are on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from DMAFTraining.evaluation.study import Quantity, Study

_FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Published:
    """One row of a paper's table; Dice in percent, means over all subsets where not said otherwise.

    Attributes:
        source: the paper, in words.
        table: number of its table.
        dataset: as in a plan.
        setting: likewise.
        method: title in the paper; empty in an ablation.
        parts: of the method, in an ablation; else None.
        dice: by region.
        average: mean over regions; None where the paper's numbers do not give it.
        subsets: Dice by subset and region, where known.
        note: what is odd about the row; empty if nothing.
    """

    source: str
    table: int
    dataset: str
    setting: str
    method: str
    parts: frozenset[str] | None
    dice: Mapping[str, float]
    average: float | None
    subsets: Mapping[str, Mapping[str, float]]
    note: str

    def value(self, quantity: Quantity) -> float | None:
        """The printed number, or None if it is not known."""
        if quantity.metric != "dice":
            return None
        if quantity.subset is not None:
            return self.subsets.get("+".join(quantity.subset.names), {}).get(quantity.region or "")
        if quantity.region is not None:
            return self.dice.get(quantity.region)
        return self.average


def read_published(path: Path = _FILE) -> tuple[Published, ...]:
    """All published rows, in the order of the file."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(_entry(entry, document["sources"]) for entry in document["entries"])


def _entry(entry: Mapping[str, Any], sources: Mapping[str, str]) -> Published:
    return Published(
        source=sources[entry["source"]],
        table=entry["table"],
        dataset=entry["dataset"],
        setting=entry["setting"],
        method=entry["method"],
        parts=frozenset(entry["parts"]) if "parts" in entry else None,
        dice=entry.get("dice", {}),
        average=entry.get("average"),
        subsets=entry.get("subsets", {}),
        note=entry.get("note", ""),
    )


def comparable(study: Study) -> tuple[Published, ...]:
    """The published rows on the data set of the plan; none if anything in it is simulated."""
    if study.dataset.simulated or study.simulated_training:
        return ()
    return tuple(entry for entry in read_published() if entry.dataset == study.plan.dataset)
