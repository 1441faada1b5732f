"""The files that an evaluation of many cases ends with: scores, tables, and how they came about."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import torch

from DMAFTraining import RESEARCH_NOTICE, __version__
from DMAFTraining.data.files import write_atomically
from DMAFTraining.evaluation.case_scores import SMALL_ML, SMALL_REGION, SMALL_SUFFIX
from DMAFTraining.evaluation.cohort import EvaluatedModel
from DMAFTraining.evaluation.empty_rule import EMPTY_RULES, RuleName
from DMAFTraining.evaluation.parts import Part
from DMAFTraining.evaluation.scorebook import write_scores
from DMAFTraining.evaluation.summary import MEASURES, Measure, SummaryTable, summarize
from DMAFTraining.evaluation.targets import model_name

SCORES = "scores.csv"
SLICES = "slices.csv"
TABLES = ("tables.txt", "tables.md")
RECORD = "evaluation.json"


@dataclass(frozen=True)
class CohortReport:
    """What an evaluation found.

    Attributes:
        models: what was evaluated.
        parts: the finished parts, by model.
        cases: where the cases came from.
        subsets: which were asked for.
        split: whose test part the cases are, or ``none``.
        empty: name of the rule for empty masks.
        failures: sentences about what could not be evaluated.
    """

    models: Sequence[EvaluatedModel]
    parts: Sequence[Part]
    cases: Path
    subsets: str
    split: str
    empty: RuleName
    failures: Sequence[str] = ()

    @property
    def simulated(self) -> bool:
        """The cases are simulated."""
        return any(model.cohort.simulated for model in self.models)

    def write(self, output: Path) -> None:
        """Write all files, each whole or not at all; ``slices.csv`` only where networks see slices."""
        write_scores(output / SCORES, (row for part in self.parts for row in part.scores.rows))
        if slices := [row for part in self.parts for row in part.scores.slices]:
            write_scores(output / SLICES, slices)
        text, markdown = TABLES
        write_atomically(output / text, self.as_text(MEASURES).encode())
        write_atomically(output / markdown, self.as_markdown(MEASURES).encode())
        write_atomically(output / RECORD, json.dumps(self._record(), indent=1).encode())

    def as_text(self, measures: Sequence[Measure]) -> str:
        """Notes and tables to read in a terminal."""
        blocks = ["\n".join(self._notes())]
        for title, tables in self._sections(measures):
            blocks += [f"{title}\n{'=' * len(title)}", *(table.as_text() for table in tables)]
        return "\n\n".join(blocks) + "\n"

    def as_markdown(self, measures: Sequence[Measure]) -> str:
        """The same as Markdown."""
        blocks = ["# Evaluation", "\n".join(f"- {note}" for note in self._notes())]
        for title, tables in self._sections(measures):
            blocks += [f"## {title}", *(table.as_markdown() for table in tables)]
        return "\n\n".join(blocks) + "\n"

    def _notes(self) -> list[str]:
        """What has to be known to read the tables."""
        count = len({part.case for part in self.parts})
        which = "" if self.split == "none" else f" (test part of the split {self.split!r})"
        notes = [
            RESEARCH_NOTICE,
            f"{count} case{'' if count == 1 else 's'} of {self.cases}{which}."
            f"{' The cases are simulated.' if self.simulated else ''}",
            "Means over the cases that have the sequences; the last row is the mean of the rows above.",
            "Measured on the grid of the truth, in mm.",
            EMPTY_RULES[self.empty].sentence,
            "Dice is 1 where both are empty and 0 where one is.",
        ]
        if any(row.region.endswith(SMALL_SUFFIX) for part in self.parts for row in part.scores.rows):
            notes.append(
                f"{SMALL_REGION}{SMALL_SUFFIX}: {SMALL_REGION} where a prediction below {SMALL_ML:g} mL (500 voxels"
                " of 1 mm) counts as nothing."
            )
        return notes + [f"Not evaluated: {failure}" for failure in self.failures]

    def _sections(self, measures: Sequence[Measure]) -> Iterator[tuple[str, list[SummaryTable]]]:
        """Title and tables of each model, and of its slices where it has them."""
        rule = EMPTY_RULES[self.empty]
        for model in self.models:
            order = model.metadata.modalities.subsets()
            scores = [part.scores for part in self.parts if part.sha256 == model.sha256]
            rows = [row for each in scores for row in each.rows]
            slices = [row for each in scores for row in each.slices]
            for suffix, listed in (("", rows), (", slice by slice", slices)):
                if listed:
                    tables = [summarize(listed, order, measure, rule) for measure in measures]
                    yield _title(model) + suffix, tables

    def _record(self) -> dict[str, object]:
        return {
            "notice": RESEARCH_NOTICE,
            "program": {"name": "DMAFTraining", "version": __version__},
            "models": [{"name": model_name(model.metadata), "sha256": model.sha256} for model in self.models],
            "cases": str(self.cases),
            "simulated_cases": self.simulated,
            "subsets": self.subsets,
            "split": self.split,
            "empty": self.empty,
            "not_evaluated": list(self.failures),
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "scipy": scipy.__version__,
            },
        }


def _title(model: EvaluatedModel) -> str:
    training = ", trained on simulated data" if model.metadata.simulated_training else ""
    return f"{model_name(model.metadata)} ({model.sha256[:8]}){training}"
