"""What the worker says about the scans before it segments: what it decided, moved and cut out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.protocol import WorkerEventError

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Decision:
    """Is a step (``registration``, ``brain``, ``bias``) needed, for one sequence or (None) for all, and why."""

    step: str
    sequence: str | None
    needed: bool
    reason: str


@dataclass(frozen=True)
class ScansEvent:
    """What was found out about the scans of a case.

    Attributes:
        reference: the sequence that stays where it is.
        decisions: in the order they were made.
        transforms: by moved sequence, 4x4 rows that take its places in the world to where they belong (RAS, mm).
        pictures: by sequence, image file for the eye to judge the alignment.
        brain_tool: what extracted the brain, None if nothing did; ``brain_ml`` is its volume in mL, if known.
    """

    reference: str
    decisions: tuple[Decision, ...] = ()
    transforms: dict[str, Rows] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    brain_tool: str | None = None
    brain_ml: float | None = None

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> ScansEvent:
        """Check and take over a ``scans`` event.

        Raises:
            WorkerEventError: a field is missing or of the wrong kind.
        """
        reference, tool, volume = event.get("reference"), event.get("brain_tool"), event.get("brain_ml")
        decisions, transforms = event.get("decisions") or [], event.get("transforms") or {}
        pictures = event.get("pictures") or {}
        good = isinstance(reference, str) and isinstance(tool, str | None) and isinstance(volume, int | float | None)
        good = good and isinstance(decisions, list) and isinstance(transforms, dict) and isinstance(pictures, dict)
        if not (good and all(isinstance(path, str) for path in pictures.values())):
            raise WorkerEventError(_("The worker sent a report on the scans that cannot be read."))
        return cls(
            str(reference),
            tuple(map(_decision, decisions)),
            {str(name): _rows(rows) for name, rows in transforms.items()},
            {str(name): Path(path) for name, path in pictures.items()},
            tool,
            float(volume) if volume is not None else None,
        )


def _decision(entry: Any) -> Decision:
    found = entry if isinstance(entry, dict) else {}
    step, sequence, needed, reason = (found.get(key) for key in ("step", "sequence", "needed", "reason"))
    texts = isinstance(step, str) and isinstance(reason, str) and isinstance(sequence, str | None)
    if not (texts and isinstance(needed, bool)):
        raise WorkerEventError(_("The worker sent a decision on the scans that cannot be read."))
    return Decision(str(step), sequence, needed, str(reason))


def _rows(rows: Any) -> Rows:
    """A matrix of numbers whose last row is 0 0 0 1: anything else could not move a scan."""
    try:
        matrix = tuple(tuple(float(value) for value in row) for row in rows)
    except (TypeError, ValueError):
        matrix = ()
    shaped = len(matrix) == 4 and all(len(row) == 4 and all(map(math.isfinite, row)) for row in matrix)
    if not shaped or matrix[3] != (0.0, 0.0, 0.0, 1.0):
        raise WorkerEventError(_("The worker sent a transform of a scan that is none."))
    return matrix
