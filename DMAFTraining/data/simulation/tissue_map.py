"""Tissue of a posed head on the output grid, with partial volume."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import PARENCHYMA, Tissue
from DMAFTraining.data.simulation.shape import Pose
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray

_SINUS_MM = 3.5


class TissueMap:
    """What each output voxel is made of.

    Attributes:
        pose: the pose it was sampled with.
        labels: values of :class:`Tissue` at the voxel centers, uint8 (X, Y, Z).
    """

    def __init__(self, tissue: LabelArray, pose: Pose) -> None:
        self.pose = pose
        self.labels = pose.sample_labels(tissue)
        self._sublabels = pose.sample_sublabels(tissue)

    def fraction(self, *tissues: Tissue) -> FloatArray:
        """Share of these tissues in each voxel, 0 to 1."""
        return self.paint(dict.fromkeys(tissues, 1.0))

    def paint(self, values: Mapping[Tissue, float]) -> FloatArray:
        """Image with the given value per tissue, mixed by partial volume; tissues not given count 0."""
        table = np.zeros(max(Tissue) + 1, np.float32)
        for tissue, value in values.items():
            table[tissue] = value
        total = np.zeros(self.labels.shape, np.float32)
        for labels in self._sublabels:
            total += table[labels]
        return total / np.float32(len(self._sublabels))

    def is_any(self, *tissues: Tissue) -> BoolArray:
        """Voxels whose center is one of these tissues."""
        table = np.zeros(max(Tissue) + 1, bool)
        table[list(tissues)] = True
        return table[self.labels]

    def distance_to(self, region: BoolArray) -> FloatArray:
        """Distance of each voxel to a region in mm; 0 inside it, a large number if it is empty."""
        if not region.any():
            return np.full(region.shape, 1e3, np.float32)
        return (ndimage.distance_transform_edt(~region) * self.pose.grid.spacing).astype(np.float32)


def skull_depth(labels: LabelArray, spacing: float) -> FloatArray:
    """Distance to dura or background in mm, 0 outside the brain."""
    inside = (labels > Tissue.BACKGROUND) & (labels < Tissue.DURA)
    return (ndimage.distance_transform_edt(inside) * spacing).astype(np.float32)


def brain_hull(labels: LabelArray, spacing: float, reach: float = 7.0) -> FloatArray:
    """Signed distance to a smooth hull around the brain tissue in mm, negative inside.

    Dural sinuses that touch the brain belong to it, as in most brain-extracted scans.

    Args:
        labels: values of :class:`Tissue` (X, Y, Z).
        spacing: voxel edge in mm.
        reach: half width in mm of the gaps (sulci, fissures) that count as inside.
    """
    brain = np.isin(labels, PARENCHYMA)
    distance = ndimage.distance_transform_edt(~brain) * spacing
    near = distance <= reach
    inner = ndimage.distance_transform_edt(near) * spacing
    hull = ndimage.binary_fill_holes(inner > reach)
    hull |= brain | ndimage.binary_dilation((labels == Tissue.SINUS) & (distance <= _SINUS_MM))
    outside = ndimage.distance_transform_edt(~hull)
    inside = ndimage.distance_transform_edt(hull)
    return np.asarray((outside - inside) * spacing, dtype=np.float32)


def largest_piece(mask: BoolArray) -> BoolArray:
    """The largest connected piece of a mask; the mask itself if it is empty."""
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return pieces == sizes.argmax()
