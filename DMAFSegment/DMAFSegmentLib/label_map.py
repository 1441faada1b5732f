"""A segmentation of the scene read back as one label map, edits by the user included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from DMAFSegmentLib.geometry import Node, parent_matrix


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels on the grid of the segmentation.

    Attributes:
        values: ``[k, j, i]``; 0 is nothing, n is the n-th of ``segments``.
        segments: IDs of the segments.
        ijk_to_ras: 4x4, from voxel to position in the world, in mm.
    """

    values: np.ndarray
    segments: tuple[str, ...]
    ijk_to_ras: np.ndarray

    def mask(self, segments: Iterable[str] | None = None) -> np.ndarray:
        """Where any of these segments is, or any at all."""
        if segments is None:
            return self.values > 0
        wanted = np.isin(["", *self.segments], list(segments))
        return wanted[self.values]


def merged_labels(segmentation: Node) -> LabelMap:
    """The segments of a segmentation node; where two overlap the later one counts.

    Raises:
        GeometryError: it hangs under a transform that is not linear.
    """
    identifiers = vtk.vtkStringArray()
    segmentation.GetSegmentation().GetSegmentIDs(identifiers)
    segments = tuple(identifiers.GetValue(index) for index in range(identifiers.GetNumberOfValues()))
    image = slicer.vtkOrientedImageData()
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    segmentation.GenerateMergedLabelmapForAllSegments(image, extent, None, identifiers)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_world = parent_matrix(segmentation) @ slicer.util.arrayFromVTKMatrix(matrix)
    to_world[:3, 3] += to_world[:3, :3] @ np.array(image.GetExtent()[::2])
    scalars = image.GetPointData().GetScalars()
    if scalars is None:
        return LabelMap(np.zeros((1, 1, 1), np.uint8), segments, to_world)
    shape = tuple(reversed(image.GetDimensions()))
    return LabelMap(vtk_to_numpy(scalars).reshape(shape).copy(), segments, to_world)
