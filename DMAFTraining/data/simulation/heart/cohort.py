"""A cohort of simulated hearts: as many as wanted, each reachable by its number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from DMAFTraining.data.simulation.heart.case import HeartCase, simulate_heart


class HeartCohort:
    """Hearts that one seed names; another seed is another cohort, with nobody in common.

    Args:
        seed: of everything that is drawn.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def case(self, index: int) -> HeartCase:
        """Case number ``index``; depends on seed and index only, not on what was drawn before."""
        case = simulate_heart(np.random.default_rng([self._seed, index]))
        info = {"seed": self._seed, "index": index, **case.info}
        return replace(case, name=f"simulated-{self._seed}-{index:05d}", info=info)
