"""Tables of accuracy in a model card, each under a title that says whether the cases are simulated or real."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from DMAFTraining.evaluation.empty_rule import EMPTY_RULES
from DMAFTraining.evaluation.score_files import ScoreFile, count_cases, mean_by_subset
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.summary import HEADLINES, MEAN, summarize
from DMAFTraining.evaluation.targets import model_name, subset_key
from DMAFTraining.inference.metadata import BundleMetadata
from DMAFTraining.modalities import Subset

TITLE = "## Accuracy by combination of sequences"
_FEW = 8
"""Patients up to which a table shows each."""
_SECTION = re.compile(rf"\n*^{re.escape(TITLE)}$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def with_scores(card: str, files: Sequence[ScoreFile], metadata: BundleMetadata) -> str:
    """A model card (Markdown) with the tables of these scores at its end, in place of earlier ones.

    Each title names the folder of the scores, so call it after the cases.

    Args:
        card: the text so far.
        files: scores of simulated cases, of real patients, or both.
        metadata: of the model.

    Raises:
        ValueError: a file without scores of this name and version of the model.
    """
    tables = "\n\n".join(_table(file, metadata) for file in files)
    rest = _SECTION.sub("\n\n", card).strip()
    return f"{rest}\n\n{TITLE}\n\n{tables}\n"


def _table(file: ScoreFile, metadata: BundleMetadata) -> str:
    rows = file.named(model_name(metadata))
    order = metadata.modalities.subsets()
    table = summarize(rows, order, HEADLINES[0], EMPTY_RULES["passion"]).as_markdown()
    count = count_cases(rows)
    cases = ("simulated case" if file.simulated else "real patient") + ("" if count == 1 else "s")
    apart = "" if file.simulated or not 1 < count <= _FEW else f"\n\n{_each_case(rows, order)}"
    return f"### On {count} {cases} ({file.path.parent.name})\n\n{table}{apart}"


def _each_case(rows: Sequence[ScoreRow], order: Sequence[Subset]) -> str:
    """Dice of each case in a column of its own: a mean of few patients hides that one of them is lost."""
    cases = list(dict.fromkeys(row.case for row in rows))
    dice = [mean_by_subset([row for row in rows if row.case == case]) for case in cases]
    lines = [["Sequences", *cases], ["---", *("---" for _ in cases)]]
    for subset in order:
        found = [of_case.get(subset_key(subset), {}) for of_case in dice]
        if any(found):
            lines.append([str(subset), *(_percents(regions.values()) for regions in found)])
    means = [np.mean([list(regions.values()) for regions in of_case.values()], axis=0) for of_case in dice]
    lines.append([MEAN, *map(_percents, means)])
    regions = " / ".join(dict.fromkeys(row.region for row in rows))
    return f"**Each patient: Dice, percent ({regions})**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percents(dice: Iterable[float]) -> str:
    return " / ".join(f"{100 * value:.0f}" for value in dice) or "-"
