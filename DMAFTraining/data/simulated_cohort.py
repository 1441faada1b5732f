"""A folder of simulated cases: written in parallel, whole cases only, continued where it was interrupted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from DMAFTraining import RESEARCH_NOTICE
from DMAFTraining.data.files import place_folder, write_atomically
from DMAFTraining.data.pool import run_all
from DMAFTraining.data.progress import progress
from DMAFTraining.inference.metadata import sha256_text

COHORT_FILE = "cohort.json"
_RECORDS = ".records"
_PARTIAL = ".partial-"
_SCHEMA = "dmaf-cohort"
_VERSION = 2  # raise it when the same settings would give other cases

Record = dict[str, Any]
"""What was drawn for a case; ``id`` is its name and ``index`` its number."""
WriteCase = Callable[[int, Path], Record]
"""Makes the case of a number and writes it as a folder of its name into a folder."""


class Recipe(Protocol):
    """What a cohort is made of."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything the cases depend on, in the types of JSON."""

    def open(self, processes: int | None) -> WriteCase:
        """Read what the cases are made from; the result can be sent to other processes."""

    def summarize(self, folder: Path, records: Sequence[Record]) -> str:
        """Write the overview files of finished cases; returns what to tell the user."""


def write_cohort(recipe: Recipe, count: int, folder: Path, processes: int | None = None) -> str:
    """Write the cases 0 to ``count`` - 1 that the folder does not have yet, then ``cohort.json`` and the overview.

    Cases appear whole or not at all, and a case is the same whoever writes it, so an interruption costs the
    cases that were in work. A larger count adds cases to a finished cohort. Progress goes to stderr.

    Args:
        recipe: which cases.
        count: how many the folder shall have; those it has beyond that are kept.
        folder: to make, or of an earlier call.
        processes: how many work at once; default all cores.

    Returns:
        A summary for people.

    Raises:
        ValueError: the folder holds something else, or a cohort of other settings.
    """
    _claim(folder, recipe.settings)
    found = _finished(folder)
    wanted = [index for index in range(count) if index not in found]
    if wanted:
        work = partial(_write, recipe.open(processes), folder)
        with progress("Simulating") as report:
            for record in run_all(work, wanted, processes):
                found[record["index"]] = record
                report(len(found), max(count, len(found)))
    records = [found[index] for index in sorted(found)]
    _write_table(folder, recipe.settings, records)
    text = recipe.summarize(folder, records)
    return f"{len(records)} simulated cases in {folder}, {len(wanted)} of them new. {RESEARCH_NOTICE}\n{text}"


def _claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder ours, or make sure that it is the same cohort."""
    table = folder / COHORT_FILE
    if not table.is_file():
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} holds files already; give a new folder.")
        (folder / _RECORDS).mkdir(parents=True, exist_ok=True)
        _write_table(folder, settings, [])
        return
    known = _read_settings(table)
    wanted = json.loads(json.dumps(settings))
    if known != wanted:
        differing = {key for key in known | wanted if known.get(key) != wanted.get(key)}
        keys = differing & known.keys() & wanted.keys() or differing  # what only one of two kinds has says little
        differences = ", ".join(
            f"{key} {_brief(known.get(key))} instead of {_brief(wanted.get(key))}" for key in sorted(keys)
        )
        raise ValueError(
            f"{folder} holds another simulated cohort ({differences}); give a new folder, or the same settings."
        )
    for left_over in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left_over)


def _read_settings(table: Path) -> dict[str, Any]:
    try:
        document = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{table} cannot be read ({error}); give a new folder.") from error
    header = (document.get("schema"), document.get("version")) if isinstance(document, dict) else None
    if header != (_SCHEMA, _VERSION):
        raise ValueError(f"{table} is of another version of this program and cannot be continued; give a new folder.")
    return dict(document["settings"])


def _brief(value: Any) -> str:
    """A setting in a few letters; of files, how many and which content."""
    return f"{len(value)} files ({sha256_text(str(value))[:8]})" if isinstance(value, dict) else str(value)


def _finished(folder: Path) -> dict[int, Record]:
    """Records of the cases that are there, by number."""
    found = {}
    for path in (folder / _RECORDS).glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        if (folder / record["id"]).is_dir():
            found[int(record["index"])] = record
    return found


def _write(write_case: WriteCase, folder: Path, index: int) -> Record:
    """Write one case; its folder appears when all of it is on the disk, its record after that."""
    place = folder / f"{_PARTIAL}{index}"
    place.mkdir()
    record = write_case(index, place)
    name = record["id"]
    place_folder(place / name, folder / name)
    place.rmdir()
    write_atomically(folder / _RECORDS / f"{name}.json", json.dumps(record).encode())
    return record


def _write_table(folder: Path, settings: Mapping[str, Any], records: Sequence[Record]) -> None:
    """Write ``cohort.json``, which also marks the folder as simulated; without cases while they are written."""
    document = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "simulated": True,
        "notice": RESEARCH_NOTICE,
        "settings": settings,
        "cases": records,
    }
    write_atomically(folder / COHORT_FILE, json.dumps(document, indent=1).encode())
