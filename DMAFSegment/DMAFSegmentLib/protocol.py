"""What the worker says: JSON lines on its standard output, read without trusting them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from DMAFSegmentLib import tr as _

_MAX_LINE_BYTES = 4 * 2**20
_BAD_INPUT_CODE = 2
_KILLED_CODES = (9, 137, -9)


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
    """One segmented subset. ``volumes_ml`` in mL and ``dice_to_fullest`` (0 to 1) are by region name."""

    subset: tuple[str, ...]
    title: str
    file: Path
    volumes_ml: dict[str, float]
    dice_to_fullest: dict[str, float]

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
        return cls(tuple(subset), title, Path(file), _numbers(event, "volumes_ml"), _numbers(event, "dice_to_fullest"))


def _numbers(event: Mapping[str, Any], key: str) -> dict[str, float]:
    table = event.get(key) or {}
    good = isinstance(table, dict) and all(isinstance(v, (int, float)) or v is None for v in table.values())
    if not good:
        raise WorkerEventError(_("The worker sent a result whose {key} are not numbers.").format(key=key))
    return {str(name): float(value) for name, value in table.items() if value is not None}


@dataclass(frozen=True)
class JobError:
    """Why a run failed: one sentence, what to do, and the worker's last words."""

    message: str
    hint: str = ""
    details: str = ""

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> JobError:
        """Take over an ``error`` event."""
        return cls(str(event.get("message") or _("The worker reported an error.")), str(event.get("hint") or ""))

    @classmethod
    def from_exit(cls, code: int | None, last_lines: list[str]) -> JobError:
        """Explain a worker that ended without saying why; ``code`` is None when it crashed or never started."""
        details = "\n".join(last_lines)
        if code is None:
            message = _("The worker process crashed or could not be started.")
        elif code == 0:
            message = _("The worker ended without a result.")
        else:
            message = _("The worker stopped unexpectedly (exit code {code}).").format(code=code)
        return cls(message, _hint(code, details), details)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def _hint(code: int | None, details: str) -> str:
    if "ModuleNotFoundError" in details or "ImportError" in details:
        return _("A Python package is missing or damaged. Press Apply again to install what is missing.")
    if "MemoryError" in details or "out of memory" in details.lower() or code in _KILLED_CODES:
        return _("The computer may have run out of memory. Close other programs, or choose another device.")
    if code == _BAD_INPUT_CODE:
        return _("Check the input volumes.")
    return _("See the log under Advanced.")
