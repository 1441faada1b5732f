"""Which sequences of which case make up each prediction, as plain lists.

What depends on a sequence alone is computed once per (case, sequence) and shared by every subset
that contains it. Absent content is left out, never multiplied by zero: it may be anything, even NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from DMAFTraining.networks.blocks import select_pairs


class Rows:
    """The rows of a fused prediction.

    Args:
        present: ``(R, M)`` bool on the CPU, the sequences of each row.
        cases: the case that each row looks at.

    Attributes:
        sequences: the sequences of each row, ascending.
        pairs: every (case, sequence) that some row uses, case by case.
        members: for each row, the places of its sequences in ``pairs``.

    Raises:
        ValueError: a row without any sequence.
    """

    def __init__(self, present: Tensor, cases: Sequence[int]) -> None:
        self.sequences = [[m for m, there in enumerate(flags) if there] for flags in present.tolist()]
        if not all(self.sequences):
            raise ValueError("A subset to decode has no sequence at all; at least one must be present.")
        used = [[(case, m) for m in subset] for case, subset in zip(cases, self.sequences, strict=True)]
        self.pairs = sorted({pair for row in used for pair in row})
        place = {pair: index for index, pair in enumerate(self.pairs)}
        self.members = [[place[pair] for pair in row] for row in used]

    def gather(self, features: Tensor) -> Tensor:
        """The used entries ``(P, ...)`` of ``(B, M, ...)``, in the order of ``pairs``."""
        return select_pairs(features, self.pairs)

    def parts(self, values: Tensor) -> list[list[Tensor]]:
        """For each row, its own entries of ``values (P, ...)``, as views."""
        entries = values.unbind(0)
        return [[entries[place] for place in places] for places in self.members]

    def total(self, values: Tensor) -> Tensor:
        """For each row, the sum ``(R, ...)`` of its own entries of ``values (P, ...)``."""
        return torch.stack([sum(parts[1:], parts[0]) for parts in self.parts(values)])

    def stacks(self, values: Tensor) -> list[Tensor]:
        """For each row, its own entries ``(n, ...)``; a view where they are one or all that its case has."""
        counts: dict[int, int] = {}
        for case, _ in self.pairs:
            counts[case] = counts.get(case, 0) + 1
        blocks = dict(zip(counts, values.split(list(counts.values())), strict=True))
        stacks = []
        for places, parts in zip(self.members, self.parts(values), strict=True):
            block = blocks[self.pairs[places[0]][0]]
            whole = len(places) == len(block)
            stacks.append(block if whole else parts[0][None] if len(parts) == 1 else torch.stack(parts))
        return stacks
