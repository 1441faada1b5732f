"""What the worker says: JSON lines on its standard output, read without trusting them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DMAFSegmentLib import tr as _

_MAX_LINE_BYTES = 4 * 2**20


class WorkerEventError(ValueError):
    """An event that breaks the protocol."""


class LineReader:
    """Turns chunks of bytes into lines of text; bytes that are not UTF-8 become replacement characters."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> list[str]:
        """Lines completed by ``data``; the unfinished rest waits for the next call."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > _MAX_LINE_BYTES:
            lines.append(self._pending)
            self._pending = b""
        return [line.decode("utf-8", "replace").rstrip("\r") for line in lines if line.strip()]

    def rest(self) -> list[str]:
        """What is left when the stream ended without a line break: at most one line."""
        return self.feed(b"\n")


def parse_line(line: str) -> dict[str, Any] | None:
    """The event in a line, or None for anything else a library may have printed."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


@dataclass(frozen=True)
class ResultEvent:
    """One segmented subset. ``volumes_ml`` in mL and ``dice_to_fullest`` (0 to 1) are by region name.

    ``maps`` are files beside the label map, by what they show, such as ``entropy``; ``native`` are label maps on the
    own grids of other sequences, by name.
    """

    subset: tuple[str, ...]
    title: str
    file: Path
    volumes_ml: dict[str, float]
    dice_to_fullest: dict[str, float]
    maps: dict[str, Path] = field(default_factory=dict)
    native: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> ResultEvent:
        """Check and take over a ``result`` event.

        Raises:
            WorkerEventError: a field is missing or of the wrong kind.
        """
        subset, title, file = event.get("subset"), event.get("title"), event.get("file")
        if not (isinstance(subset, list) and subset and all(isinstance(name, str) for name in subset)):
            raise WorkerEventError(_("The worker sent a result without its sequences."))
        if not isinstance(title, str) or not isinstance(file, str):
            raise WorkerEventError(_("The worker sent a result without its title or its file."))
        volumes, dice = _numbers(event, "volumes_ml"), _numbers(event, "dice_to_fullest")
        return cls(tuple(subset), title, Path(file), volumes, dice, _paths(event, "maps"), _paths(event, "native"))


def _paths(event: Mapping[str, Any], key: str) -> dict[str, Path]:
    files = event.get(key) or {}
    if not (isinstance(files, dict) and all(isinstance(path, str) for path in files.values())):
        raise WorkerEventError(_("The worker sent a result whose {key} are not files.").format(key=key))
    return {str(name): Path(path) for name, path in files.items()}


def _numbers(event: Mapping[str, Any], key: str) -> dict[str, float]:
    table = event.get(key) or {}
    good = isinstance(table, dict) and all(isinstance(v, (int, float)) or v is None for v in table.values())
    if not good:
        raise WorkerEventError(_("The worker sent a result whose {key} are not numbers.").format(key=key))
    return {str(name): float(value) for name, value in table.items() if value is not None}


@dataclass(frozen=True)
class ComparisonEvent:
    """What a run made of all its results together.

    Attributes:
        document: file with the numbers, if there is one; see :class:`DMAFSegmentLib.comparison_record.Record`.
        maps: image files by kind, such as ``agreement``, and by what each shows, such as a region.
    """

    document: Path | None
    maps: dict[str, dict[str, Path]]

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> ComparisonEvent:
        """Check and take over a ``comparison`` event.

        Raises:
            WorkerEventError: a field is missing or of the wrong kind.
        """
        folder, document, maps = event.get("output"), event.get("comparison"), event.get("maps") or {}
        if not (isinstance(folder, str) and isinstance(document, str | None) and _are_files(maps)):
            raise WorkerEventError(_("The worker sent a comparison without its files."))
        paths = {kind: {name: Path(folder, file) for name, file in files.items()} for kind, files in maps.items()}
        return cls(Path(folder, document) if document else None, paths)


def _are_files(maps: Any) -> bool:
    """Is it file names by kind and by what they show?"""
    if not (isinstance(maps, dict) and all(isinstance(files, dict) for files in maps.values())):
        return False
    return all(isinstance(file, str) for files in maps.values() for file in files.values())


@dataclass(frozen=True)
class JobError:
    """Why a run failed: one sentence, what to do, the worker's last words, and the kind of error for programs."""

    message: str
    hint: str = ""
    details: str = ""
    kind: str = "internal"

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> JobError:
        """Take over an ``error`` event."""
        message, kind = event.get("message"), event.get("kind")
        return cls(
            str(message or _("The worker reported an error.")),
            str(event.get("hint") or ""),
            kind=str(kind or "internal"),
        )

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
