"""What a pixel of a simulated chest can be made of, and how a label file spells the parts of the heart."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Tissue(IntEnum):
    """Everything with a brightness of its own."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    MARROW = 4
    LIVER = 5
    SPLEEN = 6
    STOMACH = 7
    VESSEL = 8
    FLUID = 9
    LEFT_BLOOD = 10
    RIGHT_BLOOD = 11
    MYOCARDIUM = 12
    EDEMA = 13
    SCAR = 14
    OBSTRUCTION = 15
    SHELL = 16


class Part(IntEnum):
    """Values of a MyoPS 2020 label file; microvascular obstruction belongs to the scar."""

    BACKGROUND = 0
    NORMAL = 200
    LEFT = 500
    RIGHT = 600
    EDEMA = 1220
    SCAR = 2221


WALL = (Part.NORMAL, Part.EDEMA, Part.SCAR)
"""The parts that the wall of the left ventricle is made of."""

PartArray = NDArray[np.int16]
