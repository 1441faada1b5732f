"""What has to stand below a table so that nobody reads more into it than is there."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import version

import numpy as np

from DMAFTraining import __version__
from DMAFTraining.evaluation.empty_rule import EMPTY_RULES
from DMAFTraining.evaluation.published import Published
from DMAFTraining.evaluation.statistics import CONFIDENCE
from DMAFTraining.evaluation.study import Study

BRACKETS = (
    f"Brackets: {CONFIDENCE:.0%} bootstrap interval of the mean over cases. It tells how much other patients would "
    "change the number, not how much another training would."
)
MARKS = (
    f"Bold: best of its group. Underlined: second best, only where the {CONFIDENCE:.0%} interval of its paired "
    "difference to the best excludes 0; a second that is not underlined cannot be told from the best. "
    "A dash: there is no such run or number."
)


def data_sentence(study: Study) -> str:
    """Data set, cases, subsets, seeds, and whether anything is simulated."""
    counts = [len(study.of(s, m)) for s in study.plan.settings for m in study.plan.methods if study.of(s, m)]
    low, high = min(counts), max(counts)
    seeds = f"{low} {_plural('seed', low)}" if low == high else f"{low} to {high} seeds"
    known, scored = len(study.dataset.modalities.subsets()), len(study.subsets)
    subsets = f"{scored} subsets" if scored == known else f"{scored} of {known} subsets"
    cases = f"{len(study.cases)} {_plural('case', len(study.cases))}"
    text = f"Data: {study.dataset.title}, {cases}, {subsets} of sequences, {seeds} per method (averaged per case)."
    return f"{text}{simulated_sentence(study)}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"


def simulated_sentence(study: Study) -> str:
    """A warning if cases or training data are simulated, with a space before it; else nothing."""
    if study.dataset.simulated:
        return " SIMULATED data: these numbers say nothing about patients."
    return " Models trained on SIMULATED data." if study.simulated_training else ""


def heading(study: Study) -> str:
    """The data, for the head of a figure; says where anything is simulated."""
    trained = study.simulated_training and not study.dataset.simulated
    return f"{study.dataset.title}{', trained on SIMULATED data' if trained else ''}"


def empty_sentence(study: Study) -> str:
    """The rule for empty masks and how often it was needed."""
    truth = np.stack([run.truth_empty for run in study.runs])
    predicted = np.stack([run.predicted_empty for run in study.runs])
    one, both = int((truth != predicted).sum()), int((truth & predicted).sum())
    return (
        f"{EMPTY_RULES[study.empty_rule].sentence} One was empty in {one}, both in {both} of {truth.size} comparisons."
    )


def versions_sentence() -> str:
    """What computed the table."""
    listed = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Made with {listed}."


def versions() -> dict[str, str]:
    """Version of this program and of what its numbers depend on."""
    return {
        "DMAFTraining": __version__,
        "Python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "scipy")},
    }


def published_sentences(entries: Iterable[Published]) -> tuple[str, ...]:
    """Where published rows come from, and what is odd about them."""
    found = list(entries)
    if not found:
        return ()
    sources = "; ".join(dict.fromkeys(entry.source for entry in found))
    notes = [f"{published_label(entry)} {entry.setting}: {entry.note}" for entry in found if entry.note]
    text = f"Published rows are as printed in {sources}, with another code base; they are not ranked with ours."
    return (text, f"Known oddities (†): {'; '.join(notes)}.") if notes else (text,)


def published_label(entry: Published) -> str:
    """For example ``PASSION (Table 2)``; with a dagger if there is a note on it."""
    parts = "" if entry.parts is None else " + ".join(sorted(entry.parts)) or "baseline"
    return f"{entry.method or parts} (Table {entry.table}){'†' if entry.note else ''}"
