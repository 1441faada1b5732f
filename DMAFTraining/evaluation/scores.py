"""How well the results of one patient agree with a reference segmentation."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DMAFTraining.data.datasets import DATASETS
from DMAFTraining.evaluation.stored import LabelMap, StoredResults, check_same_grid, read_labels, read_whole_numbers
from DMAFTraining.inference.comparison import mean_dice, region_dice
from DMAFTraining.inference.errors import InputError

MEAN = "Mean"
_LARGEST = 65535


@dataclass(frozen=True)
class ScoreTable:
    """Dice per result and region.

    Attributes:
        regions: names of the regions, the columns.
        rows: title of each combination of sequences and its Dice per region, the fullest first.
    """

    regions: tuple[str, ...]
    rows: tuple[tuple[str, dict[str, float]], ...]

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each region over all rows."""
        return mean_dice([dice for _, dice in self.rows])

    def as_text(self) -> str:
        """Aligned columns."""
        width = max(len(title) for title, _ in [*self.rows, (MEAN, {})])
        header = " ".join([f"{'':<{width}}", *(f"{name:>6}" for name in self.regions)])
        body = [
            " ".join([f"{title:<{width}}", *(f"{value:6.3f}" for value in values)]) for title, values in self._all()
        ]
        return "\n".join([header, *body])

    def as_markdown(self) -> str:
        """A Markdown table."""
        lines = [["Sequences", *self.regions], ["---", *("---:" for _ in self.regions)]]
        lines += [[title, *(f"{value:.3f}" for value in values)] for title, values in self._all()]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def as_csv(self) -> str:
        """Comma-separated values with six decimals."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sequences", *self.regions])
        writer.writerows([title, *(f"{value:.6f}" for value in values)] for title, values in self._all())
        return stream.getvalue()

    def _all(self) -> list[tuple[str, list[float]]]:
        return [(title, [dice[name] for name in self.regions]) for title, dice in (*self.rows, (MEAN, self.mean))]


def read_truth(path: Path, known: Iterable[int]) -> LabelMap:
    """Read a reference segmentation, also one that spells the labels as a data set does.

    BraTS up to 2021 writes enhancing tumor as 4, this program as 3; MyoPS writes 200 to 2221.

    Args:
        path: the file.
        known: label values of the model.

    Raises:
        InputError: see :func:`~DMAFTraining.evaluation.stored.read_whole_numbers`; also an unknown value.
    """
    values, grid = read_whole_numbers(path, _LARGEST)
    found, wanted = set(np.unique(values).tolist()), {0, *known}
    spellings = [{value: value for value in wanted}, *_codings_of(wanted)]
    coding = next((coding for coding in spellings if found <= coding.keys()), None)
    if coding is None:
        listed = ", ".join(map(str, sorted(wanted - {0})))
        raise InputError(
            f"{path} holds the label value {min(found - wanted)}, which the results do not have (they have {listed}).",
            "Give a reference with the same labels.",
        )
    table = np.zeros(max(coding) + 1, np.uint8)
    table[list(coding)] = list(coding.values())
    return LabelMap(table[values], grid, str(path))


def _codings_of(values: set[int]) -> list[Mapping[int, int]]:
    """How label files of data sets with these label values spell them."""
    return [coding for spec in DATASETS.values() for coding in spec.label_codings if set(coding.values()) == values]


def score_results(results: StoredResults, truth: LabelMap) -> ScoreTable:
    """Dice of every result to the truth, per region of the model.

    Raises:
        InputError: a label map is missing or unreadable.
        GeometryError: a label map lies on another grid than the truth.
    """
    rows = []
    for row in results.rows:
        labels = read_labels(row.file)
        check_same_grid(labels, truth)
        rows.append((row.title, region_dice(labels.array, truth.array, results.regions)))
    return ScoreTable(tuple(region.name for region in results.regions), tuple(rows))
