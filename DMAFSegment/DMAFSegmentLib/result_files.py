"""The files a worker writes, read back and checked against the volume they should lie on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node, volume_grid
from DMAFSegmentLib.protocol import ResultEvent

_TOLERANCE_VOXELS = 0.01


class ResultError(ValueError):
    """A result file that does not belong to the reference volume, or cannot be read."""


def read_label_map(event: ResultEvent, reference: Node, highest: int) -> np.ndarray:
    """Labels (K, J, I) uint8 of a result file, checked against the grid of the reference volume.

    Raises:
        ResultError: unreadable, another grid, or a value above ``highest``.
    """
    labels = _read(event.file, event.title, reference).astype(np.uint8)
    if labels.max(initial=0) > highest:
        raise ResultError(_("The result for {title} holds labels the model does not have.").format(title=event.title))
    return labels


def read_map(event: ResultEvent, name: str, reference: Node) -> np.ndarray:
    """A map (K, J, I) float32 beside the labels, such as ``"entropy"``, checked likewise.

    Raises:
        ResultError: unreadable, another grid, or values outside 0 to 1.
    """
    return read_values(event.maps[name], event.title, reference, 1).astype(np.float32)


def read_values(file: Path, title: str, reference: Node, highest: int) -> np.ndarray:
    """Values (K, J, I) of a map, checked against the grid of the reference volume; ``title`` is for messages.

    Raises:
        ResultError: unreadable, another grid, or values outside 0 to ``highest``.
    """
    values = _read(file, title, reference)
    if not (values.min(initial=0) >= 0 and values.max(initial=0) <= highest):
        text = _("The map for {title} holds values outside 0 to {highest}.")
        raise ResultError(text.format(title=title, highest=highest))
    return values


def _read(file: Path, title: str, reference: Node) -> np.ndarray:
    import SimpleITK as sitk  # takes a second to load: not while Slicer starts

    try:
        image = sitk.ReadImage(str(file))
    except RuntimeError as error:
        raise ResultError(_("The result for {title} could not be read.").format(title=title)) from error
    if not _on_grid(image, reference):
        raise ResultError(
            _('The result for {title} does not lie on the grid of "{volume}". Was the volume changed?').format(
                title=title, volume=reference.GetName()
            )
        )
    return sitk.GetArrayFromImage(image)


def _on_grid(image: Any, reference: Node) -> bool:
    """Has the image the size of the volume, and its first and last voxel at the same places?"""
    grid = volume_grid(reference)
    corner = np.array([image.TransformContinuousIndexToPhysicalPoint([s - 1.0 for s in grid.shape])])
    origin = np.array([image.GetOrigin()])
    found = np.vstack([origin, corner]) * (-1, -1, 1)  # files are LPS, Slicer is RAS
    ends = np.array([[0, 0, 0], np.array(grid.shape) - 1]) @ grid.axes.T + grid.ijk_to_ras[:3, 3]
    tolerance = _TOLERANCE_VOXELS * np.linalg.norm(grid.axes, axis=0).max()
    return bool(image.GetSize() == grid.shape and np.abs(found - ends).max() <= tolerance)
