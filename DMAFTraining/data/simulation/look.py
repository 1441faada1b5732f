"""From which ranges contrast, resolution and shape are drawn: those of training, and ranges that training never shows.

A network that is only judged on cases drawn like its training cases looks better than it is: scanners, protocols and
tumors out there differ from any simulator. The shifted look draws the quantities listed here beside the ranges of
training, below or above them, and everything else as in training. It is for validation and test cases only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Range = tuple[float, float]
Protocol = tuple[Range, Range]
"""Brightness of gray matter and of fluid, white matter = 1."""


@dataclass(frozen=True)
class Look:
    """Ranges that a cohort is drawn from.

    Attributes:
        protocols: two ways to take each sequence.
        thick_share: share of the simulated scans with thick slices.
        thick: thickness of those in mm.
        blur: standard deviation of the blur of other scans in mm.
        rough: how irregular the growth of a core is.
        lobes: number of lumps that a core grows from, the first and the last.
    """

    protocols: Mapping[str, tuple[Protocol, Protocol]]
    thick_share: float
    thick: Range
    blur: Range
    rough: Range
    lobes: tuple[int, int]


TRAINING = Look(
    # For T1 an inversion-prepared gradient echo and a spin echo, for FLAIR and T2 a short and a long echo time.
    protocols={
        "t1": (((0.64, 0.82), (0.03, 0.18)), ((0.80, 0.92), (0.06, 0.30))),
        "t1ce": (((0.68, 0.84), (0.03, 0.18)), ((0.83, 0.96), (0.06, 0.30))),
        "flair": (((0.98, 1.14), (0.08, 0.32)), ((1.10, 1.34), (0.12, 0.40))),
        "t2": (((1.03, 1.25), (2.8, 4.1)), ((1.2, 1.5), (2.6, 3.9))),
    },
    thick_share=0.35,
    thick=(3.0, 6.0),
    blur=(0.1, 1.2),
    rough=(0.35, 1.2),
    lobes=(1, 7),
)
SHIFTED = Look(
    protocols={
        "t1": (((0.54, 0.62), (0.005, 0.025)), ((0.93, 0.98), (0.31, 0.42))),
        "t1ce": (((0.58, 0.66), (0.005, 0.025)), ((0.97, 1.02), (0.31, 0.42))),
        "flair": (((0.90, 0.97), (0.03, 0.07)), ((1.36, 1.50), (0.42, 0.55))),
        "t2": (((0.95, 1.02), (2.1, 2.5)), ((1.52, 1.75), (4.2, 5.0))),
    },
    thick_share=0.6,
    thick=(6.2, 8.0),
    blur=(1.3, 1.8),
    rough=(1.3, 1.7),
    lobes=(8, 12),
)
LOOKS = {"training": TRAINING, "shifted": SHIFTED}
