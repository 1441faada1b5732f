"""The tissues of a head."""

from __future__ import annotations

from enum import IntEnum


class Tissue(IntEnum):
    """What a voxel is made of. Values from ``DURA`` on are outside the brain."""

    BACKGROUND = 0
    WHITE = 1
    GRAY = 2
    CSF = 3
    DEEP_GRAY = 4
    BRAINSTEM = 5
    CEREBELLUM_WHITE = 6
    CEREBELLUM_GRAY = 7
    VENTRICLE = 8
    CHOROID = 9
    SINUS = 10
    ARTERY = 11
    GLAND = 12
    FALX = 13
    DURA = 14
    BONE = 15
    MARROW = 16
    SCALP = 17
    SKIN = 18
    EYE = 19


FLUID = (Tissue.CSF, Tissue.VENTRICLE)
PARENCHYMA = (
    Tissue.WHITE,
    Tissue.GRAY,
    Tissue.DEEP_GRAY,
    Tissue.BRAINSTEM,
    Tissue.CEREBELLUM_WHITE,
    Tissue.CEREBELLUM_GRAY,
)
"""Tissues of the brain itself."""
