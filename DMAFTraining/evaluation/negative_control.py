"""What a model calls in a brain without tumor: every milliliter is wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.files import write_atomically
from DMAFTraining.evaluation.targets import model_name, subset_key
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.modalities import Subset

CONTROL = ("control.csv", "control.md")
COLUMNS = ("model", "model_sha256", "subset", "region", "ml")


@dataclass(frozen=True)
class NegativeControl:
    """Volumes that a model calls in one tumor-free brain.

    Attributes:
        model: name and version.
        sha256: of its file.
        volumes_ml: of each region in mL, by subset in reporting order.
    """

    model: str
    sha256: str
    volumes_ml: dict[Subset, dict[str, float]]

    def as_csv(self) -> str:
        """One row per subset and region, as ``scores.csv`` calls them."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for subset, volumes in self.volumes_ml.items():
            key = subset_key(subset)
            writer.writerows([self.model, self.sha256, key, region, f"{ml:.3f}"] for region, ml in volumes.items())
        return stream.getvalue()

    def as_markdown(self) -> str:
        """A row per subset."""
        regions = list(next(iter(self.volumes_ml.values())))
        lines = [["Sequences", *(f"{region}, mL" for region in regions)], ["---", *("---:" for _ in regions)]]
        lines += [[str(s), *(f"{v[region]:.1f}" for region in regions)] for s, v in self.volumes_ml.items()]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        title = f"**Called by {self.model} in a brain without tumor (all of it is wrong)**"
        return f"{title}\n\n{table}\n\n{RESEARCH_NOTICE}\n"

    def write(self, folder: Path) -> None:
        """Write both files, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(CONTROL, (self.as_csv(), self.as_markdown()), strict=True):
            write_atomically(folder / name, text.encode())


def run_control(
    segmenter: Segmenter, inputs: Mapping[str, str | Path], on_progress: Callable[[float], None] | None = None
) -> NegativeControl:
    """Segment one brain from every subset of its sequences.

    Args:
        segmenter: the model.
        inputs: file of each sequence of a person without tumor.
        on_progress: told the finished fraction.

    Raises:
        InputError: an image that cannot be used.
    """
    case = segmenter.prepare(inputs)
    found = {result.subset: result.volumes_ml for result in segmenter.segment(case, "all", on_progress)}
    order = segmenter.metadata.modalities.subsets(case.available)
    volumes = {subset: found[subset] for subset in order}
    return NegativeControl(model_name(segmenter.metadata), segmenter.bundle.sha256, volumes)
