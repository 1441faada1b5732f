"""How each sequence of a raw-like patient is scanned: its voxels and the plane of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from DMAFTraining.modalities import ModalitySet

PLANES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "axial": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "sagittal": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "coronal": ((-1, 0, 0), (0, 0, -1), (0, -1, 0)),
}
"""Direction in RAS of the columns, rows and slices, as scanners store them."""
_FULL, _THICK = (1.0, 1.0, 1.0), (1.0, 1.0, 5.0)


@dataclass(frozen=True)
class Protocol:
    """How a sequence is scanned: voxel size in mm along columns, rows and slices, and the plane of a slice."""

    spacing: tuple[float, float, float]
    plane: str


def choose_protocols(words: Sequence[str], names: Sequence[str], modalities: ModalitySet) -> dict[str, Protocol]:
    """Grids of the sequences: those given, and the usual ones for the others.

    Raises:
        ValueError: a word that is not understood, or a sequence that the case does not have.
    """
    full = modalities.resolve("t1ce")
    full = full if full in names else names[0]
    thick = [name for name in names if name != full]
    chosen = {full: Protocol(_FULL, "sagittal")}
    chosen |= {name: Protocol(_THICK, list(PLANES)[n % len(PLANES)]) for n, name in enumerate(thick)}
    for word in words:
        name, _, grid = word.partition("=")
        spacing, _, plane = grid.partition(":")
        try:
            i, j, k = (float(step) for step in spacing.split("x"))
        except ValueError:
            i = j = k = 0.0
        if name not in names or plane not in PLANES or min(i, j, k) <= 0:
            known = f"sequences {', '.join(names)}; planes {', '.join(PLANES)}"
            raise ValueError(f"--grid {word} is not understood; write NAME=1x1x5:PLANE ({known}).")
        chosen[name] = Protocol((i, j, k), plane)
    return {name: chosen[name] for name in names}
