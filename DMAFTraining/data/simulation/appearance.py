"""Brightness of tumor parts per sequence, relative to white matter, and how they are painted.

The ranges follow published glioma appearance (Baid et al., arXiv:2107.02314; Menze et al., IEEE
TMI 34(10), 2015) and are wide on purpose. The sequences are coupled: T1ce repeats T1 where nothing
enhances; tissue with more water is brighter on T2 and darker on T1; solid tumor lies between white
matter and edema on T2 and FLAIR, and hardly below white matter on T1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from DMAFTraining.data.simulation.contrast import SEQUENCES, Texture
from DMAFTraining.data.simulation.look import Range
from DMAFTraining.data.simulation.tumor import Tumor
from DMAFTraining.data.simulation.types import FloatArray

_EDEMA: dict[str, Range] = {"t1": (0.97, 0.74), "flair": (1.4, 2.3), "t2": (1.6, 2.5)}
"""From little to much water."""
_NECROSIS: dict[str, Range] = {"t1": (0.86, 0.45), "flair": (0.75, 1.9), "t2": (1.5, 3.0)}
_CYST: dict[str, Range] = {"t1": (0.6, 0.22), "flair": (0.75, 0.25), "t2": (2.3, 3.3)}
# Place between white matter (0) and the edema of the same case (1).
_SOLID: dict[str, Range] = {"t1": (0.0, 0.9), "flair": (0.25, 0.95), "t2": (0.3, 0.95)}
_INFILTRATING: dict[str, Range] = {"t1": (0.2, 1.5), "flair": (0.5, 1.15), "t2": (0.6, 1.35)}
_ENHANCING: dict[str, Range] = {"t1": (0.1, 1.2), "flair": (0.2, 0.95), "t2": (0.15, 0.9)}
# A homogeneous tumor, bright on T2 and suppressed on FLAIR apart from its border (T2-FLAIR mismatch).
_MISMATCH: dict[str, Range] = {"t1": (0.6, 0.8), "flair": (0.7, 1.1), "t2": (1.9, 2.9)}
_BLOOD: dict[str, Range] = {"t1": (1.05, 1.7), "flair": (0.5, 1.7), "t2": (0.4, 1.6)}
_UNEVENNESS: dict[str, Range] = {"t1": (0.02, 0.09), "flair": (0.05, 0.22), "t2": (0.05, 0.2)}
_CYSTIC_SHARE, _MISMATCH_SHARE, _BLEEDING_SHARE, _FAINT_SHARE = 0.22, 0.2, 0.18, 0.15


@dataclass(frozen=True)
class Appearance:
    """Brightness of the tumor parts in one sequence (white matter = 1), and how uneven they are.

    Attributes:
        edema, necrosis, solid, enhancing: mean values; ``solid`` is tumor that does not enhance.
        unevenness: standard deviation of the texture of the core.
        patches: standard deviation of the brightness of what enhances, as a share of its contrast.
        blood: value of bleeding spots inside the core, None without bleeding.
        signs: which way each of the three textures goes.
    """

    edema: float
    necrosis: float
    solid: float
    enhancing: float
    unevenness: float
    patches: float
    blood: float | None
    signs: tuple[float, float, float]


def draw_appearance(kind: str, rng: np.random.Generator) -> dict[str, Appearance]:
    """Brightness of a tumor of this kind in every sequence; T1ce follows T1 where nothing enhances."""
    cavity = _CYST if kind == "mimic" or rng.random() < _CYSTIC_SHARE else _NECROSIS
    mismatch = kind == "plain" and rng.random() < _MISMATCH_SHARE
    bleeds = kind in ("ring", "solid") and rng.random() < _BLEEDING_SHARE
    water, fluid = rng.random(2)
    between = _INFILTRATING if kind == "plain" else _SOLID
    found = {}
    for name in SEQUENCES:
        if name == "t1ce":
            continue
        edema = _wet(_EDEMA[name], water, rng)
        found[name] = Appearance(
            edema=edema,
            necrosis=_wet(cavity[name], fluid, rng),
            solid=rng.uniform(*_MISMATCH[name]) if mismatch else 1.0 + (edema - 1.0) * rng.uniform(*between[name]),
            enhancing=1.0 + (edema - 1.0) * rng.uniform(*_ENHANCING[name]),
            unevenness=rng.uniform(*_UNEVENNESS[name]) * (0.4 if mismatch else 1.0),
            patches=0.25,
            blood=rng.uniform(*_BLOOD[name]) if bleeds else None,
            signs=tuple(rng.choice([-1.0, 1.0], 3)),
        )
    found["t1ce"] = _after_contrast(found["t1"], rng)
    return found


def _wet(ends: Range, water: float, rng: np.random.Generator) -> float:
    """A value between the dry and the wet end: mostly given by ``water``, for the rest at random."""
    return float(ends[0] + (ends[1] - ends[0]) * (0.6 * water + 0.4 * rng.random()))


def _after_contrast(plain: Appearance, rng: np.random.Generator) -> Appearance:
    """T1ce of what has this T1: a little different as a scan, much brighter where it enhances."""
    gain = rng.uniform(1.25, 1.5) if rng.random() < _FAINT_SHARE else rng.uniform(1.4, 2.8)
    return replace(
        plain,
        edema=plain.edema * rng.uniform(0.98, 1.04),
        necrosis=plain.necrosis * rng.uniform(0.96, 1.15),
        solid=plain.solid * rng.uniform(0.97, 1.08),
        enhancing=max(plain.enhancing, 0.9) * gain,
        patches=rng.uniform(0.12, 0.45),
        blood=None if plain.blood is None else plain.blood * rng.uniform(1.0, 1.1),
    )


def paint_tumor(
    image: FloatArray, tumor: Tumor, look: Appearance, texture: Texture, rng: np.random.Generator
) -> FloatArray:
    """Blend a tumor into an image whose white matter is 1; returns a new image (X, Y, Z)."""
    parts = zip(look.signs, (1.0, 1.0, 0.6), (texture.coarse, texture.middle, texture.fine), strict=True)
    mixed = sum(sign * weight * field for sign, weight, field in parts) / np.float32(1.54)
    # Some of the original structure shows through swollen tissue.
    weight = tumor.edema * rng.uniform(0.85, 1.0)
    result = image * (1.0 - weight) + (look.edema + (look.edema - 1.0) * 0.22 * mixed) * weight
    inside = look.necrosis + (look.solid - look.necrosis) * tumor.solid
    inside = inside * (1.0 + look.unevenness * mixed)
    if look.blood is not None:
        inside = np.where(texture.middle + 0.5 * texture.fine > 1.3, look.blood, inside)
    wall = 1.0 + (look.enhancing - 1.0) * np.clip(1.0 + look.patches * mixed, 0.3, 2.0)
    value = inside + (wall - inside) * tumor.enhancing
    return np.clip(result + (value - result) * tumor.core, 0.02, None).astype(np.float32)
