"""How much one image tells about another one at the same place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.geometry import Matrix, Volume
from DMAFTraining.inference.scans.coarse import Mask, comparable, content, place, positions, shrunk

_COARSE_MM = 4.0
_BINS = 32
_PERCENT = (0.5, 99.5)
_EDGE = 0.5  # voxels around the outermost centers that still belong to an image
_FEW = 500  # places; a histogram of fewer says nothing
_COVERED = 0.85  # share of the places from which on a field of view is as good as a full one


def similarity(moving: Volume, fixed: Volume) -> float:
    """Normalized mutual information of two images as their headers place them, on a coarse grid.

    0: neither tells anything about the other (or they do not overlap); 1: each follows from the other.
    """
    return Overlay(shrunk(fixed, _COARSE_MM), shrunk(moving, _COARSE_MM)).similarity(np.eye(4))


class Overlay:
    """Two scans laid on each other with any motion between them.

    They are compared at the centers of those voxels of ``fixed`` that tell something.

    Args:
        fixed: the scan that is looked at, coarse.
        moving: the scan that is laid on it, coarse.
        bins: of intensity.
    """

    def __init__(self, fixed: Volume, moving: Volume, bins: int = _BINS) -> None:
        where = comparable(fixed, moving)
        self.points = positions(where, fixed.grid)
        self._bins = bins
        self._fixed = binned(fixed, content(fixed), bins)[where]
        self._moving = scaled(moving, content(moving), bins)
        self._ras_to_ijk = np.linalg.inv(moving.grid.ijk_to_ras)

    def similarity(self, motion: Matrix) -> float:
        """Normalized mutual information where both scans have voxels.

        Args:
            motion: 4x4, takes an RAS point of the fixed scan to the one of the moving scan that is laid on it.
        """
        index = place(self._ras_to_ijk @ motion, self.points).T
        inside = self._inside(index)
        if np.count_nonzero(inside) < _FEW:
            return 0.0
        values = ndimage.map_coordinates(self._moving, index[:, inside], order=1, mode="nearest")
        pairs = self._fixed[inside] * self._bins + np.rint(values).astype(np.intp)
        counts = np.bincount(pairs, minlength=self._bins**2).reshape(1, self._bins, self._bins)
        return float(normalized_information(counts)[0])

    def covered(self, motion: Matrix) -> float:
        """Share of the places that lie in the field of view of the moving scan."""
        inside = self._inside(place(self._ras_to_ijk @ motion, self.points).T)
        return np.count_nonzero(inside) / max(1, inside.size)

    def score(self, motion: Matrix) -> float:
        """The similarity, less where the field of view of the moving scan covers little of the places."""
        return self.similarity(motion) * float(trusted(np.array(self.covered(motion))))

    def _inside(self, index: Matrix) -> Mask:
        """Which of the voxel indices ``(3, N)`` the moving scan has."""
        last = np.array(self._moving.shape)[:, None] - 1
        return np.all((index >= -_EDGE) & (index <= last + _EDGE), axis=0)


def trusted(covered: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a similarity counts that was found on this share of the places: 0 to 1."""
    return np.minimum(1.0, covered / _COVERED)


def scaled(volume: Volume, where: Mask, bins: int) -> NDArray[np.float32]:
    """Intensities from 0 to ``bins - 1``; where the mask is set, a few extremes are cut off."""
    low, high = np.percentile(volume.array[where], _PERCENT) if where.any() else (0.0, 1.0)
    range_ = max(high - low, np.finfo(np.float32).tiny)
    return np.clip((volume.array - low) / range_ * (bins - 1), 0, bins - 1).astype(np.float32)


def binned(volume: Volume, where: Mask, bins: int) -> NDArray[np.intp]:
    """Number of the bin of each voxel, from 0 to ``bins - 1``."""
    return np.rint(scaled(volume, where, bins)).astype(np.intp)


def normalized_information(counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """``2 I(a, b) / (H(a) + H(b))`` of joint histograms ``(N, A, B)``: 0 to 1; 0 for empty ones."""
    total = np.maximum(counts.sum(axis=(1, 2)), 1)
    apart = _entropy(counts.sum(axis=1), total) + _entropy(counts.sum(axis=2), total)
    together = _entropy(counts.reshape(len(counts), -1), total)
    return np.where(apart > 0, 2 * (apart - together) / np.where(apart > 0, apart, 1), 0.0)


def _entropy(counts: NDArray[np.intp], total: NDArray[np.intp]) -> NDArray[np.float64]:
    """Entropy of each row of histograms ``(N, A)`` that sum to ``total``."""
    share = counts / total[:, None]
    return -(share * np.log(np.where(counts > 0, share, 1.0))).sum(axis=1)
