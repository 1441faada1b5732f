"""Which MR sequences a model knows, and which of them exist for one patient.

A :class:`ModalitySet` is the ordered list of sequences of a model. A :class:`Subset` is the
non-empty part of it that exists for a case. Code elsewhere never names a sequence or counts to
four: it asks one of these two. Standard library only, so that the Slicer process can use it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Modality:
    """One MR sequence.

    Attributes:
        name: key in files and on the command line, for example ``"t1ce"``.
        title: what a person reads, for example ``"T1ce"``.
        aliases: other spellings found in file and series names, lower case.
    """

    name: str
    title: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subset:
    """The sequences that exist, in the order of their set. Prints as ``T1+FLAIR``."""

    modalities: tuple[Modality, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Keys of the present sequences, for example ``("t1", "flair")``."""
        return tuple(m.name for m in self.modalities)

    def __str__(self) -> str:
        return "+".join(m.title for m in self.modalities)

    def __len__(self) -> int:
        return len(self.modalities)

    def __iter__(self) -> Iterator[Modality]:
        return iter(self.modalities)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __le__(self, other: Subset) -> bool:
        return set(self.names) <= set(other.names)


@dataclass(frozen=True)
class ModalitySet:
    """Ordered sequences of a model and the order its subsets are reported in.

    Attributes:
        modalities: the sequences; this order is the channel order of every tensor.
        order: optional reporting order of all ``2^M - 1`` subsets, each a tuple of names. Without
            it, subsets come by size and then by position.

    Raises:
        ValueError: two sequences share a name, or ``order`` is not a permutation of all subsets.
    """

    modalities: tuple[Modality, ...]
    order: tuple[tuple[str, ...], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.modalities:
            raise ValueError("A modality set needs at least one sequence.")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"Two sequences share a name in {list(self.names)}.")
        if self.order:
            listed = sorted(tuple(sorted(names)) for names in self.order)
            wanted = sorted(tuple(sorted(names)) for names in self._by_size())
            if listed != wanted:
                raise ValueError("The subset order must list every non-empty subset exactly once.")

    @property
    def names(self) -> tuple[str, ...]:
        """Keys of all sequences in channel order."""
        return tuple(m.name for m in self.modalities)

    def __len__(self) -> int:
        return len(self.modalities)

    def __iter__(self) -> Iterator[Modality]:
        return iter(self.modalities)

    def __getitem__(self, name: str) -> Modality:
        return self.modalities[self.index(name)]

    def index(self, name: str) -> int:
        """Channel of a sequence.

        Raises:
            ValueError: the set has no such sequence.
        """
        if name not in self.names:
            raise ValueError(f"Unknown sequence {name!r}; this model knows {', '.join(self.names)}.")
        return self.names.index(name)

    def subset(self, names: Iterable[str]) -> Subset:
        """The subset of these names, put into channel order; a repeated name counts once.

        Raises:
            ValueError: an unknown name, or no name at all.
        """
        wanted = {self.index(name) for name in names}
        if not wanted:
            raise ValueError("A subset needs at least one sequence.")
        return Subset(tuple(self.modalities[i] for i in sorted(wanted)))

    def parse(self, text: str) -> Subset:
        """Read ``"T1+FLAIR"`` (titles, names or aliases, any case) back into a subset.

        Raises:
            ValueError: a part is not a sequence of this set.
        """
        names = []
        for part in text.split("+"):
            name = self.resolve(part)
            if name is None:
                known = ", ".join(m.title for m in self.modalities)
                raise ValueError(f"{part.strip()!r} in {text!r} is not a sequence; known are {known}.")
            names.append(name)
        return self.subset(names)

    def resolve(self, text: str) -> str | None:
        """Name of the sequence spelled ``text`` (name, title or alias, any case), or None."""
        wanted = text.strip().lower()
        for modality in self.modalities:
            if wanted in (modality.name.lower(), modality.title.lower(), *modality.aliases):
                return modality.name
        return None

    def full(self) -> Subset:
        """All sequences."""
        return Subset(self.modalities)

    def subsets(self, within: Subset | None = None) -> list[Subset]:
        """Every non-empty subset in reporting order, optionally only those inside ``within``."""
        every = [self.subset(names) for names in (self.order or self._by_size())]
        return every if within is None else [subset for subset in every if subset <= within]

    def flags(self, subset: Subset) -> tuple[bool, ...]:
        """Presence of each sequence in channel order; a row of the tensor ``present (B, M)``."""
        return tuple(name in subset for name in self.names)

    def _by_size(self) -> list[tuple[str, ...]]:
        sizes = range(1, len(self) + 1)
        return [names for size in sizes for names in itertools.combinations(self.names, size)]


def _parse_order(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(part.split("+")) for part in text.split())


BRATS = ModalitySet(
    (
        Modality("t1", "T1", ("t1w", "t1n", "t1native", "t1pre")),
        Modality("t1ce", "T1ce", ("t1c", "t1gd", "t1post", "t1wce", "t1contrast", "t1km")),
        Modality("flair", "FLAIR", ("t2f", "t2flair", "fla", "t2wflair")),
        Modality("t2", "T2", ("t2w", "t2tse")),
    ),
    # The row order of the papers' tables (mask ids 0 to 14 of the reference code).
    _parse_order(
        "t2 t1ce t1 flair t1ce+t2 t1+t1ce t1+flair t1+t2 flair+t2 t1ce+flair"
        " t1+t1ce+flair t1+flair+t2 t1ce+flair+t2 t1+t1ce+t2 t1+t1ce+flair+t2"
    ),
)
"""Brain tumour sequences in the papers' channel order, subsets in the order of their tables."""

MYOPS = ModalitySet(
    (
        Modality("bssfp", "bSSFP", ("c0", "cine", "ssfp", "truefisp")),
        Modality("lge", "LGE", ("de", "psir", "late")),
        Modality("t2", "T2", ("t2w", "stir")),
    ),
    _parse_order("t2 lge bssfp lge+t2 bssfp+lge bssfp+t2 bssfp+lge+t2"),
)
"""Heart sequences in the papers' channel order, subsets in the order of their tables."""
