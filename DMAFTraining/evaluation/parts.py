"""The scores of one model on one case as a file: what an interrupted evaluation goes on from."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from pathlib import Path

from DMAFTraining.data.files import write_atomically
from DMAFTraining.data.readers import RawCase
from DMAFTraining.evaluation.case_scores import CaseScores
from DMAFTraining.evaluation.scorebook import score_row
from DMAFTraining.inference.metadata import sha256_file, sha256_text

_FOLDER = "cases"
_VERSION = 1  # raise it when scores would come out differently


@dataclass(frozen=True)
class Part:
    """What is stored.

    Attributes:
        sha256: of the model's file.
        case: name.
        sources: changes with any byte of the case's files.
        subsets: which were asked for, as on the command line.
        scores: the rows.
    """

    sha256: str
    case: str
    sources: str
    subsets: str
    scores: CaseScores


def part_path(output: Path, sha256: str, case: str) -> Path:
    """Where the part of a model and a case is."""
    return output / _FOLDER / sha256[:16] / f"{case}.json"


def write_part(output: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    document = {
        "version": _VERSION,
        "sha256": part.sha256,
        "case": part.case,
        "sources": part.sources,
        "subsets": part.subsets,
        "rows": [astuple(row) for row in part.scores.rows],
        "slices": [astuple(row) for row in part.scores.slices],
    }
    path = part_path(output, part.sha256, part.case)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document).encode())


def read_part(path: Path) -> Part | None:
    """Read a part; None where there is none that this program can use."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != _VERSION:
            return None
        rows, slices = (tuple(score_row(cells) for cells in document[what]) for what in ("rows", "slices"))
        return Part(
            sha256=document["sha256"],
            case=document["case"],
            sources=document["sources"],
            subsets=document["subsets"],
            scores=CaseScores(rows, slices),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest_sources(case: RawCase) -> str:
    """Names the bytes of a case's files; a file that is missing counts as that."""
    paths = {source.path for source in case.sources.values()}
    digests = {path: sha256_file(path) for path in paths if path.is_file()}
    files = {what: [digests.get(source.path), source.channel] for what, source in case.sources.items()}
    return sha256_text(json.dumps(files, sort_keys=True))
