"""One folder of the subject hierarchy holds all that a run made: removing it undoes the run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import slicer
import vtk

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import PREFIX, attribute
from DMAFSegmentLib.geometry import Node

_RUN, _REFERENCE = PREFIX + "Run", PREFIX + "Reference"


class RunFolder:
    """The folder of one run, beside the reference volume, so under its study if it has one; made when needed."""

    def __init__(self, scene: Any, reference: Node, run: str) -> None:
        self._scene, self._reference, self._run = scene, reference, run
        self._item = 0

    def put(self, node: Node) -> None:
        """Move a node of the scene into the folder."""
        hierarchy = _hierarchy(self._scene)
        if not self._item:
            beside = hierarchy.GetItemByDataNode(self._reference)
            parent = hierarchy.GetItemParent(beside) if beside else hierarchy.GetSceneItemID()
            name = _("DMAF results {time}").format(time=datetime.now().astimezone().strftime("%H:%M:%S"))
            self._item = hierarchy.CreateFolderItem(parent, name)
            hierarchy.SetItemAttribute(self._item, _RUN, self._run)
        _move(hierarchy, node, self._item)
        node.SetNodeReferenceID(_REFERENCE, self._reference.GetID())


def put_beside(scene: Any, result: Node, node: Node, kind: str) -> None:
    """Make a node of the scene one of the run of a result, in its folder as far as there is one."""
    for key in ("Run", "Model", "ModelVersion", "Notice"):
        node.SetAttribute(PREFIX + key, attribute(result, key))
    node.SetAttribute(PREFIX + "Kind", kind)
    item = folder_of(scene, attribute(result, "Run"))
    if item:
        _move(_hierarchy(scene), node, item)


def _move(hierarchy: Node, node: Node, folder: int) -> None:
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.SetItemParent(item, folder)
    else:
        hierarchy.CreateItem(folder, node)  # of a kind that the hierarchy does not list by itself


def latest_run(scene: Any, reference: Node) -> str:
    """The run of the newest folder with results on this volume; empty when there is none."""
    runs = [
        attribute(node, "Run")
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
        if node.GetNodeReference(_REFERENCE) is reference
    ]
    return next((run for run in reversed(runs) if folder_of(scene, run)), "")


def folder_of(scene: Any, run: str) -> int:
    """Subject hierarchy item of a run's folder; 0 when there is none."""
    hierarchy = _hierarchy(scene)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    found = [items.GetId(i) for i in range(items.GetNumberOfIds())]
    return next((item for item in found if run and hierarchy.GetItemAttribute(item, _RUN) == run), 0)


def remove_run(scene: Any, run: str) -> None:
    """Remove the folder of a run and every node in it, as a user does in Slicer's Data module."""
    item = folder_of(scene, run)
    if item:
        _hierarchy(scene).RemoveItem(item)


def _hierarchy(scene: Any) -> Node:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


class CompanionCleanup:
    """Removes display, storage and color nodes of our nodes along with them: the scene leaves some of them behind.

    Watches the scene as long as it lives; nodes that another node uses too stay.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._due: dict[str, list[Node]] = {}

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def leaving(_scene: Any, _event: str, node: Node) -> None:
            if attribute(node, "Run") and not scene.IsClosing():
                self._due[node.GetID()] = _companions(node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def left(_scene: Any, _event: str, node: Node) -> None:
            self._remove(self._due.pop(node.GetID(), []))

        self._tags = [
            scene.AddObserver(scene.NodeAboutToBeRemovedEvent, leaving),
            scene.AddObserver(scene.NodeRemovedEvent, left),
        ]

    def stop(self) -> None:
        """Watch no longer."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

    def _remove(self, candidates: list[Node]) -> None:
        if not candidates:
            return
        nodes = (self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes()))
        used = {other.GetID() for node in nodes for other in _companions(node)}
        for node in candidates:
            if self._scene.IsNodePresent(node) and node.GetID() not in used:
                self._scene.RemoveNode(node)


def _companions(node: Node) -> list[Node]:
    """Display and storage nodes of a node, and color tables that we made for it."""
    found = []
    if node.IsA("vtkMRMLDisplayableNode"):
        displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
        colors = [display.GetColorNode() for display in displays if display is not None]
        found += [*displays, *(color for color in colors if attribute(color, "Made"))]
    if node.IsA("vtkMRMLStorableNode"):
        found += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    return [other for other in found if other is not None]
