"""How well the results of one patient agree with a reference segmentation."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from DMAFTraining.evaluation.stored import LabelMap, StoredResults, check_same_grid, read_labels
from DMAFTraining.inference.comparison import mean_dice, region_dice
from DMAFTraining.inference.errors import InputError

MEAN = "Mean"
_BRATS_ENHANCING = (4, 3)  # BraTS files up to 2021 write enhancing tumor as 4, this program as 3


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
    """Read a reference segmentation; the BraTS value 4 becomes 3 if the model has no label 4.

    Args:
        path: the file.
        known: label values of the model.

    Raises:
        InputError: see :func:`~DMAFTraining.evaluation.stored.read_labels`; also an unknown value.
    """
    truth = read_labels(path)
    known = set(known)
    old, new = _BRATS_ENHANCING
    array = truth.array
    if old not in known and new in known:
        array = np.where(array == old, np.uint8(new), array)
    if strange := sorted(set(np.unique(array).tolist()) - known - {0}):
        listed = ", ".join(map(str, sorted(known)))
        raise InputError(
            f"{path} holds the label value {strange[0]}, which the results do not have (they have {listed}).",
            "Give a reference with the same labels.",
        )
    return LabelMap(array, truth.grid, truth.source)


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
