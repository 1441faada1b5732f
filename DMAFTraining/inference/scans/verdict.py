"""An automatic decision and the sentence that explains it to a person."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What a check of a scan found.

    Attributes:
        fine: nothing needs to be done.
        reason: one sentence that says why, with the figure that decided.
    """

    fine: bool
    reason: str
