"""Thin parts of a head at 1 mm that decide how it looks: sulci, falx, tentorium, dura and dural sinuses."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

_CORTEX_MM = 2.4
_DEEPEST_CORTEX_MM = 8.0
_SHEET_MM = 1.2
_DEEP_SHEET_MM = 9.0
_CAVERNOUS_MM = 2


def add_membranes(tissue: LabelArray, left: BoolArray, right: BoolArray) -> None:
    """Add falx, tentorium, dura, and the sinuses if the map has none, in place.

    Args:
        tissue: values of :class:`Tissue` (X, Y, Z), 1 mm, axes to right, anterior, superior.
        left: cortex of the left hemisphere.
        right: cortex of the right hemisphere.
    """
    falx, tentorium = add_sheets(tissue, left, right)
    add_dura(tissue)
    if not (tissue == Tissue.SINUS).any():
        _add_sinuses(tissue, falx, tentorium)
    _add_skull_base(tissue)


def add_sheets(tissue: LabelArray, left: BoolArray, right: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Turn CSF between the hemispheres and above the cerebellum into ``FALX``, in place.

    Returns:
        The places of falx and tentorium, whatever tissue is there.
    """
    to_left, to_right = _distance(left), _distance(right)
    cerebellum = np.isin(tissue, (Tissue.CEREBELLUM_GRAY, Tissue.CEREBELLUM_WHITE))
    falx = _sheet(to_left, to_right)
    tentorium = _sheet(np.minimum(to_left, to_right), _distance(cerebellum))
    tissue[(falx | tentorium) & (tissue == Tissue.CSF)] = Tissue.FALX
    return falx, tentorium


def _distance(region: BoolArray) -> FloatArray:
    if not region.any():
        return np.full(region.shape, 1e3, np.float32)
    return ndimage.distance_transform_edt(~region).astype(np.float32)


def _sheet(to_one: FloatArray, to_other: FloatArray) -> BoolArray:
    """The sheet midway between two regions, from the distances to them."""
    return (np.abs(to_one - to_other) < _SHEET_MM) & (to_one < _DEEP_SHEET_MM)


def open_sulci(tissue: LabelArray, cortex: BoolArray) -> None:
    """Turn cortex that is farther from white matter than cortex is thick into CSF, one layer of it, in place.

    A label map often closes narrow sulci: there, the layer is the sheet between two touching banks.
    """
    depth = _distance(tissue == Tissue.WHITE)
    ridge = depth >= ndimage.maximum_filter(depth * cortex, 3) - 0.3
    tissue[cortex & ridge & (depth > _CORTEX_MM) & (depth < _DEEPEST_CORTEX_MM)] = Tissue.CSF


def add_dura(tissue: LabelArray) -> None:
    """Turn the outermost millimeter of CSF under the bone into ``DURA``, in place.

    A map without bone (a template) gets a dura and bone shell around its hull instead.
    """
    bone = tissue >= Tissue.BONE
    if bone.any():
        near = ndimage.binary_dilation(bone, ndimage.generate_binary_structure(3, 2))
        tissue[near & (tissue == Tissue.CSF)] = Tissue.DURA
        return
    outside = ndimage.distance_transform_edt(tissue == Tissue.BACKGROUND)
    tissue[(outside > 0) & (outside < 1.5)] = Tissue.DURA
    tissue[outside >= 1.5] = Tissue.BONE
    tissue[outside >= 7.0] = Tissue.SCALP


def _add_sinuses(tissue: LabelArray, falx: BoolArray, tentorium: BoolArray) -> None:
    """Sagittal, transverse and straight sinus where falx, tentorium and skull meet, in place."""
    ball = ndimage.generate_binary_structure(3, 1)
    skull = ndimage.binary_dilation(tissue >= Tissue.DURA, ball, iterations=3)
    falx, tentorium = (ndimage.binary_dilation(sheet, ball, iterations=2) for sheet in (falx, tentorium))
    front, height = (np.arange(size) for size in tissue.shape[1:])
    cortex = np.argwhere(tissue == Tissue.GRAY)
    if not len(cortex):
        return
    _, middle_y, middle_z = cortex.mean(axis=0)
    above = (height > middle_z)[None, None, :] | (front < middle_y)[None, :, None]
    behind = (front < middle_y)[None, :, None]
    found = (falx & skull & above) | (tentorium & skull & behind) | (falx & tentorium & behind)
    tissue[found & np.isin(tissue, (Tissue.CSF, Tissue.FALX, Tissue.DURA))] = Tissue.SINUS


def _add_skull_base(tissue: LabelArray) -> None:
    """Cavernous sinuses around the carotid arteries and the pituitary gland between them, in place."""
    arteries = np.argwhere(tissue == Tissue.ARTERY)
    if not len(arteries):
        return
    near = ndimage.binary_dilation(tissue == Tissue.ARTERY, iterations=_CAVERNOUS_MM)
    soft = np.isin(tissue, (Tissue.CSF, Tissue.DURA, Tissue.BONE, Tissue.MARROW, Tissue.SCALP))
    tissue[near & soft] = Tissue.SINUS
    axes = np.meshgrid(*(np.arange(size) for size in tissue.shape), indexing="ij", sparse=True)
    x, y, z = (axis - middle for axis, middle in zip(axes, np.median(arteries, axis=0), strict=True))
    gland = (x / 6.0) ** 2 + (y / 4.0) ** 2 + (z / 3.5) ** 2 < 1.0
    tissue[gland & soft] = Tissue.GLAND
