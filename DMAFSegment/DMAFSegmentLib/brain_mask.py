"""A brain mask of the scene, label map or segmentation, and how it gets to the worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import GeometryError, Node, export_volume, volume_grid
from DMAFSegmentLib.label_map import merged_labels

MASK_CLASSES = ("vtkMRMLLabelMapVolumeNode", "vtkMRMLSegmentationNode")


def mask_problem(node: Node) -> str:
    """Why a node cannot be the brain mask; empty when it can, as far as that is known without its voxels."""
    try:
        if node.IsA("vtkMRMLSegmentationNode"):
            if node.GetSegmentation().GetNumberOfSegments() == 0:
                return _('The brain mask "{mask}" has no segment. Choose another one.').format(mask=node.GetName())
            return ""
        volume_grid(node)
    except GeometryError as error:
        return _("Brain mask: {problem}").format(problem=error)
    return ""


def export_node(node: Node, path: Path) -> None:
    """Write a volume as it is, or all segments of a segmentation as one mask, where it lies in the world.

    Raises:
        GeometryError: it has no usable grid, is empty, or the file could not be written.
    """
    export_volume(_as_volume(node) if node.IsA("vtkMRMLSegmentationNode") else node, path)


def _as_volume(segmentation: Node) -> Node:
    labels = merged_labels(segmentation)
    mask = labels.mask()
    if not mask.any():
        text = _('The brain mask "{mask}" is empty. Choose another one.')
        raise GeometryError(text.format(mask=segmentation.GetName()))
    volume = slicer.vtkMRMLLabelMapVolumeNode()  # outside the scene
    slicer.util.updateVolumeFromArray(volume, mask.astype(np.uint8))
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(labels.ijk_to_ras))
    volume.SetName(segmentation.GetName())
    return volume
