"""Case manifests: any folder of images described by a CSV or JSON file, one row per case.

Columns are ``case``, one per sequence (names, titles or aliases; empty = missing) and ``labels``.
Paths are relative to the manifest. JSON is a list of objects with the same keys.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.readers import RawCohort, Source, collect

_LABEL_COLUMNS = ("labels", "label", "seg", "gd")


def read_case_manifest(path: Path, spec: DatasetSpec) -> RawCohort:
    """The cases of a manifest; files that do not exist are found when they are read.

    Raises:
        ValueError: the file cannot be read, or a column or cell is not what it should be.
    """
    try:
        rows = _json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path)
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"The case manifest {path} cannot be read: {error}.") from error
    if not rows:
        raise ValueError(f"The case manifest {path} lists no case.")
    cases, problems = collect(spec, _files(path, spec, rows))
    named = tuple(replace(case, labels_expected="a path in the column 'labels'") for case in cases)
    return RawCohort(path, spec, named, tuple(problems))


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream, restkey="?"))
    if any("?" in row for row in rows):
        raise ValueError("a row has more cells than the first line has names")
    return rows


def _json_rows(path: Path) -> list[dict[str, Any]]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it should be a list of objects, one per case")
    return rows


def _files(path: Path, spec: DatasetSpec, rows: list[dict[str, Any]]) -> Iterator[tuple[str, str, Source]]:
    for number, row in enumerate(rows, 1):
        where = f"The case manifest {path}, case {number},"
        name = row.get("case")
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{where} has no name in the column 'case'.")
        yield from _row_files(path.parent, spec, name.strip(), row, where)


def _row_files(
    folder: Path, spec: DatasetSpec, name: str, row: Mapping[str, Any], where: str
) -> Iterator[tuple[str, str, Source]]:
    for column, cell in row.items():
        if column == "case":
            continue
        what = "labels" if column.strip().lower() in _LABEL_COLUMNS else spec.modalities.resolve(column)
        if what is None:
            known = ", ".join(("case", *spec.modalities.names, "labels"))
            raise ValueError(f"{where} has the unknown column {column!r}; known are {known}.")
        if cell is not None and not isinstance(cell, str):
            raise ValueError(f"{where} has {cell!r} where a path should be.")
        if cell and cell.strip():
            yield name, what, Source(folder / cell.strip())
