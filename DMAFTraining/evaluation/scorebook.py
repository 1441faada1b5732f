"""The rows of an evaluation, and the CSV file that holds them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from DMAFTraining.data.files import write_atomically


@dataclass(frozen=True)
class ScoreRow:
    """What one model finds in one region of one case from one subset of its sequences.

    Attributes:
        model: name and version.
        model_sha256: of the bundle file.
        case: name.
        subset: names of the sequences, ``t1+flair``.
        region: name in the bundle, or ``ET-500``: ET where predictions below 0.5 mL count as nothing.
        dice: 1 if truth and prediction are empty, 0 if one is.
        hd95_pooled: see :class:`~DMAFTraining.inference.surfaces.SurfaceDistances`; mm, None if truth or
            prediction is empty. What an empty one costs is decided when means are taken.
        hd95: likewise.
        hd: likewise.
        truth_ml: volume in mL.
        predicted_ml: likewise.
        truth_empty: the truth does not show the region.
        predicted_empty: the prediction does not.
        ece: see :class:`~DMAFTraining.evaluation.calibration.Calibration`; None for ``ET-500``, which is
            another decision from the same probabilities.
        brier: likewise.
        simulated_training: the model was trained on simulated data.
    """

    model: str
    model_sha256: str
    case: str
    subset: str
    region: str
    dice: float
    hd95_pooled: float | None
    hd95: float | None
    hd: float | None
    truth_ml: float
    predicted_ml: float
    truth_empty: bool
    predicted_empty: bool
    ece: float | None
    brier: float | None
    simulated_training: bool


COLUMNS = tuple(field.name for field in fields(ScoreRow))
_FLAGS = {"1": True, "0": False, True: True, False: False}
_READ: dict[str, Callable[[Any], Any]] = {  # by the type that the field is declared with
    "str": str,
    "float": float,
    "float | None": lambda cell: None if cell in ("", None) else float(cell),
    "bool": lambda cell: _FLAGS[cell],
}


def write_scores(path: Path, rows: Iterable[ScoreRow]) -> None:
    """Write a CSV file, whole or not at all: numbers with six decimals, 1 and 0 for yes and no, nothing for None."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in astuple(row)] for row in rows)
    write_atomically(path, stream.getvalue().encode())


def read_scores(path: Path) -> list[ScoreRow]:
    """Read the CSV file of an evaluation.

    Raises:
        ValueError: missing or unreadable, or not the columns and cells that :func:`write_scores` writes.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            first, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"The scores {path} cannot be read ({error}); give the scores.csv of evaluate.") from error
    if tuple(first) != COLUMNS:
        raise ValueError(f"{path} does not have the columns of a scores.csv; give the scores.csv of evaluate.")
    try:
        return [score_row(line) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); run evaluate again.") from error


def score_row(cells: Iterable[Any]) -> ScoreRow:
    """A row from values in the order of the columns, as texts or as numbers.

    Raises:
        ValueError: a value is missing or of another kind.
    """
    try:
        return ScoreRow(*(_READ[str(field.type)](cell) for field, cell in zip(fields(ScoreRow), cells, strict=True)))
    except (KeyError, TypeError) as error:
        raise ValueError(f"a cell holds {error}") from error


def _cell(value: str | bool | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else f"{value:.6f}"
