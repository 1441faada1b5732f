"""Do the probabilities of a region mean what they say?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Error of probabilities; 0 is best, None where there is no voxel to judge.

    Attributes:
        ece: expected calibration error: voxels go into 15 equal bins by the probability of the region;
            the distance between mean probability and share of the region, averaged over voxels.
        brier: mean squared distance between probability and truth (0 or 1).
    """

    ece: float | None = None
    brier: float | None = None


def class_shares(classes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities that sum to 1, from those of a model that need not, as at the rim of the brain.

    Args:
        classes: ``(K, *S)``, background first. Where all are 0, the model says background.
    """
    total = classes.sum(axis=0)
    shares = np.divide(classes, total, out=np.zeros_like(classes), where=total > 0)
    shares[0][total <= 0] = 1
    return shares


def calibration(probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> Calibration:
    """Calibration of the probability of a region in voxels ``(n,)`` against the truth there ``(n,)``."""
    if not probability.size:
        return Calibration()
    probability = probability.astype(np.float64)
    bins = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    expected = np.bincount(bins, weights=probability, minlength=BINS)
    found = np.bincount(bins, weights=truth, minlength=BINS)
    ece = np.abs(expected - found).sum() / probability.size
    return Calibration(float(ece), float(np.mean((probability - truth) ** 2)))
