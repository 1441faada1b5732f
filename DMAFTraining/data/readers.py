"""Which file is which: finds the cases of a folder or of a case manifest, without reading voxels.

Folders may nest freely and files are named ``<case>_<sequence>.nii.gz`` (or ``-``, or ``.nii``): that
covers BraTS 2018 to 2023, MyoPS 2020 and this project's simulated cohorts. The MSD Task01 folder
with 4-D files is recognized by its ``dataset.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DMAFTraining.data.datasets import DATASETS, DatasetSpec
from DMAFTraining.data.problems import Problem

_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_TOKEN = re.compile(r"(.+)[_-]([^_-]+)")
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LABELS = "labels"
_MSD_CODING = ({0: 0, 1: 2, 2: 1, 3: 3},)  # edema, non-enhancing, enhancing


@dataclass(frozen=True)
class Source:
    """An image file, or one channel of a 4-D file."""

    path: Path
    channel: int | None = None

    def __str__(self) -> str:
        return str(self.path) if self.channel is None else f"{self.path} (channel {self.channel})"


@dataclass(frozen=True)
class RawCase:
    """Where the images of one case are.

    Attributes:
        name: of the case.
        images: file of each sequence that exists, in channel order.
        labels: file of the label map, None where there is none.
        codings: how that file may spell labels, each value in the file -> value in the store.
        labels_expected: what that file should be called, for people.
    """

    name: str
    images: Mapping[str, Source]
    labels: Source | None
    codings: tuple[Mapping[int, int], ...]
    labels_expected: str = "a label map"

    @property
    def sources(self) -> dict[str, Source]:
        """Every file of the case by what it shows."""
        return {**self.images, **({LABELS: self.labels} if self.labels else {})}


@dataclass(frozen=True)
class RawCohort:
    """What was found.

    Attributes:
        root: the folder or manifest.
        spec: the data set.
        cases: by name.
        problems: files that fit nowhere, and cases that cannot be told apart.
        simulated: the folder was written by ``prepare simulate``.
    """

    root: Path
    spec: DatasetSpec
    cases: tuple[RawCase, ...]
    problems: tuple[Problem, ...] = ()
    simulated: bool = False

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written (names, sizes, times; nothing is read)."""
        digest = hashlib.sha256(self.spec.name.encode())
        for case in self.cases:
            for what, source in case.sources.items():
                state = source.path.stat() if source.path.exists() else None
                facts = (case.name, what, source.path.name, source.channel)
                digest.update(repr((*facts, state and (state.st_size, state.st_mtime_ns))).encode())
        return digest.hexdigest()


def find_cohort(root: Path, spec: DatasetSpec) -> RawCohort:
    """The cases of a folder.

    Raises:
        ValueError: the folder is missing or shows no case of this data set.
    """
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}.")
    cohort = _find_msd(root, spec) if (root / "imagesTr").is_dir() else _find_by_names(root, spec)
    if not cohort.cases and not cohort.problems:
        known = ", ".join(spec.modalities.names)
        label = spec.label_tokens[0]
        raise ValueError(
            f"There are no cases in {root}: expected files like <case>_{spec.modalities.names[0]}.nii.gz"
            f" (of {known}) with <case>_{label}.nii.gz."
        )
    return cohort


def recognize(root: Path) -> RawCohort:
    """The cases of a folder whose data set is not said: the one that most label maps fit.

    Raises:
        ValueError: no data set fits.
    """
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}.")
    best, most = None, 0
    for spec in DATASETS.values():
        try:
            cohort = find_cohort(root, spec)
        except ValueError:
            continue
        complete = sum(case.labels is not None and bool(case.images) for case in cohort.cases)
        if complete > most:  # of equals the first one: a data set comes before its variants
            best, most = cohort, complete
    if best is None:
        raise ValueError(
            f"{root} is neither a store nor a folder of cases that is understood; describe it with a case manifest"
            " (python -m DMAFTraining.prepare cases --help)."
        )
    return best


def collect(spec: DatasetSpec, files: Iterable[tuple[str, str, Source]]) -> tuple[tuple[RawCase, ...], list[Problem]]:
    """Cases and problems from ``(case, sequence or "labels", source)``; cases with problems are left out."""
    found: dict[str, dict[str, list[Source]]] = defaultdict(lambda: defaultdict(list))
    for name, what, source in files:
        found[name][what].append(source)
    cases, problems = [], []
    for name in sorted(found):
        problem = _name_problem(name) or _double(name, found[name])
        if problem:
            problems.append(problem)
        else:
            cases.append(_case(spec, name, found[name]))
    return tuple(cases), problems


def _name_problem(name: str) -> Problem | None:
    """What is wrong with a case's name, if anything; it becomes the name of a folder."""
    if CASE_NAME.fullmatch(name):
        return None
    what = "has a name with other signs than letters, digits and . _ -, or does not begin with a letter or digit"
    return Problem(repr(name), "", what, "Rename it.")


def _double(name: str, files: Mapping[str, list[Source]]) -> Problem | None:
    """A case of which files exist more than once: two cases of one name, or a copy."""
    doubles = [what for what, sources in files.items() if len(sources) > 1]
    if not doubles:
        return None
    first, *others = files[doubles[0]]
    places = " and ".join(str(source) for source in others)
    what = f"is {doubles[0]} of this case, and so is {places} (more than once: {', '.join(doubles)})"
    return Problem(name, str(first), what, "Keep one, or give one of two cases another name.")


def _case(spec: DatasetSpec, name: str, files: Mapping[str, list[Source]]) -> RawCase:
    images = {modality: files[modality][0] for modality in spec.modalities.names if modality in files}
    labels = files[LABELS][0] if LABELS in files else None
    return RawCase(name, images, labels, spec.label_codings, f"{name}_{spec.label_tokens[0]}.nii.gz")


def _find_by_names(root: Path, spec: DatasetSpec) -> RawCohort:
    paths = sorted(_nifti_files(root))
    known, problems = [], []
    parsed = {path: _parse(path, spec) for path in paths}
    # One distribution of BraTS 2020 has a label map with a stray name in the right folder.
    own_folder = {path.parent for path, parts in parsed.items() if parts and parts[0] == path.parent.name}
    for path, parts in parsed.items():
        if parts is None:
            problems.append(_unknown_file(path, root, spec))
        else:
            name = path.parent.name if path.parent in own_folder else parts[0]
            known.append((name, parts[1], Source(path)))
    cases, doubles = collect(spec, known)
    return RawCohort(root, spec, cases, (*problems, *doubles), (root / "cohort.json").is_file())


def _unknown_file(path: Path, root: Path, spec: DatasetSpec) -> Problem:
    case = _NIFTI.sub("", path.name) if path.parent == root else path.parent.name
    wanted = "|".join((*spec.modalities.names, spec.label_tokens[0]))
    remedy = f"Name it <case>_<{wanted}>.nii.gz, or move it away."
    return Problem(case, str(path), "has a name that does not say which sequence it is", remedy)


def _nifti_files(root: Path) -> Iterator[Path]:
    """Every NIfTI file below a folder, through links too; a folder that is reached twice counts once."""
    seen = set()
    for folder, below, names in os.walk(root, onerror=_unreadable, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            below.clear()
            continue
        seen.add(place)
        yield from (Path(folder) / name for name in names if _NIFTI.search(name) and not name.startswith("."))


def _unreadable(error: OSError) -> None:
    """Without this, a folder that cannot be listed would count as empty."""
    raise ValueError(f"The folder {error.filename} cannot be listed ({error.strerror}); check its permissions.")


def _parse(path: Path, spec: DatasetSpec) -> tuple[str, str] | None:
    """Case and sequence (or labels) that a file name spells."""
    match = _TOKEN.fullmatch(_NIFTI.sub("", path.name))
    if not match:
        return None
    name, token = match.groups()
    what = LABELS if token.lower() in spec.label_tokens else spec.modalities.resolve(token)
    return (name, what) if what else None


def _find_msd(root: Path, spec: DatasetSpec) -> RawCohort:
    """Medical Segmentation Decathlon, Task01: 4-D images, channels named in dataset.json."""
    channels = _msd_channels(root / "dataset.json", spec)
    cases, problems = [], []
    for path in sorted((root / "imagesTr").glob("[!.]*.nii*")):
        name = _NIFTI.sub("", path.name)
        if problem := _name_problem(name):
            problems.append(problem)
            continue
        images = {name: Source(path, channels[name]) for name in spec.modalities.names if name in channels}
        label = root / "labelsTr" / path.name
        labels = Source(label) if label.is_file() else None
        cases.append(RawCase(name, images, labels, _MSD_CODING, str(label)))
    return RawCohort(root, spec, tuple(cases), tuple(problems))


def _msd_channels(path: Path, spec: DatasetSpec) -> dict[str, int]:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        titles = {int(number): str(title) for number, title in document["modality"].items()}
        first = str(document["labels"]["1"]).lower()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as the description of an MSD task ({error}).") from error
    if spec.name != "brats" or "edema" not in first:
        raise ValueError(f"{path} describes another task than MSD Task01 (brain tumor), the only one supported.")
    names = {spec.modalities.resolve(title): number for number, title in titles.items()}
    return {name: number for name, number in names.items() if name is not None}
