"""Which sequence of a patient the others are brought to.

Standard library only, so that the Slicer process can use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from DMAFTraining.modalities import ModalitySet

_TIE = 1.1  # voxels up to 10 % coarser than the finest count as equally fine
_FIRST = "t1ce"


def choose_reference(spacings: Mapping[str, Sequence[float]], modalities: ModalitySet) -> str:
    """The sequence of fullest resolution, which receives the results and which the others are moved to.

    Resolution is measured by the longest side of a voxel: details along it are what a thick slice loses, however fine
    its plane is. Among those within 10 % of the shortest one, contrast-enhanced T1 comes first, then the order of the
    model's channels.

    Args:
        spacings: voxel size in mm along i, j, k of each sequence that exists, by name.
        modalities: sequences of the model.

    Raises:
        ValueError: no sequence, one that the model does not know, or a voxel size that is not positive.
    """
    names = modalities.subset(spacings).names
    longest = {name: _longest_side(name, spacings[name]) for name in names}
    finest = [name for name in names if longest[name] <= _TIE * min(longest.values())]
    first = modalities.resolve(_FIRST)
    return first if first in finest else finest[0]


def _longest_side(name: str, spacing: Sequence[float]) -> float:
    if not spacing or not all(math.isfinite(side) and side > 0 for side in spacing):
        raise ValueError(f"The voxel size of {name}, {list(spacing)} mm, is not positive.")
    return max(spacing)
