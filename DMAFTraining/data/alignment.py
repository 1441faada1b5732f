"""Do the images of a case lie on one grid, and do header and voxels tell the same?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from DMAFTraining.inference.geometry import Grid, grid_of

_RESAMPLE = "Resample it onto the grid of {reference}, or copy that header where only the header is wrong."
_COPY_HEADER = "Copy the header of {reference} to it."
_CLEARLY = 0.01  # of overlap; a brain and its mirror image differ by more


class Misplaced(NamedTuple):
    """An image that lies elsewhere than ``reference``, both by name.

    ``what`` (a predicate) and ``remedy`` (a sentence) have ``{reference}`` where the name of that file belongs.
    """

    name: str
    reference: str
    what: str
    remedy: str


def find_misplaced(stored: Mapping[str, sitk.Image], oriented: Mapping[str, sitk.Image]) -> Iterator[Misplaced]:
    """Images that are not on the grid that most of a case are on.

    How the axes are stored does not matter: an image that is flipped and whose header says so is the same
    image. One whose header is flipped and whose voxels are not is named, if its brain shows it.

    Args:
        stored: images as their files have them, by name.
        oriented: the same ones with axes along R, A, S (or as stored, where slices keep their axes).
    """
    grids = {name: grid_of(image) for name, image in oriented.items()}
    if not grids:
        return
    reference = max(grids, key=lambda name: sum(grids[name].same_as(other) for other in grids.values()))
    for name, grid in grids.items():
        if not grid.same_as(grids[reference]):
            how = _difference(grid_of(stored[name]), grid_of(stored[reference]))
            yield Misplaced(name, reference, f"lies on another grid than {{reference}}: {how}", _RESAMPLE)
        elif _header_lies((stored[name], oriented[name]), (stored[reference], oriented[reference])):
            how = _difference(grid_of(stored[name]), grid_of(stored[reference]))
            what = f"has a header in which {how} than in {{reference}}, but voxels that do not"
            yield Misplaced(name, reference, what, _COPY_HEADER)


def _header_lies(image: tuple[sitk.Image, sitk.Image], other: tuple[sitk.Image, sitk.Image]) -> bool:
    """Two images with their axes stored differently overlap better where the headers are not followed."""
    turned = not np.allclose(image[0].GetDirection(), other[0].GetDirection(), atol=1e-3)
    if not turned or image[0].GetSize() != other[0].GetSize():
        return False
    as_stored, as_header_says = (_overlap(a, b) for a, b in zip(image, other, strict=True))
    return as_stored > as_header_says + _CLEARLY


def _overlap(image: sitk.Image, other: sitk.Image) -> float:
    """Dice coefficient of the voxels that are not 0."""
    a, b = (sitk.GetArrayViewFromImage(each) != 0 for each in (image, other))
    return 2 * float(np.count_nonzero(a & b)) / max(int(np.count_nonzero(a)) + int(np.count_nonzero(b)), 1)


def _difference(grid: Grid, other: Grid) -> str:
    """The first thing that differs between two grids, in words."""
    if grid.size != other.size:
        return f"its size is {grid.size}, not {other.size}"
    if not np.allclose(grid.spacing, other.spacing, rtol=1e-3):
        return f"its voxels are {np.round(grid.spacing, 4).tolist()} mm, not {np.round(other.spacing, 4).tolist()} mm"
    axes, others = (g.ijk_to_ras[:3, :3] / np.array(g.spacing) for g in (grid, other))
    flipped = [axis for axis in range(3) if axes[:, axis] @ others[:, axis] < -0.5]
    if flipped:
        return f"axis {', '.join('xyz'[axis] for axis in flipped)} runs the other way"
    if not np.allclose(axes, others, atol=1e-3):
        return "its axes point elsewhere"
    shift = float(np.linalg.norm(grid.ijk_to_ras[:3, 3] - other.ijk_to_ras[:3, 3]))
    return f"it is shifted by {shift:.1f} mm"
