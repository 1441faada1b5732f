"""Names of array types, shared by the simulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
Matrix = NDArray[np.float64]
Shape = tuple[int, ...]
