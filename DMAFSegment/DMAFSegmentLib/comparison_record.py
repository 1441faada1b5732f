"""The numbers that compare the results of a run, read from their JSON without trusting it.

``DMAFTraining.inference.comparison_document`` writes it, in the worker and here; docs/comparison.md says what each
number means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from DMAFSegmentLib import tr as _

DICE, VOLUME = "dice", "volume_ml"
"""What the share of a sequence is measured in."""
_SCHEMA = 1


@dataclass(frozen=True)
class Numbers:
    """One region in the result of one subset.

    ``volume_ml`` and ``change_ml`` in mL, ``hd95_mm`` in mm; the change and Dice are to the base, ``truth_*`` to the
    reference segmentation. None where there is no such number, for example as a region is empty.
    """

    volume_ml: float
    change_ml: float
    change_percent: float | None
    dice: float
    hd95_mm: float | None
    truth_dice: float | None = None
    truth_hd95_mm: float | None = None


@dataclass(frozen=True)
class Share:
    """What each sequence (by name) adds to one measure of one region, and why something is missing."""

    leave_one_out: dict[str, float]
    shapley: dict[str, float] | None
    note: str


@dataclass(frozen=True)
class Record:
    """All numbers of a run.

    Attributes:
        base: title of the result that the others are compared with.
        sequences, regions: their titles by name.
        sentences: the comparison in plain words.
        rows: by title of the subset and name of the region.
        shares: by measure (:data:`DICE`, :data:`VOLUME`) and name of the region.
    """

    base: str
    sequences: dict[str, str]
    regions: dict[str, str]
    sentences: tuple[str, ...]
    rows: dict[str, dict[str, Numbers]]
    shares: dict[str, dict[str, Share]]

    @classmethod
    def read(cls, text: str) -> Record:
        """Check and take over the JSON.

        Raises:
            ValueError: it is none, of another schema, or a field is missing or of the wrong kind.
        """
        try:
            document = json.loads(text)
            if document["schema"] != _SCHEMA:
                raise ValueError
            return cls(
                _text(document["base"]),
                _texts(document["sequences"]),
                _texts(document["regions"]),
                tuple(_text(sentence) for sentence in document["summary"]),
                {_text(title): _row(result["regions"]) for title, result in document["results"].items()},
                {m: {r: _share(s) for r, s in document["attribution"][m].items()} for m in (DICE, VOLUME)},
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(_("The numbers of the comparison cannot be read.")) from error


def _row(regions: Mapping[str, Any]) -> dict[str, Numbers]:
    return {_text(name): _numbers(values) for name, values in regions.items()}


def _numbers(values: Mapping[str, Any]) -> Numbers:
    base, truth = values["to_base"], values["to_truth"] or {"dice": None, "hd95_mm": None}
    return Numbers(
        _number(values["volume_ml"]),
        _number(values["change_ml"]),
        _optional(values["change_percent"]),
        _number(base["dice"]),
        _optional(base["hd95_mm"]),
        _optional(truth["dice"]),
        _optional(truth["hd95_mm"]),
    )


def _share(values: Mapping[str, Any]) -> Share:
    shapley = values["shapley"]
    everything = None if shapley is None else {_text(name): _number(value) for name, value in shapley.items()}
    alone = {_text(name): _number(value) for name, value in values["leave_one_out"].items()}
    return Share(alone, everything, _text(values["note"]))


def _texts(table: Mapping[str, Any]) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in table.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional(value: Any) -> float | None:
    return None if value is None else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
