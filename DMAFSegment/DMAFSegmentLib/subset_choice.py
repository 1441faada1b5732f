"""Which combinations of the chosen sequences a run segments: the user's choice, as the scene keeps it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

FULL, ALL, LEAVE_ONE_OUT, SINGLE, SIZE, PICKED = "full", "all", "leave-one-out", "single", "size", "picked"
MODES = (FULL, ALL, LEAVE_ONE_OUT, SINGLE, SIZE, PICKED)

Names = tuple[str, ...]


@dataclass(frozen=True)
class SubsetChoice:
    """A way to choose, one of :data:`MODES`, rather than a list: it holds for other volumes too.

    Attributes:
        mode: ``full`` (all sequences together), ``all`` subsets, ``leave-one-out``, ``single`` sequences, all of one
            ``size``, or ``picked`` ones. All but ``picked`` include the fullest: the others are compared with it.
        size: number of sequences for the mode ``size``.
        picked: subsets for the mode ``picked``, names in channel order.

    Raises:
        ValueError: no such mode, or a size below 1.
    """

    mode: str = FULL
    size: int = 2
    picked: tuple[Names, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"'{self.mode}' is no choice of subsets. Use one of {', '.join(MODES)}.")
        if self.size < 1:
            raise ValueError(f"A subset has at least one sequence, not {self.size}.")

    @classmethod
    def read(cls, text: str) -> SubsetChoice:
        """Inverse of :meth:`write`.

        Raises:
            ValueError: the text was not written by :meth:`write`.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or set(document) != {"mode", "size", "picked"}:
            raise ValueError(f"'{text}' is no choice of subsets.")
        mode, size, picked = document["mode"], document["size"], document["picked"]
        lists = isinstance(picked, list) and all(isinstance(names, list) for names in picked)
        if type(size) is not int or not lists or not all(isinstance(name, str) for names in picked for name in names):
            raise ValueError(f"'{text}' is no choice of subsets.")
        return cls(mode, size, tuple(tuple(names) for names in picked))

    def write(self) -> str:
        """Text for the parameter node."""
        return json.dumps(asdict(self))

    def subsets(self, available: Sequence[str]) -> list[Names]:
        """What is segmented when these sequences (names in channel order) exist; the fullest first."""
        every = every_subset(available)
        most = len(available)
        sizes = {FULL: {most}, LEAVE_ONE_OUT: {most - 1, most}, SINGLE: {1, most}, SIZE: {min(self.size, most), most}}
        if self.mode in sizes:
            return [names for names in every if len(names) in sizes[self.mode]]
        return every if self.mode == ALL else [names for names in every if names in self.picked]

    def request(self, available: Sequence[str]) -> str | list[list[str]]:
        """The same in the words of the worker's job."""
        if self.mode in (FULL, ALL):
            return self.mode
        return [list(names) for names in self.subsets(available)]


def every_subset(names: Sequence[str]) -> list[Names]:
    """Every non-empty subset, the fullest first, names in the given order."""
    sizes = range(len(names), 0, -1)
    return [subset for size in sizes for subset in itertools.combinations(names, size)]
