"""Is a simulated cohort plausible? Its brightness and volumes beside published and measured ones.

The reference numbers of tissues and bright voxels are of the real scans of Lesjak et al.,
Neuroinformatics (2017), DOI 10.1007/s12021-017-9348-7 (three people, one scanner); those of tumors are
of four cases of Baid et al., arXiv:2107.02314.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import Tissue
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

if TYPE_CHECKING:  # a case carries the medians of this module
    from DMAFTraining.data.simulation.case import SimulatedCase

BRIGHT = 1.3
"""A voxel of the brain counts as bright from this many times the median of white matter on."""

_MEASURED: dict[str, tuple[Tissue, ...]] = {
    "white": (Tissue.WHITE,),
    "gray": (Tissue.GRAY,),
    "csf": (Tissue.VENTRICLE,),
    "deep_gray": (Tissue.DEEP_GRAY,),
    "brainstem": (Tissue.BRAINSTEM,),
    "cerebellum_white": (Tissue.CEREBELLUM_WHITE,),
    "cerebellum_gray": (Tissue.CEREBELLUM_GRAY,),
}
_FLUIDS = (Tissue.CSF, Tissue.VENTRICLE)


def tissue_medians(
    images: Mapping[str, FloatArray], tissues: LabelArray, tumor_mask: BoolArray
) -> dict[str, dict[str, float]]:
    """Median brightness of each tissue in each sequence, in the units of the images.

    Args:
        images: finished images by sequence (X, Y, Z); voxels of 0 are outside the brain and do not count.
        tissues: values of :class:`Tissue` on the same grid, as of ``TissueMap.labels``.
        tumor_mask: voxels that do not count because a tumor changed them.

    Returns:
        ``medians[sequence][tissue]`` with the tissues white, gray, csf (of the ventricles), deep_gray,
        brainstem, cerebellum_white and cerebellum_gray; a tissue that the map does not hold is left out. Solid
        tissue counts where no face of the voxel touches fluid, and fluid where every face does.

    Raises:
        ValueError: an image has another shape than the tissues.
    """
    fluid = np.isin(tissues, _FLUIDS)
    pure = {True: ndimage.binary_erosion(fluid), False: ~ndimage.binary_dilation(fluid)}
    regions = {}
    for name, wanted in _MEASURED.items():
        regions[name] = np.isin(tissues, wanted) & pure[wanted[0] in _FLUIDS] & ~tumor_mask
    found: dict[str, dict[str, float]] = {}
    for sequence, image in images.items():
        if image.shape != tissues.shape:
            raise ValueError(f"The image {sequence} has shape {image.shape}, the tissue map {tissues.shape}.")
        inside = image > 0
        values = {name: image[region & inside] for name, region in regions.items()}
        found[sequence] = {name: float(np.median(part)) for name, part in values.items() if part.size}
    return found


@dataclass(frozen=True)
class Reference:
    """A published or measured range, and how far the median of a cohort may lie outside it."""

    name: str
    low: float
    high: float
    slack: float


REFERENCES = (
    # Medians relative to white matter: people and scanners differ by about the slack.
    Reference("t1 gray", 0.82, 0.85, 0.10),
    Reference("t1ce gray", 0.90, 0.91, 0.10),
    Reference("flair gray", 1.01, 1.05, 0.12),
    Reference("t2 gray", 1.07, 1.11, 0.25),
    Reference("t1 csf", 0.13, 0.14, 0.15),
    Reference("t1ce csf", 0.10, 0.17, 0.15),
    Reference("flair csf", 0.18, 0.34, 0.10),
    Reference("t2 csf", 3.1, 3.3, 0.6),
    # Measured in the scans of patients 07 and 19: 1.40 and 1.61 at 1 mm, 1.01 and 1.10 averaged to 2 mm.
    Reference("t1ce bright %", 1.0, 1.6, 0.3),
    # The scans measured are cut at the surface of the gyri; heads differ, and most strips keep the fluid outside.
    Reference("brain mL", 1092.0, 1132.0, 450.0),
    # The smallest and largest of the four cases with published volumes: few, so the slack is wide.
    Reference("WT mL", 38.4, 190.6, 20.0),
    Reference("TC mL", 2.6, 44.4, 15.0),
    Reference("ET mL", 2.6, 32.7, 10.0),
)
"""What real scans show; see the module for the sources."""


@dataclass(frozen=True)
class Measure:
    """One quantity over the cases that have it: median, 5th and 95th percentile, count, and the reference."""

    reference: Reference
    median: float
    low: float
    high: float
    count: int

    @property
    def ok(self) -> bool:
        """Whether the median lies in the reference range widened by its slack; False without any case."""
        reference = self.reference
        return reference.low - reference.slack <= self.median <= reference.high + reference.slack


@dataclass(frozen=True)
class CohortStatistics:
    """Measures of a cohort in the order of ``REFERENCES``."""

    cases: int
    measures: tuple[Measure, ...]

    def as_text(self) -> str:
        """A table for people: one line a measure, marked ``ok`` or ``outside``."""
        lines = [
            f"{self.cases} simulated cases beside real scans (tissue medians relative to white matter)",
            f"{'':<15}{'median':>9}{'5 %':>9}{'95 %':>9}{'cases':>7}   {'real':<15}",
        ]
        for one in self.measures:
            numbers = "".join(f"{value:>9.4g}" for value in (one.median, one.low, one.high))
            real = f"{one.reference.low:g} to {one.reference.high:g}"
            mark = "ok" if one.ok else "outside"
            lines.append(f"{one.reference.name:<15}{numbers}{one.count:>7}   {real:<15} {mark}")
        return "\n".join(lines)


def cohort_statistics(cases: Sequence[SimulatedCase]) -> CohortStatistics:
    """Measure a cohort against the reference ranges.

    Args:
        cases: simulated cases whose ``info`` holds ``medians`` (see :func:`tissue_medians`); without them only
            volumes are measured. Tumor volumes count cases in which the part exists.

    Raises:
        ValueError: no case.
    """
    if not cases:
        raise ValueError("Statistics of a cohort need at least one case.")
    rows = [_measure_case(case) for case in cases]
    measures = []
    for reference in REFERENCES:
        values = [row[reference.name] for row in rows if reference.name in row]
        low, median, high = np.percentile(values, (5, 50, 95)) if values else (np.nan, np.nan, np.nan)
        measures.append(Measure(reference, float(median), float(low), float(high), len(values)))
    return CohortStatistics(len(cases), tuple(measures))


def bright_share(image: FloatArray, white: float, excluded: BoolArray) -> float:
    """Percent of the brain's voxels (not 0, not excluded) brighter than ``BRIGHT`` times ``white``."""
    inside = image[(image > 0) & ~excluded]
    return float(100.0 * (inside > BRIGHT * white).mean()) if inside.size else 0.0


def _measure_case(case: SimulatedCase) -> dict[str, float]:
    found: dict[str, float] = {}
    for sequence, medians in case.info.get("medians", {}).items():
        white = medians.get("white")
        if not white:
            continue
        found |= {f"{sequence} {tissue}": value / white for tissue, value in medians.items()}
        if sequence == "t1ce":
            found["t1ce bright %"] = bright_share(case.images[sequence], white, case.labels > 0)
    voxel_ml = abs(float(np.linalg.det(case.affine[:3, :3]))) / 1000.0
    brain = next(iter(case.images.values())) > 0
    found["brain mL"] = float(brain.sum()) * voxel_ml
    found |= {f"{part} mL": volume for part, volume in case.info.get("volumes_ml", {}).items() if volume > 0}
    return found
