"""What a view of a comparison is called: which sequences made the result, and which were left out."""

from __future__ import annotations

from collections.abc import Sequence

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute
from DMAFSegmentLib.geometry import Node


def captions(nodes: Sequence[Node]) -> list[str]:
    """One caption per result of a run, in words: what is absent is what the fullest of them has and it lacks.

    >>> captions([full, without_t1])
    ['T1+FLAIR (all)', 'FLAIR (without T1)']
    """
    if not nodes:
        return []
    fullest = max((_titles(node) for node in nodes), key=len)
    return [_caption(node, fullest) for node in nodes]


def without(titles: Sequence[str], every: Sequence[str]) -> str:
    """Which sequences are left out, in words; empty when none is."""
    absent = [title for title in every if title not in titles]
    return _("without {sequences}").format(sequences=", ".join(absent)) if absent else ""


def _caption(node: Node, fullest: Sequence[str]) -> str:
    absent = without(_titles(node), fullest) or _("all")
    return f"{attribute(node, 'Title')} ({absent})"


def _titles(node: Node) -> list[str]:
    return attribute(node, "Title").split("+")
