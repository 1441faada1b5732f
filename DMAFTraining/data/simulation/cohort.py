"""A cohort: as many simulated cases as wanted, each reachable by its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from DMAFTraining.data.simulation.anatomy import Anatomy
from DMAFTraining.data.simulation.background import Background, simulate_on_background
from DMAFTraining.data.simulation.case import SimulatedCase, simulate_case
from DMAFTraining.data.simulation.look import TRAINING, Look


class Cohort:
    """Cases drawn from anatomies and real backgrounds.

    Args:
        anatomies: tissue maps of one split.
        backgrounds: real scans; may be empty.
        seed: names the cohort; another seed is another cohort.
        background_fraction: share of the cases on real scans, 0 to 1.
        look: ranges of contrast, resolution and shape; real scans are drawn as in training always.

    Raises:
        ValueError: nothing to draw from, or a fraction outside 0 to 1.
    """

    def __init__(
        self,
        anatomies: Sequence[Anatomy],
        backgrounds: Sequence[Background] = (),
        seed: int = 0,
        background_fraction: float = 0.35,
        look: Look = TRAINING,
    ) -> None:
        if not anatomies and not backgrounds:
            raise ValueError("A cohort needs at least one anatomy or one background.")
        if not 0.0 <= background_fraction <= 1.0:
            raise ValueError(f"The background fraction is {background_fraction}; give a number from 0 to 1.")
        self._anatomies = list(anatomies)
        self._backgrounds = list(backgrounds)
        self._seed = seed
        self._fraction = background_fraction
        self._look = look

    def case(self, index: int, spacing: float = 2.0) -> SimulatedCase:
        """Case number ``index``; depends on seed, index and spacing only, not on what was drawn before."""
        rng = np.random.default_rng([self._seed, index])
        on_real = bool(self._backgrounds) and (not self._anatomies or rng.random() < self._fraction)
        if on_real:
            background = self._backgrounds[rng.integers(len(self._backgrounds))]
            case = simulate_on_background(background, rng, spacing)
        else:
            case = simulate_case(self._anatomies[rng.integers(len(self._anatomies))], rng, spacing, self._look)
        info = {"source": case.name, "real_background": on_real, "seed": self._seed, "index": index, **case.info}
        return replace(case, name=f"simulated-{self._seed}-{index:05d}", info=info)
