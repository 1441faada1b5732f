"""A cohort of simulated hearts: as many as wanted, each reachable by its number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from DMAFTraining.data.simulation.heart.case import HeartCase, simulate_heart


class HeartCohort:
    """Hearts that one seed names; another seed is another cohort, with nobody in common.

    Args:
        seed: of everything that is drawn.
        pixel: side of a pixel in mm; default drawn for each case.
    """

    def __init__(self, seed: int = 0, pixel: float | None = None) -> None:
        self._seed = seed
        self._pixel = pixel

    def case(self, index: int) -> HeartCase:
        """Case number ``index``; depends on seed, index and pixel only, not on what was drawn before."""
        case = simulate_heart(np.random.default_rng([self._seed, index]), self._pixel)
        info = {"seed": self._seed, "index": index, **case.info}
        return replace(case, name=f"simulated-{self._seed}-{index:05d}", info=info)
