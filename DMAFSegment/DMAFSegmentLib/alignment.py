"""The transforms that a run found between its scans: kept in its folder, put on the scans when asked, taken off again.

MRML moves a point ``x`` of a node by ``M x``, where M is the matrix *to parent* of the transform it hangs under; the
worker's matrices mean the same (from where a scan lies to where it belongs), so they are stored as they come. ITK's
files hold the inverse, which Slicer takes care of. The worker was given the places in the world, parent transforms
included: its matrix fits as long as a scan and the reference lie where they lay, and hang under nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import NATIVE, PREFIX, TRANSFORM, attribute, nodes_of_run
from DMAFSegmentLib.geometry import GeometryError, Node, volume_grid
from DMAFSegmentLib.scan_record import Movement

_MOVES, _ONTO = PREFIX + "Moves", PREFIX + "Onto"
_PLACES = "Places"
_TOLERANCE_MM = 0.01


def add_transform(scene: Any, name: str, matrix: Sequence[Sequence[float]], volume: Node, reference: Node) -> Node:
    """A linear transform in the scene that takes a volume, as it lies in the world now, onto the reference.

    ``matrix`` is 4x4, in RAS and mm. Nothing is moved.
    """
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(matrix, float)))
    node.SetNodeReferenceID(_MOVES, volume.GetID())
    node.SetNodeReferenceID(_ONTO, reference.GetID())
    places = [volume_grid(one).corners().tolist() for one in (volume, reference)]
    node.SetAttribute(PREFIX + _PLACES, json.dumps(places))
    return node


def movement(matrix: Sequence[Sequence[float]], volume: Node) -> Movement:
    """How far a matrix moves the middle of a volume, and how much it turns it."""
    m = np.array(matrix, float)
    middle = volume_grid(volume).corners().mean(axis=0)
    distance = np.linalg.norm(m[:3, :3] @ middle + m[:3, 3] - middle)
    # R has trace 1 + 2 cos(angle).
    angle = np.degrees(np.arccos(np.clip((np.trace(m[:3, :3]) - 1) / 2, -1.0, 1.0)))
    return Movement(float(distance), float(angle))


def transforms_of_run(scene: Any, run: str) -> list[Node]:
    """Transforms that a run found, in scene order."""
    return [node for node in nodes_of_run(scene, run) if attribute(node, "Kind") == TRANSFORM]


def put_on(scene: Any, run: str) -> list[str]:
    """Put the transforms of a run on its scans, in place of those of other runs.

    Returns:
        Why scans were left where they are, in sentences.
    """
    take_off(scene)
    reasons = []
    for transform in transforms_of_run(scene, run):
        reason = _obstacle(transform)
        if reason:
            reasons.append(reason)
            continue
        for node in _moved_by(scene, transform):
            node.SetAndObserveTransformNodeID(transform.GetID())
    return reasons


def take_off(scene: Any) -> None:
    """Take every transform of ours off the scans it was put on: they had none before."""
    for transform, node in _on(scene):
        if node in _moved_by(scene, transform):
            node.SetAndObserveTransformNodeID(None)


def run_put_on(scene: Any) -> str:
    """The run whose transforms are on its scans now; empty when there is none."""
    return next((attribute(t, "Run") for t, node in _on(scene) if t.GetNodeReference(_MOVES) is node), "")


def _on(scene: Any) -> list[tuple[Node, Node]]:
    """Transforms of ours, each with a node that hangs directly under it."""
    nodes = slicer.util.getNodesByClass("vtkMRMLTransformableNode", scene)
    pairs = [(node.GetParentTransformNode(), node) for node in nodes]
    return [(transform, node) for transform, node in pairs if attribute(transform, "Kind") == TRANSFORM]


def _moved_by(scene: Any, transform: Node) -> list[Node]:
    """The scan and the results that lie on its own grid."""
    volume = transform.GetNodeReference(_MOVES)
    results = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    native = [node for node in results if attribute(node, "Kind") == NATIVE]
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    return [volume, *(node for node in native if node.GetNodeReference(role) is volume)] if volume is not None else []


def _obstacle(transform: Node) -> str:
    """Why a transform cannot be put on its scan, in one sentence; empty when it can."""
    volume, reference = transform.GetNodeReference(_MOVES), transform.GetNodeReference(_ONTO)
    if volume is None or reference is None:
        return _('"{transform}": a scan of it is no longer in the scene.').format(transform=transform.GetName())
    if volume.GetParentTransformNode() is not None:
        text = _('"{volume}" is left where it is: you put it under a transform of your own ("{transform}").')
        return text.format(volume=volume.GetName(), transform=volume.GetParentTransformNode().GetName())
    for node, place in zip((volume, reference), _places(transform), strict=True):
        if not _lies_at(node, place):
            text = _('"{volume}" is left where it is: "{moved}" was moved since the run. Segment again.')
            return text.format(volume=volume.GetName(), moved=node.GetName())
    return ""


def _places(transform: Node) -> tuple[Any, Any]:
    """Corners of the scan and of the reference at the time of the run."""
    try:
        moving, onto = json.loads(attribute(transform, _PLACES))
    except ValueError:
        return None, None
    return moving, onto


def _lies_at(volume: Node, place: Any) -> bool:
    try:
        corners, known = volume_grid(volume).corners(), np.array(place, float)
    except (GeometryError, TypeError, ValueError):
        return False
    return known.shape == corners.shape and bool(np.abs(known - corners).max() <= _TOLERANCE_MM)
