"""How bright tissue around the brain is in each sequence, relative to the median of the brain.

Round figures after textbook contrast (fat and marrow bright on T1, cortical bone without signal everywhere, muscle
between, fluid bright on T2 and dark on FLAIR): for a test of head scans, not a simulation of physics.
"""

from __future__ import annotations

import numpy as np

from DMAFTraining.benchmarking.scans_head import FLUID, Head
from DMAFTraining.data.simulation.types import FloatArray

SEQUENCES = ("t1", "t1ce", "flair", "t2")
"""The columns below; a sequence of another name looks like the first."""

SOFT = 507
"""Label value of muscle and fat, which the label maps do not tell apart."""
_LOOKS: dict[int, tuple[float, float, float, float]] = {
    0: (0.0, 0.0, 0.0, 0.0),  # air
    FLUID: (0.25, 0.25, 0.25, 2.3),
    502: (0.4, 1.6, 0.3, 0.3),  # artery
    506: (0.25, 0.25, 0.3, 2.3),  # eye
    SOFT: (0.6, 0.7, 0.45, 0.4),  # muscle; fat is mixed in
    508: (0.6, 0.8, 0.45, 0.4),  # muscles of the eye
    509: (0.7, 1.3, 0.8, 1.3),  # mucosa
    511: (0.9, 1.0, 0.7, 0.7),  # skin
    512: (1.0, 1.0, 1.0, 1.0),  # spinal cord
    514: (0.6, 1.8, 0.4, 0.5),  # vein, sinus
    515: (0.1, 0.1, 0.1, 0.1),  # cortical bone
    516: (1.3, 1.3, 0.8, 0.9),  # marrow
    530: (0.9, 0.9, 0.9, 0.9),  # optic nerve
}
_FAT = (1.6, 1.5, 1.0, 1.2)
_BLUR_MM = 0.7
_TEXTURE = 0.08


def paint_head(head: Head, sequence: str) -> FloatArray:
    """Brightness ``(I, J, K)`` of the head around the brain; the median of the brain is 1, the brain itself is 0.

    The head's texture and its mixture of fat and muscle are the same in every sequence.
    """
    column = SEQUENCES.index(sequence) if sequence in SEQUENCES else 0
    table = np.zeros(max(_LOOKS) + 1, np.float32)
    for value, looks in _LOOKS.items():
        table[value] = looks[column]
    image = table[head.tissue]
    soft = head.tissue == SOFT
    image[soft] += head.fat[soft] * (_FAT[column] - table[SOFT])
    image *= 1 + _TEXTURE * head.texture
    return np.where(head.brain, 0, head.soften(np.maximum(image, 0), _BLUR_MM)).astype(np.float32)
