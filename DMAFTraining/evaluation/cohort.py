"""Models on many cases: in parallel, case by case, each finished one kept."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from DMAFTraining.data.datasets import DATASETS, DatasetSpec
from DMAFTraining.data.opening import find_raw
from DMAFTraining.data.pool import in_processes
from DMAFTraining.data.readers import RawCase, RawCohort
from DMAFTraining.data.splits import SplitKind, split_names
from DMAFTraining.evaluation.case_scores import read_evaluation_case, score_case
from DMAFTraining.evaluation.parts import Part, digest_sources, part_path, read_part, write_part
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.heap import keep_freed_memory
from DMAFTraining.inference.metadata import ORIENTATIONS, BundleMetadata, read_metadata, sha256_file
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.modalities import ModalitySet, Subset


@dataclass(frozen=True)
class EvaluatedModel:
    """A bundle, and the cases as its data set reads them."""

    path: Path
    sha256: str
    metadata: BundleMetadata
    cohort: RawCohort


@dataclass(frozen=True)
class Task:
    """One model on one case; ``subsets`` as in :func:`chosen_subsets`."""

    model: Path
    sha256: str
    case: RawCase
    spec: DatasetSpec
    subsets: str
    output: Path
    device: str


@dataclass(frozen=True)
class Outcome:
    """How a task ended.

    Attributes:
        sha256: of the model.
        case: its name.
        kept: it was finished already.
        problem: a sentence if it failed, else empty.
    """

    sha256: str
    case: str
    kept: bool = False
    problem: str = ""


def open_models(bundles: Sequence[Path], cases: Path, split: SplitKind = "none") -> list[EvaluatedModel]:
    """The models to evaluate.

    Args:
        bundles: model files.
        cases: folder of cases or case manifest.
        split: take the test part of this split only; ``none`` takes all cases.

    Raises:
        BundleError: a model that cannot be used.
        ValueError: nothing usable at ``cases``, or a model given twice.
    """
    models: dict[str, EvaluatedModel] = {}
    for path in bundles:
        metadata, sha256 = read_metadata(path), sha256_file(path)
        if sha256 in models:
            raise ValueError(f"{models[sha256].path} and {path} are the same model; give it once.")
        cohort = _test_part(find_raw(cases, dataset_of(metadata)), split)
        if not cohort.cases:
            raise ValueError(f"{cases} has no case that can be evaluated: {cohort.problems[0]}")
        models[sha256] = EvaluatedModel(path, sha256, metadata, cohort)
    return list(models.values())


def dataset_of(metadata: BundleMetadata) -> DatasetSpec:
    """The data set with the sequences and labels of a model.

    A model of none that is known gets its own: label files hold the values of its labels.
    """
    values = [(label.value, label.name) for label in metadata.labels]
    for spec in DATASETS.values():
        same_labels = [(label.value, label.name) for label in spec.labels] == values
        if same_labels and spec.modalities.names == metadata.modalities.names:
            return spec
    preprocessing = metadata.preprocessing
    return DatasetSpec(
        name=metadata.name,
        title=metadata.title,
        modalities=metadata.modalities,
        labels=metadata.labels,
        regions=metadata.regions,
        dims=ORIENTATIONS[preprocessing.orientation],
        label_codings=({value: value for value in range(len(values) + 1)},),
        label_tokens=tuple(dict.fromkeys(token for spec in DATASETS.values() for token in spec.label_tokens)),
        slice_size=preprocessing.slice_size,
    )


def _test_part(cohort: RawCohort, split: SplitKind) -> RawCohort:
    if split == "none":
        return cohort
    names = split_names([case.name for case in cohort.cases], split).test
    if not names:
        raise ValueError(f"The split {split!r} leaves no test case of {cohort.root}.")
    return replace(cohort, cases=tuple(case for case in cohort.cases if case.name in names))


def chosen_subsets(text: str, modalities: ModalitySet, available: Subset) -> list[Subset]:
    """Subsets of what a case has, in reporting order.

    Args:
        text: ``all``, ``full`` (everything the case has), or a list such as ``T1+FLAIR,T2``, of which a case
            gets those it has the sequences for.
        modalities: of the model.
        available: what the case has.

    Raises:
        InputError: a name in the list is not a sequence of the model.
    """
    if text == "full":
        return [available]
    every = modalities.subsets(available)
    if text == "all":
        return every
    try:
        listed = [modalities.parse(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"The combinations cannot be read: {error}") from error
    return [subset for subset in every if subset in listed]


def evaluate_cohort(
    models: Sequence[EvaluatedModel], subsets: str, output: Path, device: str = "auto", processes: int | None = None
) -> Iterator[Outcome]:
    """Evaluate every model on every case; a (model, case) that is finished already is kept.

    Each writes a part as soon as it is finished, so an interruption at any moment loses only those
    under way; the same call goes on from there. Parts are collected by :func:`finished_parts`.

    Args:
        models: from :func:`open_models`.
        subsets: see :func:`chosen_subsets`.
        output: folder for the parts.
        device: see :class:`Segmenter`.
        processes: how many cases at once; default one per core.

    Yields:
        How each (model, case) ended, as soon as it did; a failed one does not stop the others.

    Raises:
        InputError: ``subsets`` names an unknown sequence.
        ProcessDiedError: a process was ended from outside.
    """
    for model in models:
        chosen_subsets(subsets, model.metadata.modalities, model.metadata.modalities.full())
    tasks = [
        Task(model.path, model.sha256, case, model.cohort.spec, subsets, output, device)
        for model in models
        for case in model.cohort.cases
    ]
    yield from in_processes(_run_alone, tasks, min(processes or os.cpu_count() or 1, len(tasks)))


def _run_alone(task: Task) -> Outcome:
    """Compute with one thread, so that outcomes do not depend on how many processes there are."""
    torch.set_num_threads(1)
    keep_freed_memory()
    return run_task(task)


def run_task(task: Task) -> Outcome:
    """Evaluate one model on one case, unless its part is there."""
    done = Outcome(task.sha256, task.case.name)
    try:
        sources = digest_sources(task.case)
        found = read_part(part_path(task.output, task.sha256, task.case.name))
        if found and (found.sources, found.subsets) == (sources, task.subsets):
            return replace(done, kept=True)
        write_part(task.output, _evaluate(task, sources))
    except Exception as error:  # whatever is wrong with one case, the others go on
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return replace(done, problem=f"{task.case.name}, {task.model.name}: {kind}{error}")
    return done


def _evaluate(task: Task, sources: str) -> Part:
    segmenter = _segmenter(task.model, task.device)
    if segmenter.bundle.sha256 != task.sha256:
        raise ValueError(f"{task.model} was replaced by another model meanwhile; run the same command again")
    modalities = segmenter.metadata.modalities
    case = read_evaluation_case(task.case, task.spec)
    subsets = chosen_subsets(task.subsets, modalities, modalities.subset(case.volumes))
    return Part(task.sha256, case.name, sources, task.subsets, score_case(segmenter, case, subsets))


@functools.lru_cache(maxsize=1)
def _segmenter(model: Path, device: str) -> Segmenter:
    """The model of the previous task is most often that of the next."""
    return Segmenter(model, device)


def finished_parts(output: Path, outcomes: Iterable[Outcome]) -> list[Part]:
    """The parts of all that was evaluated, now or earlier."""
    paths = [part_path(output, outcome.sha256, outcome.case) for outcome in outcomes if not outcome.problem]
    return [part for path in paths if (part := read_part(path))]
