"""``slicer.app.coreIOManager()``: the file types that the tests read and write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer


class CoreIOManager:
    """Reads and writes volumes (.nrrd, .nii.gz, ...), segmentations (.seg.nrrd), tables and scenes (.mrb, .mrml)."""

    def fileType(self, filename: str) -> str:
        """Return Slicer's name of the reader for a file name."""
        name = str(filename).lower()
        if ".seg." in Path(name).name:
            return "SegmentationFile"
        if name.endswith((".mrb", ".mrml")):
            return "SceneFile"
        if name.endswith((".csv", ".tsv")):
            return "TableFile"
        return "VolumeFile"

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any, messages: Any = None) -> bool:
        """Read ``properties["fileName"]``; loaded nodes are added to the vtkCollection ``loaded``."""
        path = Path(properties["fileName"])
        if not path.exists():
            return False
        if kind == "SceneFile":
            return _load_scene(path, properties.get("clear", True))
        readers = {"VolumeFile": _load_volume, "SegmentationFile": _load_segmentation, "TableFile": _load_table}
        if kind not in readers:
            raise NotImplementedError(f"The stand-in has no reader for '{kind}'.")
        node = readers[kind](path, properties)
        if node is None:
            return False
        loaded.AddItem(node)
        return True

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any = None) -> bool:
        """Write a node (``nodeID``) or the scene to ``properties["fileName"]``."""
        path = str(properties["fileName"])
        if kind == "SceneFile":
            return bool(slicer.mrmlScene.WriteToMRB(path))
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(bool(properties["useCompression"])))
        return bool(storage.WriteData(node))

    def fileWriterFileType(self, node: Any, *_: Any) -> str:
        """Return the writer's name: one writer does all nodes here."""
        return "NodeFile"


def _base_name(path: Path, properties: dict[str, Any]) -> str:
    return str(properties.get("name") or path.name.split(".")[0])


def _load_volume(path: Path, properties: dict[str, Any]) -> Any:
    options = 1 if properties.get("labelmap") else 0
    logic = slicer.modules.volumes.logic()
    node = logic.AddArchetypeVolume(str(path), _base_name(path, properties), options)
    if node is not None and properties.get("show", True):  # Slicer shows what it loads in all slice views
        application_logic = slicer.app.applicationLogic()
        selection = application_logic.GetSelectionNode()
        if options:
            selection.SetReferenceActiveLabelVolumeID(node.GetID())
        else:
            selection.SetReferenceActiveVolumeID(node.GetID())
        application_logic.PropagateVolumeSelection()
    return node


def _load_segmentation(path: Path, properties: dict[str, Any]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _base_name(path, properties))
    return _read_with_storage(node, "vtkMRMLSegmentationStorageNode", path)


def _load_table(path: Path, properties: dict[str, Any]) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", _base_name(path, properties))
    return _read_with_storage(node, "vtkMRMLTableStorageNode", path)


def _read_with_storage(node: Any, storage_class: str, path: Path) -> Any:
    storage = slicer.mrmlScene.AddNewNodeByClass(storage_class)
    storage.SetFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        slicer.mrmlScene.RemoveNode(storage)
        return None
    if node.IsA("vtkMRMLDisplayableNode"):
        node.CreateDefaultDisplayNodes()
    return node


def _load_scene(path: Path, clear: bool) -> bool:
    scene = slicer.mrmlScene
    if path.suffix == ".mrb":
        return bool(scene.ReadFromMRB(str(path), clear))
    scene.SetURL(str(path))
    return bool(scene.Connect() if clear else scene.Import())
