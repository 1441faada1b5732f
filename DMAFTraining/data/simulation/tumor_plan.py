"""What one simulated glioma shall be, drawn before it meets an anatomy.

The shares of kinds and the volumes follow what the BraTS training data are reported to hold
(Menze et al., IEEE TMI 34(10), 2015; Baid et al., arXiv:2107.02314); ranges are wide on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.look import TRAINING, Look

KINDS = {"ring": 0.68, "solid": 0.11, "plain": 0.17, "mimic": 0.04}
"""Share of each kind; ``mimic`` is no tumor, only something that a careless reader takes for one."""

LARGEST_WHOLE_ML = 200.0
_LARGEST_CORE_ML = 110.0
_LARGEST_SOLID_ML = 45.0
_LARGEST_PUSH_ML = 70.0


@dataclass(frozen=True)
class Wall:
    """How a core takes up contrast agent.

    Attributes:
        rim: mean thickness of the enhancing rim, mm.
        uneven: standard deviation of that thickness, mm; a large one makes knots and separate pockets.
        gaps: share of the surface without rim, 0 to 1.
        haze: width of the inner border, mm.
        ragged: thickness of tumor outside the rim that does not enhance, where it is thick, mm.
        septa: half width of enhancing sheets through the core, mm; 0 without.
    """

    rim: float
    uneven: float
    gaps: float
    haze: float
    ragged: float
    septa: float


@dataclass(frozen=True)
class Plan:
    """What one tumor shall be.

    Attributes:
        kind: ``ring`` (necrosis in an enhancing rim), ``solid`` (enhancing), ``plain`` (not enhancing) or
            ``mimic`` (no tumor: old lesions of white matter).
        core_ml, whole_ml: wanted volume of the core and of everything, mL.
        foci: number of large cores.
        satellites: number of small cores around the first one.
        lobes: number of lumps that a core grows from.
        rough: how irregular the growth of a core is, 0 for smooth to about 1.
        displacing: share of the core that pushes tissue aside; the rest replaces tissue.
        swelling: growth of edematous tissue, as a share of its volume.
        reach: distance over which the CSF spaces give way to the pressure, mm.
        wall: how the core enhances.
        fade: width of the outer border of the edema, mm.
        crosses: tumor and edema may reach the other hemisphere through white matter (butterfly glioma).
        blur: width of the transition between parts of the core, mm.
    """

    kind: str
    core_ml: float
    whole_ml: float
    foci: int
    satellites: int
    lobes: int
    rough: float
    displacing: float
    swelling: float
    reach: float
    wall: Wall
    fade: float
    crosses: bool
    blur: float

    @property
    def edema_ml(self) -> float:
        """Wanted volume of the edema, mL."""
        return self.whole_ml - self.core_ml

    @property
    def pushed_ml(self) -> float:
        """Volume by which the core pushes tissue aside, mL."""
        return min(self.displacing * self.core_ml, _LARGEST_PUSH_ML)

    @property
    def swollen_ml(self) -> float:
        """Volume that the edema adds to the tissue it is in, mL."""
        return self.edema_ml * self.swelling / (1.0 + self.swelling)


def draw_plan(rng: np.random.Generator, look: Look = TRAINING) -> Plan:
    """Draw a plan: whole tumor 1 to 200 mL, median about 90 mL, core mostly a third to a half of it."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    whole = float(np.clip(np.exp(rng.normal(np.log(88.0), 0.75)), 1.0, LARGEST_WHOLE_ML))
    core = float(
        np.clip(whole * _core_share(kind, rng), 0.05, _LARGEST_SOLID_ML if kind == "solid" else _LARGEST_CORE_ML)
    )
    if kind == "mimic":
        whole = core = 0.0
    infiltrates = kind == "plain"
    return Plan(
        kind=kind,
        core_ml=core,
        whole_ml=whole,
        foci=int(rng.choice([1, 2, 3], p=[0.88, 0.09, 0.03])),
        satellites=int(rng.choice([0, 1, 2, 4], p=[0.72, 0.14, 0.09, 0.05])),
        lobes=int(rng.integers(*look.lobes, endpoint=True)),
        rough=float(rng.uniform(*look.rough)),
        displacing=float(rng.uniform(0.05, 0.4) if infiltrates else rng.uniform(0.2, 0.8)),
        swelling=float(rng.uniform(0.03, 0.28)),
        reach=float(rng.uniform(6.0, 25.0)),
        wall=draw_wall(core, rng),
        fade=float(np.exp(rng.uniform(np.log(0.8), np.log(7.0)))),
        crosses=bool(rng.random() < 0.15),
        blur=float(rng.uniform(0.3, 1.2) * (2.0 if infiltrates else 1.0)),
    )


def _core_share(kind: str, rng: np.random.Generator) -> float:
    """Core volume over whole volume: a few with almost no core, a few with almost no edema."""
    extreme = rng.random()
    if extreme < 0.07:
        return float(rng.uniform(0.004, 0.05))
    if extreme < 0.17:
        return float(rng.uniform(0.85, 1.0))
    return float(rng.beta(2.0, 1.6) if kind == "plain" else rng.beta(2.4, 3.4))


def draw_wall(core_ml: float, rng: np.random.Generator) -> Wall:
    """Draw a thin, a thick or a knotty wall that fits a core of this volume."""
    radius = (3000.0 * core_ml / (4.0 * np.pi)) ** (1.0 / 3.0)
    style = rng.choice(["thin", "thick", "knotty"], p=[0.25, 0.40, 0.35])
    rim, uneven = {"thin": ((1.1, 2.8), 0.35), "thick": ((3.0, 9.0), 0.4), "knotty": ((2.5, 7.0), 0.9)}[style]
    # Walls of large cores are thicker, those of small ones fill them.
    thickness = float(np.clip(rng.uniform(*rim) * np.sqrt(radius / 18.0), 0.8, 0.6 * radius + 0.8))
    return Wall(
        rim=thickness,
        uneven=thickness * uneven * float(rng.uniform(0.5, 1.5)),
        gaps=float(rng.choice([0.0, rng.uniform(0.05, 0.5)], p=[0.55, 0.45])),
        haze=float(rng.uniform(0.5, 3.5)),
        ragged=float(rng.choice([0.0, rng.uniform(1.0, 8.0)], p=[0.55, 0.45])),
        septa=float(rng.choice([0.0, rng.uniform(0.6, 1.8)], p=[0.65, 0.35])),
    )
