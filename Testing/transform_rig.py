"""A movement that is easy to follow by hand, and where nodes lie under transforms."""

from __future__ import annotations

import slicer
import vtk

QUARTER = [[0, -1, 0, 10], [1, 0, 0, 20], [0, 0, 1, 30], [0, 0, 0, 1]]
"""Turns x to y, then moves by 10, 20, 30 mm: the point (1, 2, 3) goes to (8, 21, 33)."""


def rows(matrix):
    return tuple(tuple(map(float, row)) for row in matrix)


def shift(x, y, z):
    return [[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, z], [0, 0, 0, 1]]


def world(node, point):
    """Where a node puts a point of its own space, by MRML."""
    transform, placed = vtk.vtkGeneralTransform(), [0.0, 0.0, 0.0]
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, transform)
    transform.TransformPoint(point, placed)
    return placed
