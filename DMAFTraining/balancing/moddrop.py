"""ModDrop: the baseline's loss, while the sampler hides sequences that exist.

In the published code bases ModDrop draws, at every access, a random non-empty part of the sequences
a case has; the losses are the baseline's. Only the data change, so only settings live here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from DMAFTraining.balancing.none import NoBalancing


@dataclass(frozen=True)
class ModDrop(NoBalancing):
    """The baseline with random non-empty sub-masks of what exists, drawn by the sampler."""

    drops_existing: ClassVar[bool] = True
