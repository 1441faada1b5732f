"""The MRML side of a Slicer application, from slicer-core: scene, application logic, module logics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import slicer
import vtk

MODULE_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Data": "vtkSlicerDataModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Units": "vtkSlicerUnitsLogic",
}
GENERIC_COLORS = {
    "background": (0.0, 0.0, 0.0),
    "tissue": (0.5, 0.68, 0.5),
    "bone": (0.95, 0.84, 0.57),
    "skin": (0.69, 0.48, 0.4),
    "blood": (0.85, 0.4, 0.31),
}
HIERARCHY_CLASSES = ("vtkMRMLDisplayableNode", "vtkMRMLTableNode", "vtkMRMLTextNode")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence VTK: the logics complain about color and terminology files, which the slicer-core wheel leaves out."""
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()


class MrmlCore:
    """Scene and logics, wired as Slicer's application core does it."""

    def __init__(self, cache_folder: Path) -> None:
        self.scene = slicer.vtkMRMLScene()
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.logics: dict[str, Any] = {}
        self._observers: list[int] = []
        with quiet():
            self._wire_application()
            self._wire_remote_io(cache_folder)
            self._wire_modules()
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        self._wire_subject_hierarchy()

    def _wire_application(self) -> None:
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        logic = self.application_logic
        logic.SetMRMLScene(self.scene)
        logic.GetColorLogic().SetMRMLScene(self.scene)
        logic.GetColorLogic().AddDefaultColorNodes()
        self._add_generic_colors()
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance().SetMRMLApplicationLogic(logic)

    def _add_generic_colors(self) -> None:
        """Add a small version of the color table that label maps use; Slicer reads it from a file the wheel lacks."""
        table = slicer.vtkMRMLColorTableNode()
        table.SetName("GenericColors")
        table.SetSingletonTag("FileGenericColors.txt")
        table.SetTypeToUser()
        table.SetNumberOfColors(len(GENERIC_COLORS))
        for index, (name, color) in enumerate(GENERIC_COLORS.items()):
            table.SetColor(index, name, *color, 0.0 if index == 0 else 1.0)
        table.SetHideFromEditors(True)
        table.SetSaveWithScene(False)
        self.scene.AddNode(table)

    def _wire_remote_io(self, cache_folder: Path) -> None:
        self._remote_io = slicer.vtkMRMLRemoteIOLogic()
        self._remote_io.SetMRMLScene(self.scene)
        self._remote_io.SetMRMLApplicationLogic(self.application_logic)
        self._remote_io.GetCacheManager().SetRemoteCacheDirectory(str(cache_folder))
        self._data_io = slicer.vtkDataIOManagerLogic()
        self._data_io.SetMRMLScene(self.scene)
        self._data_io.SetMRMLApplicationLogic(self.application_logic)
        self._data_io.SetAndObserveDataIOManager(self._remote_io.GetDataIOManager())
        self._remote_io.AddDataIOToScene()

    def _wire_modules(self) -> None:
        for name, class_name in MODULE_LOGICS.items():
            logic = getattr(slicer, class_name)()
            logic.SetMRMLApplicationLogic(self.application_logic)
            logic.SetMRMLScene(self.scene)
            self.application_logic.SetModuleLogic(name, logic)
            self.logics[name] = logic

    def _wire_subject_hierarchy(self) -> None:
        """Give data nodes a subject hierarchy item, as the (Qt) plugin logic of Slicer does."""
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def added(_scene: Any, _event: str, node: Any) -> None:
            wanted = any(node.IsA(name) for name in HIERARCHY_CLASSES) and not node.GetHideFromEditors()
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
            if wanted and hierarchy is not None and hierarchy.GetItemByDataNode(node) == 0:
                hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(_scene: Any, _event: str, node: Any) -> None:
            if self.scene.IsClosing() or not any(node.IsA(name) for name in HIERARCHY_CLASSES):
                return
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
            item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
            if item != 0:
                hierarchy.RemoveItem(item, False, False)

        self._observers.append(self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added))
        self._observers.append(self.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed))

    def clear(self) -> None:
        """Close the scene: Slicer's StartCloseEvent and EndCloseEvent are sent, singleton nodes stay."""
        self.scene.Clear(0)

    def close(self) -> None:
        """Detach everything from the scene, before the interpreter ends."""
        for tag in self._observers:
            self.scene.RemoveObserver(tag)
        self._observers.clear()
        for logic in self.logics.values():
            with quiet():
                logic.SetMRMLScene(None)
        self.logics.clear()
