"""Where a volume lies in the world, and how it gets to the worker.

A volume's own IJK-to-RAS matrix says nothing about the transforms it hangs under. Everything here
works in world space: linear parent transforms are part of the matrix, others are refused.
All coordinates are RAS in mm.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from DMAFSegmentLib import tr as _

Node = Any  # a vtkMRMLNode; the wrapped classes have no usable type information
_WRITABLE_TYPES = (vtk.VTK_UNSIGNED_CHAR, vtk.VTK_SHORT, vtk.VTK_UNSIGNED_SHORT, vtk.VTK_INT, vtk.VTK_FLOAT)
_MIN_STEP_MM = 1e-6
_SAME_VOXELS = 0.01
_MIN_SPAN = 1e-3  # volume of the cell relative to a box of the same sides
_UNIT_CORNERS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))


class GeometryError(ValueError):
    """A volume whose position cannot be used; the message says which and what to do."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxel grid in the world: ``shape`` (I, J, K) and the 4x4 matrix from IJK to RAS in mm."""

    shape: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    @property
    def axes(self) -> np.ndarray:
        """Columns are the steps of one voxel along I, J and K, in mm."""
        return self.ijk_to_ras[:3, :3]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(abs(np.linalg.det(self.axes))) / 1000.0

    def corners(self) -> np.ndarray:
        """The 8 outer corners of the volume (8, 3), half a voxel beyond the outer voxel centers."""
        ijk = _UNIT_CORNERS * np.array(self.shape) - 0.5
        return ijk @ self.axes.T + self.ijk_to_ras[:3, 3]


def parent_matrix(node: Node) -> np.ndarray:
    """4x4 matrix from the node's own space to the world; identity without a parent transform.

    Raises:
        GeometryError: a parent transform is not linear.
    """
    parent = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    if parent is not None:
        if not parent.IsTransformToWorldLinear():
            raise GeometryError(
                _('"{volume}" is under a transform that is not linear. Harden the transform or remove it.').format(
                    volume=node.GetName()
                )
            )
        parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def volume_grid(node: Node) -> Grid:
    """Grid of a scalar volume in the world, parent transforms included.

    Raises:
        GeometryError: the volume holds no image, is flat in space, or hangs under a transform that is not linear.
    """
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise GeometryError(_('"{volume}" holds no image. Choose another volume.').format(volume=node.GetName()))
    local = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(local)
    matrix = parent_matrix(node) @ slicer.util.arrayFromVTKMatrix(local)
    i, j, k = image.GetDimensions()
    grid = Grid((i, j, k), matrix)
    if not _has_volume(grid.axes):
        text = _('"{volume}" has no thickness along one of its axes. Correct its spacing or the transform above it.')
        raise GeometryError(text.format(volume=node.GetName()))
    return grid


def _has_volume(axes: np.ndarray) -> bool:
    """Do the steps along I, J and K span space? Sheared axes do, as long as they are not almost in one plane."""
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(axes).all() or lengths.min() < _MIN_STEP_MM:
        return False
    return bool(abs(np.linalg.det(axes / lengths)) > _MIN_SPAN)


def volume_array(node: Node) -> np.ndarray:
    """Copy of the voxels, indexed [k, j, i]; safe to keep after the node changes."""
    return np.array(slicer.util.arrayFromVolume(node))


def overlap(first: Grid, second: Grid) -> bool:
    """Do two volumes share any space? Exact for boxes of any orientation or shear.

    Two convex bodies are apart when one of a few directions separates their shadows (separating
    axis theorem): the face normals of both, and the cross products of their edges.
    """
    faces = [np.linalg.inv(grid.axes) for grid in (first, second)]
    crossed = [np.cross(a, b) for a in first.axes.T for b in second.axes.T]
    directions = np.vstack([*faces, *crossed])
    lengths = np.linalg.norm(directions, axis=1)
    directions = directions[lengths > 1e-6 * lengths.max()]
    a, b = directions @ first.corners().T, directions @ second.corners().T
    apart = (a.max(axis=1) <= b.min(axis=1)) | (b.max(axis=1) <= a.min(axis=1))
    return not bool(apart.any())


def same_grid(first: Grid, second: Grid) -> bool:
    """Are the voxels of two volumes at the same places, to a hundredth of a voxel?"""
    tolerance = _SAME_VOXELS * np.linalg.norm(first.axes, axis=0).min()
    return first.shape == second.shape and bool(np.abs(first.corners() - second.corners()).max() <= tolerance)


def export_volume(node: Node, path: Path) -> None:
    """Write a volume where it lies in the world, as uncompressed NRRD (fast, keeps any direction).

    Raises:
        GeometryError: the volume has no usable grid, or the file could not be written.
    """
    grid = volume_grid(node)
    placed = slicer.vtkMRMLScalarVolumeNode()  # outside the scene: nothing flickers, nothing to clean up
    placed.SetAndObserveImageData(_writable_image(node.GetImageData()))
    placed.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(grid.ijk_to_ras))
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetUseCompression(False)
    storage.SetFileName(str(path))
    if not storage.WriteData(placed) or not path.is_file():
        raise GeometryError(
            _('"{volume}" could not be written to {path}. Check the free disk space of that folder.').format(
                volume=node.GetName(), path=path
            )
        )


def _writable_image(image: Any) -> Any:
    """The image, or a double copy when the writer does not know its type (signed char, long)."""
    if image.GetScalarType() in (*_WRITABLE_TYPES, vtk.VTK_DOUBLE):
        return image
    cast = vtk.vtkImageCast()
    cast.SetInputData(image)
    cast.SetOutputScalarTypeToDouble()
    cast.Update()
    return cast.GetOutput()
