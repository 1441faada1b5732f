"""Do the scans of a patient lie on each other already? Did a registration go well?"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from DMAFTraining.inference.geometry import Matrix, Volume
from DMAFTraining.inference.scans.coarse import content, content_ml, place, positions, shrunk
from DMAFTraining.inference.scans.registration import Part, moved, register_nearby
from DMAFTraining.inference.scans.similarity import Overlay
from DMAFTraining.inference.scans.start import motion
from DMAFTraining.inference.scans.verdict import Verdict

_BRAIN_AT_MOST = 0.75  # share of the voxels of a stripped scan; air that a scanner set to 0 leaves more
_SAME_BACKGROUND = 0.02  # share of the brain at which two zero backgrounds may differ
_APART_MM = 2.0
_CONTENT_MM = 8.0
_JUDGE_MM = 4.0
_COVERED = 0.4  # share of the smaller content that has to lie in the field of view of the other scan
_NUDGE = (6.0, 8.0)  # mm and degrees
_NUDGED = 0.85
_FAR = (20.0, 20.0)
_FAR_AWAY = 0.35


def are_aligned(
    volumes: Mapping[str, Volume], reference: str, on_progress: Callable[[float], None] = lambda _: None
) -> dict[str, Verdict]:
    """Whether each other scan lies on the reference as it is; by name, without the reference.

    The same grid and the same zero background settle it in milliseconds. Otherwise a registration starts where the
    headers place the scans, on coarse images: it stays there if they are right. That takes about a second for each
    scan; ``on_progress`` is told 0..1 meanwhile, and what it raises stops the work.

    Raises:
        GeometryError: a scan has next to nothing in it.
    """
    fixed, others = volumes[reference], [name for name in volumes if name != reference]
    verdicts = {}
    for n, name in enumerate(others):
        tell = Part(on_progress, n, len(others))
        tell(0.0)
        verdicts[name] = _is_aligned(volumes[name], fixed, reference, tell)
    return verdicts


def doubts(moving: Volume, fixed: Volume, moved_by: Matrix) -> str:
    """A sentence why the result of :func:`~DMAFTraining.inference.scans.registration.register` may be wrong, or "".

    Where two scans of a patient lie on each other, they tell much more about each other than after a movement of
    20 mm and 20 degrees, and clearly more than after one of 6 mm or 8 degrees.
    """
    pair = [shrunk(volume, _JUDGE_MM) for volume in (fixed, moved(moving, moved_by))]
    smaller, larger = sorted(pair, key=content_ml)
    overlay = Overlay(smaller, larger)
    here = overlay.similarity(np.eye(4))
    if overlay.covered(np.eye(4)) < _COVERED or here <= 0:
        return "The scans hardly lie on each other where the registration put them."
    center = overlay.points.mean(axis=0)
    nudged = max(overlay.similarity(motion(step, center)) for step in _nudges())
    if nudged > _NUDGED * here:
        mm, degrees = _NUDGE
        return (
            f"The scans may fit better elsewhere: moved by {mm:g} mm or {degrees:g} degrees they keep "
            f"{nudged / here:.0%} of their similarity (at most {_NUDGED:.0%} is expected)."
        )
    far = float(np.mean([overlay.similarity(motion(step, center)) for step in _far_steps()]))
    if far > _FAR_AWAY * here:
        return (
            f"The scans hardly resemble each other: far apart they keep {far / here:.0%} of their similarity "
            f"(at most {_FAR_AWAY:.0%} is expected)."
        )
    return ""


def _is_aligned(moving: Volume, fixed: Volume, reference: str, on_progress: Callable[[float], None]) -> Verdict:
    if moving.grid.same_as(fixed.grid) and _same_background(moving, fixed):
        return Verdict(True, f"It has the grid and the zero background of {reference}.")
    if doubts(moving, fixed, np.eye(4)):
        return Verdict(False, f"It does not fit {reference} where its header places it.")
    distance = _mean_distance(fixed, register_nearby(moving, fixed, on_progress))
    if distance > _APART_MM:
        return Verdict(False, f"It lies {distance:.1f} mm off {reference} (more than {_APART_MM:g}).")
    return Verdict(True, f"It lies {distance:.1f} mm off {reference} (not more than {_APART_MM:g}).")


def _same_background(moving: Volume, fixed: Volume) -> bool:
    """Both show a brain on exact zeros, and nearly the same voxels of it."""
    brains = [volume.array != 0 for volume in (moving, fixed)]
    counts = [int(np.count_nonzero(brain)) for brain in brains]
    if max(counts) > _BRAIN_AT_MOST * fixed.array.size:
        return False
    return int(np.count_nonzero(brains[0] != brains[1])) <= _SAME_BACKGROUND * min(counts)


def _mean_distance(fixed: Volume, moved_by: Matrix) -> float:
    """How far a movement carries the contents of a scan on average, in mm."""
    coarse = shrunk(fixed, _CONTENT_MM)
    points = positions(content(coarse), coarse.grid)
    return float(np.linalg.norm(place(moved_by, points) - points, axis=1).mean())


def _nudges() -> list[tuple[float, ...]]:
    """Parameters of small movements: along and about each axis, to both sides."""
    mm, degrees = _NUDGE
    steps = np.diag([degrees] * 3 + [mm] * 3)
    return [tuple(sign * step) for step in steps for sign in (1, -1)]


def _far_steps() -> list[tuple[float, ...]]:
    """Parameters of large movements: all axes at once, in all directions."""
    mm, degrees = _FAR
    signs = itertools.product((1, -1), repeat=3)
    return [(*(degrees * s for s in sign), *(mm * s for s in sign)) for sign in signs]
