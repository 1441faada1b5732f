"""Where a registration starts: every rotation and shift of a coarse grid is tried.

Mutual information leads to its maximum from some 8 mm and 8 degrees away only (measured on heads against stripped
brains of another contrast), so a few guesses are not enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.spatial.transform import Rotation

from DMAFTraining.inference.geometry import Matrix, Volume
from DMAFTraining.inference.scans.coarse import comparable, content, place, positions, shrunk
from DMAFTraining.inference.scans.similarity import Overlay, binned, normalized_information, trusted

_TRIAL_MM = 6.0
_TRIAL_BINS = 12
_TRIAL_PLACES = 2500
_ANGLES = (-30.0, -15.0, 0.0, 15.0, 30.0)  # degrees about each axis
_LARGEST_ANGLE = 32.0
_REACH_CONTENT = 5  # coarse voxels to each side of contents laid on each other
_REACH_HEADER = 3  # coarse voxels to each side of where the headers place the scans
_APART_MM = 10.0
_APART_DEGREES = 10.0
_KEPT = 12
_KEPT_IMPROVED = 4
_IMPROVE_BINS = 16
_IMPROVE = {"xtol": 0.5, "ftol": 1e-3, "maxiter": 2}
_JUDGE_MM = 4.0
_SEED = 0


class Trial(NamedTuple):
    """A motion and how well two scans fit with it: angles in degrees about x, y, z, then a shift in mm."""

    score: float
    parameters: tuple[float, ...]


def best_start(fixed: Volume, moving: Volume, on_progress: Callable[[float], None]) -> Matrix:
    """A motion, right to some millimeters, that takes RAS points of ``fixed`` to those of ``moving``.

    The best of all trials that differ from each other are improved, and the finer images decide between them.
    """
    coarse, other = shrunk(fixed, _TRIAL_MM), shrunk(moving, _TRIAL_MM)
    center = positions(content(coarse), coarse.grid).mean(axis=0)
    trials = _different(_trials(coarse, other, center, lambda fraction: on_progress(0.5 * fraction)))
    overlay = Overlay(coarse, other, _IMPROVE_BINS)
    improved = []
    for n, trial in enumerate(trials):
        on_progress(0.5 + 0.4 * n / len(trials))
        improved.append(_improve(trial, overlay, center))
    on_progress(0.9)
    judge = Overlay(shrunk(fixed, _JUDGE_MM), shrunk(moving, _JUDGE_MM))
    best = max(sorted(improved, reverse=True)[:_KEPT_IMPROVED], key=lambda t: judge.score(motion(t.parameters, center)))
    return motion(best.parameters, center)


def motion(parameters: tuple[float, ...], center: Matrix) -> Matrix:
    """4x4 matrix of a rotation about a center (three angles in degrees) and a shift (mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", parameters[:3], degrees=True).as_matrix()
    matrix[:3, 3] = center + parameters[3:] - matrix[:3, :3] @ center
    return matrix


def _trials(fixed: Volume, moving: Volume, center: Matrix, on_progress: Callable[[float], None]) -> list[Trial]:
    """For each rotation, the best shift around two guesses: content on content, and what the headers say."""
    shifts = _Shifts(fixed, moving)
    goals = ((positions(content(moving), moving.grid).mean(axis=0), _REACH_CONTENT), (center, _REACH_HEADER))
    rotations = [a for a in itertools.product(_ANGLES, repeat=3) if np.linalg.norm(a) <= _LARGEST_ANGLE]
    trials = []
    for n, (angles, (goal, reach)) in enumerate(itertools.product(rotations, goals)):
        on_progress(n / (len(goals) * len(rotations)))
        shift = tuple(goal - center)
        score, more = shifts.best(motion((*angles, *shift), center), reach)
        trials.append(Trial(score, (*angles, *(np.array(shift) + more))))
    return sorted(trials, reverse=True)


class _Shifts:
    """Similarities of two scans for all shifts by whole voxels at once, from the nearest voxels.

    The moving scan is surrounded by a bin of its own that stands for "outside" and is not counted.
    """

    def __init__(self, fixed: Volume, moving: Volume) -> None:
        where = comparable(fixed, moving)
        points, bins = positions(where, fixed.grid), binned(fixed, where, _TRIAL_BINS)[where]
        chosen = np.random.default_rng(_SEED).permutation(len(points))[:_TRIAL_PLACES]
        self._points, self._fixed = points[chosen], bins[chosen]
        self._margin = _REACH_CONTENT + 1
        inner = binned(moving, content(moving), _TRIAL_BINS)
        padded = np.pad(inner, self._margin + _REACH_CONTENT, constant_values=_TRIAL_BINS)
        self._size = np.array(inner.shape)
        self._strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
        self._moving = padded.ravel()
        self._grid = moving.grid

    def best(self, matrix: Matrix, reach: int) -> tuple[float, Matrix]:
        """Best score of a motion followed by a shift of up to ``reach`` voxels along each axis; the shift in mm."""
        index = np.rint(place(np.linalg.inv(self._grid.ijk_to_ras) @ matrix, self._points)).astype(np.intp)
        # A place further out than the margin is outside for all shifts.
        index = np.clip(index, -self._margin, self._size - 1 + self._margin) + self._margin + _REACH_CONTENT
        start = index @ self._strides
        scores, shifts = [], []
        for plane in self._planes(reach):
            counts = self._counts(start, plane @ self._strides)
            covered = counts.sum(axis=(1, 2)) / len(start)
            scores.append(normalized_information(counts) * trusted(covered))
            shifts.append(plane)
        best = int(np.argmax(np.concatenate(scores)))
        return float(np.concatenate(scores)[best]), self._grid.ijk_to_ras[:3, :3] @ np.concatenate(shifts)[best]

    @staticmethod
    def _planes(reach: int) -> Iterator[NDArray[np.intp]]:
        """Shifts ``(N, 3)`` in voxels, plane by plane: few enough to be held at once."""
        steps = np.arange(-reach, reach + 1)
        for i in steps:
            yield np.array([(i, j, k) for j in steps for k in steps])

    def _counts(self, start: NDArray[np.intp], shifts: NDArray[np.intp]) -> NDArray[np.intp]:
        """Joint histogram ``(len(shifts), bins, bins)`` for each shift of the places."""
        shape = (len(shifts), _TRIAL_BINS, _TRIAL_BINS + 1)
        codes = self._moving[start + shifts[:, None]]
        codes += self._fixed * shape[2] + np.arange(len(shifts))[:, None] * shape[1] * shape[2]
        return np.bincount(codes.ravel(), minlength=int(np.prod(shape))).reshape(shape)[:, :, :_TRIAL_BINS]


def _different(trials: list[Trial]) -> list[Trial]:
    """The best trials, none of them close to a better one."""
    kept: list[Trial] = []
    for trial in trials:
        if len(kept) == _KEPT:
            break
        if not any(_close(trial, better) for better in kept):
            kept.append(trial)
    return kept


def _close(a: Trial, b: Trial) -> bool:
    difference = np.subtract(a.parameters, b.parameters)
    near = np.linalg.norm(difference[3:]) < _APART_MM
    return bool(near and np.linalg.norm(difference[:3]) < _APART_DEGREES)


def _improve(trial: Trial, overlay: Overlay, center: Matrix) -> Trial:
    """Climb from a trial to a maximum nearby (Powell's method)."""
    found = optimize.minimize(
        lambda parameters: -overlay.score(motion(tuple(parameters), center)),
        np.array(trial.parameters),
        method="Powell",
        options=_IMPROVE,
    )
    return Trial(-float(found.fun), tuple(found.x))
