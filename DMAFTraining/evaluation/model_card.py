"""Tables of accuracy in a model card, each under a title that says whether the cases are simulated or real."""

from __future__ import annotations

import re
from collections.abc import Sequence

from DMAFTraining.evaluation.empty_rule import EMPTY_RULES
from DMAFTraining.evaluation.score_files import ScoreFile, count_cases
from DMAFTraining.evaluation.summary import HEADLINES, summarize
from DMAFTraining.evaluation.targets import model_name
from DMAFTraining.inference.metadata import BundleMetadata

TITLE = "## Accuracy by combination of sequences"
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
    return f"### On {count} {cases} ({file.path.parent.name})\n\n{table}"
