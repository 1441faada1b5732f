"""The scores of an evaluation together with what is known of its cases, and what follows from them for a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DMAFTraining.evaluation.case_scores import SMALL_SUFFIX
from DMAFTraining.evaluation.cohort_report import RECORD
from DMAFTraining.evaluation.scorebook import ScoreRow, read_scores
from DMAFTraining.inference.metadata import BundleMetadata


@dataclass(frozen=True)
class ScoreFile:
    """The rows of a ``scores.csv`` for regions of the model; ``simulated`` says what the cases are."""

    path: Path
    rows: tuple[ScoreRow, ...]
    simulated: bool

    def of(self, sha256: str) -> tuple[ScoreRow, ...]:
        """The rows of one model file.

        Raises:
            ValueError: there are none.
        """
        return self._found(
            [row for row in self.rows if row.model_sha256 == sha256], "this model file; run evaluate with it."
        )

    def named(self, name: str) -> tuple[ScoreRow, ...]:
        """The rows of a model of this name and version, whatever its file said beside the weights.

        Raises:
            ValueError: there are none.
        """
        return self._found([row for row in self.rows if row.model == name], f"{name}; give the scores of this model.")

    def _found(self, rows: Sequence[ScoreRow], wanted: str) -> tuple[ScoreRow, ...]:
        if not rows:
            raise ValueError(f"{self.path} holds no scores of {wanted}")
        return tuple(rows)


def read_score_file(path: Path) -> ScoreFile:
    """Read a ``scores.csv`` and the ``evaluation.json`` beside it.

    Raises:
        ValueError: one of the two is missing or damaged, or cases could not be evaluated.
    """
    record = path.with_name(RECORD)
    try:
        document = json.loads(record.read_text(encoding="utf-8"))
        simulated, lacking = bool(document["simulated_cases"]), list(document["not_evaluated"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{record} cannot be read ({error!r}); give the scores.csv in the output of evaluate."
        ) from error
    if lacking:
        raise ValueError(f"{path} lacks cases ({lacking[0]}); repair them and run evaluate again.")
    rows = tuple(row for row in read_scores(path) if not row.region.endswith(SMALL_SUFFIX))
    return ScoreFile(path, rows, simulated)


def mean_by_subset(rows: Sequence[ScoreRow]) -> dict[str, dict[str, float]]:
    """Mean Dice over cases, by subset (``t1+flair``) and region."""
    keys = dict.fromkeys((row.subset, row.region) for row in rows)
    table: dict[str, dict[str, float]] = {}
    for subset, region in keys:
        values = [row.dice for row in rows if (row.subset, row.region) == (subset, region)]
        table.setdefault(subset, {})[region] = float(np.mean(values))
    return table


def overall_dice(rows: Sequence[ScoreRow]) -> float:
    """Mean over subsets and regions of the mean over cases."""
    return float(np.mean([value for row in mean_by_subset(rows).values() for value in row.values()]))


def count_cases(rows: Sequence[ScoreRow]) -> int:
    """How many cases the rows are about."""
    return len({row.case for row in rows})


def expected_dice(rows: Sequence[ScoreRow], metadata: BundleMetadata) -> dict[str, dict[str, float]]:
    """Mean Dice by subset as it prints (``T1+FLAIR``), in reporting order, to four digits.

    Raises:
        ValueError: a combination of sequences of the model was not scored.
    """
    table = mean_by_subset(rows)
    known = {str(metadata.modalities.parse(subset)): values for subset, values in table.items()}
    found = {}
    for subset in metadata.modalities.subsets():
        if str(subset) not in known:
            raise ValueError(f"{subset} was not scored; evaluate cases that have all sequences, with --subsets all.")
        found[str(subset)] = {region: round(value, 4) for region, value in known[str(subset)].items()}
    return found
