"""MR contrast: mean brightness of tissues and tumor parts per sequence, relative to white matter.

The ranges follow published glioma appearance (Baid et al., arXiv:2107.02314; Menze et al., IEEE
TMI 34(10), 2015) and measured medians of healthy-looking tissue, and are wide on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from DMAFTraining.data.simulation.anatomy import Tissue
from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tumor import Tumor
from DMAFTraining.data.simulation.types import FloatArray

SEQUENCES = ("t1", "t1ce", "flair", "t2")

Range = tuple[float, float]

_GRAY: dict[str, Range] = {"t1": (0.70, 0.90), "t1ce": (0.76, 0.96), "flair": (0.98, 1.32), "t2": (1.03, 1.45)}
_FLUID: dict[str, Range] = {"t1": (0.10, 0.30), "t1ce": (0.10, 0.32), "flair": (0.13, 0.42), "t2": (2.2, 3.5)}
# Place of deep gray matter between white (0) and gray matter (1).
_DEEP: dict[str, Range] = {"t1": (0.3, 0.9), "t1ce": (0.3, 0.9), "flair": (0.1, 0.9), "t2": (-0.2, 0.7)}
# Relative to white matter (brain stem, cerebellar white) or to gray matter (cerebellar gray).
_STEM: dict[str, Range] = {"t1": (0.84, 1.05), "t1ce": (0.86, 1.08), "flair": (0.85, 1.25), "t2": (0.95, 1.35)}
_CEREBELLUM: dict[str, Range] = {"t1": (0.88, 1.1), "t1ce": (0.88, 1.12), "flair": (0.82, 1.15), "t2": (0.85, 1.15)}
_BORDER: dict[Tissue, dict[str, Range]] = {
    Tissue.CHOROID: {"t1": (0.4, 0.75), "t1ce": (0.9, 2.2), "flair": (0.7, 1.5), "t2": (1.6, 2.8)},
    Tissue.SINUS: {"t1": (0.3, 1.1), "t1ce": (1.2, 2.6), "flair": (0.3, 1.4), "t2": (0.2, 1.6)},
    Tissue.FALX: {"t1": (0.3, 0.7), "t1ce": (0.5, 1.6), "flair": (0.4, 1.2), "t2": (0.8, 2.2)},
    Tissue.DURA: {"t1": (0.3, 0.9), "t1ce": (0.6, 2.2), "flair": (0.4, 1.3), "t2": (0.4, 1.6)},
    Tissue.BONE: {"t1": (0.05, 0.5), "t1ce": (0.05, 0.6), "flair": (0.05, 0.4), "t2": (0.05, 0.5)},
    Tissue.SCALP: {"t1": (0.8, 2.0), "t1ce": (0.8, 2.2), "flair": (0.5, 1.6), "t2": (0.5, 1.8)},
}
_EDEMA: dict[str, Range] = {"t1": (0.72, 0.95), "t1ce": (0.74, 0.98), "flair": (1.4, 2.3), "t2": (1.5, 2.4)}
_NECROSIS: dict[str, Range] = {"t1": (0.42, 0.75), "t1ce": (0.38, 0.75), "flair": (0.6, 1.8), "t2": (1.6, 3.0)}
_ENHANCING: dict[str, Range] = {"t1": (0.7, 1.02), "t1ce": (1.25, 2.6), "flair": (1.1, 1.9), "t2": (1.2, 2.1)}
_PLAIN: dict[str, Range] = {"t1": (0.52, 0.9), "t1ce": (0.55, 0.92), "flair": (1.2, 2.3), "t2": (1.5, 2.9)}
_UNEVENNESS: dict[str, Range] = {"t1": (0.03, 0.12), "t1ce": (0.03, 0.12), "flair": (0.06, 0.25), "t2": (0.06, 0.22)}


@dataclass(frozen=True)
class Appearance:
    """Brightness of the tumor parts in one sequence (white matter = 1), and how uneven they are.

    Attributes:
        edema, core, enhancing: mean values; ``core`` is necrosis or non-enhancing tumor.
        unevenness: standard deviation of the core's texture.
        blood: value of bleeding spots inside the core, None without bleeding.
    """

    edema: float
    core: float
    enhancing: float
    unevenness: float
    blood: float | None


def draw_tissue(sequence: str, rng: np.random.Generator) -> dict[Tissue, float]:
    """Mean value of every tissue in one sequence, white matter = 1."""
    gray, fluid = rng.uniform(*_GRAY[sequence]), rng.uniform(*_FLUID[sequence])
    values = {
        Tissue.WHITE: 1.0,
        Tissue.GRAY: gray,
        Tissue.CSF: fluid,
        Tissue.VENTRICLE: fluid * rng.uniform(0.85, 1.1),
        Tissue.DEEP_GRAY: 1.0 + (gray - 1.0) * rng.uniform(*_DEEP[sequence]),
        Tissue.BRAINSTEM: rng.uniform(*_STEM[sequence]),
        Tissue.CEREBELLUM_WHITE: rng.uniform(*_CEREBELLUM[sequence]),
        Tissue.CEREBELLUM_GRAY: gray * rng.uniform(*_CEREBELLUM[sequence]),
    }
    values.update({tissue: rng.uniform(*ranges[sequence]) for tissue, ranges in _BORDER.items()})
    return values


def draw_appearance(kind: str, rng: np.random.Generator) -> dict[str, Appearance]:
    """Brightness of a tumor of this kind in every sequence; T1ce follows T1 where nothing enhances."""
    bleeds = kind != "plain" and rng.random() < 0.15
    blood: dict[str, Range] = {"t1": (1.1, 1.6), "t1ce": (1.1, 1.7), "flair": (0.5, 1.6), "t2": (0.4, 1.6)}
    core = _PLAIN if kind == "plain" else _NECROSIS
    found = {}
    for name in SEQUENCES:
        found[name] = Appearance(
            edema=rng.uniform(*_EDEMA[name]),
            core=rng.uniform(*core[name]),
            enhancing=rng.uniform(*_ENHANCING[name]),
            unevenness=rng.uniform(*_UNEVENNESS[name]),
            blood=rng.uniform(*blood[name]) if bleeds else None,
        )
    return _couple(found, rng)


def _couple(found: dict[str, Appearance], rng: np.random.Generator) -> dict[str, Appearance]:
    """Let T1ce repeat T1 for edema and core, apart from a small difference of the two scans."""
    plain, post = found["t1"], found["t1ce"]
    found["t1ce"] = Appearance(
        edema=plain.edema * rng.uniform(0.97, 1.06),
        core=plain.core * rng.uniform(0.9, 1.15),
        enhancing=post.enhancing,
        unevenness=plain.unevenness,
        blood=post.blood,
    )
    return found


@dataclass(frozen=True)
class Texture:
    """Random fields shared by the sequences of a case (X, Y, Z): the same tissue is uneven in all of them."""

    coarse: FloatArray
    middle: FloatArray
    fine: FloatArray


def draw_texture(grid: Grid, rng: np.random.Generator) -> Texture:
    """Random fields with blobs of about 25, 8 and 3 mm."""
    return Texture(grid.noise(25.0, rng), grid.noise(8.0, rng), grid.noise(3.0, rng))


def paint_tumor(
    image: FloatArray, tumor: Tumor, look: Appearance, texture: Texture, rng: np.random.Generator
) -> FloatArray:
    """Blend a tumor into an image whose white matter is 1; returns a new image."""
    signs = rng.choice([-1.0, 1.0], 3)
    mixed = (signs[0] * texture.coarse + signs[1] * texture.middle + 0.6 * signs[2] * texture.fine) / 1.54
    edema_value = look.edema + (look.edema - 1.0) * 0.22 * mixed
    # Some of the original structure shows through swollen tissue.
    weight = tumor.edema * rng.uniform(0.82, 1.0)
    result = image * (1.0 - weight) + edema_value * weight
    core_value = look.core * (1.0 + look.unevenness * mixed)
    if look.blood is not None:
        core_value = np.where(texture.middle + 0.5 * texture.fine > 1.3, look.blood, core_value)
    rim_value = 1.0 + (look.enhancing - 1.0) * np.clip(1.0 + 0.25 * mixed, 0.3, 2.0)
    value = core_value * (1.0 - tumor.enhancing) + rim_value * tumor.enhancing
    return np.clip(result * (1.0 - tumor.core) + value * tumor.core, 0.02, None).astype(np.float32)
