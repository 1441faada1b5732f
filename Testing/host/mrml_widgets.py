"""Stand-ins of the qMRML widgets other than the node selector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from .ui_loader import register_widget, registered_widgets


class Observers:
    """VTK observers of a widget, removed when Qt deletes it (VTK would go on calling a widget that is gone)."""

    def __init__(self, owner: QtCore.QObject) -> None:
        self._entries: list[tuple[Any, int]] = []
        owner.destroyed.connect(lambda *_: self.clear())

    def add(self, observed: Any, event: Any, callback: Callable[[Any, str], None]) -> None:
        """Call ``callback(observed, event name)`` at each event."""
        self._entries.append((observed, observed.AddObserver(event, callback)))

    def clear(self) -> None:
        """Remove all."""
        for observed, tag in self._entries:
            observed.RemoveObserver(tag)
        self._entries.clear()


class MrmlWidgetMixin:
    """What all qMRML widgets share: a scene, and a signal when it changes."""

    def mrmlScene(self) -> Any:
        """Return the scene, or None."""
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene: Any) -> None:
        """Set the scene and tell connected widgets."""
        if scene is self.mrmlScene():
            return
        self._scene = scene
        self._on_scene_set()
        self.mrmlSceneChanged.emit(scene)

    def _on_scene_set(self) -> None:
        """React to a new scene (for subclasses)."""


@register_widget
class qMRMLWidget(MrmlWidgetMixin, QtWidgets.QWidget):
    """Widget that hands its scene on through the connections of the .ui file."""

    _stand_in = True
    mrmlSceneChanged = QtCore.Signal(object)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel frame that Slicer gives to a scripted module widget as its parent."""

    _stand_in = True

    def __init__(self) -> None:
        super().__init__()
        self._entered = False
        self._python_object: Any = None

    def _get_entered(self) -> bool:
        return self._entered

    isEntered = QtCore.Property(bool, _get_entered)

    def self(self) -> Any:
        """Return the Python widget of the module."""
        return self._python_object


@register_widget
class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    """Checkable button: makes the closed surface of a segmentation and shows or hides it in 3D."""

    _stand_in = True

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._segmentation: Any = None
        self.setText("Show 3D")
        self.setCheckable(True)
        self.setEnabled(False)
        self.toggled.connect(self._show)

    def segmentationNode(self) -> Any:
        """Return the segmentation, or None."""
        return self._segmentation

    def setSegmentationNode(self, node: Any) -> None:
        """Set the segmentation; the button is disabled without one."""
        if node is not None and not node.IsA("vtkMRMLSegmentationNode"):
            raise TypeError(f"qMRMLSegmentationShow3DButton takes a segmentation, not a {node.GetClassName()}.")
        self._segmentation = node
        self.setEnabled(node is not None)
        self.blockSignals(True)
        self.setChecked(node is not None and _has_surface(node) and bool(node.GetDisplayNode().GetVisibility3D()))
        self.blockSignals(False)

    def _show(self, visible: bool) -> None:
        node = self._segmentation
        if node is None:
            return
        if visible and not _has_surface(node):
            node.CreateClosedSurfaceRepresentation()
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility3D(visible)


def _has_surface(node: Any) -> bool:
    name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    return bool(node.GetSegmentation().ContainsRepresentation(name)) and node.GetDisplayNode() is not None


@register_widget
class qMRMLTableView(MrmlWidgetMixin, QtWidgets.QTableWidget):
    """Shows a vtkMRMLTableNode, read-only."""

    _stand_in = True
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: Any = None
        self._observers = Observers(self)
        self.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)

    def mrmlTableNode(self) -> Any:
        """Return the table node, or None."""
        return self._table

    def setMRMLTableNode(self, node: Any) -> None:
        """Show ``node`` and follow its changes."""
        self._observers.clear()
        self._table = node
        if node is not None:
            self._observers.add(node, "ModifiedEvent", lambda *_: self._refresh())
        self._refresh()

    def _refresh(self) -> None:
        node = self._table
        rows, columns = (node.GetNumberOfRows(), node.GetNumberOfColumns()) if node is not None else (0, 0)
        self.setRowCount(rows)
        self.setColumnCount(columns)
        if node is None:
            return
        self.setHorizontalHeaderLabels([node.GetColumnName(column) for column in range(columns)])
        for row in range(rows):
            for column in range(columns):
                self.setItem(row, column, QtWidgets.QTableWidgetItem(node.GetCellText(row, column)))


def install_mrml_widgets() -> None:
    """Put the stand-ins into the ``slicer`` namespace, where Slicer has the real classes."""
    from . import node_combo_box  # noqa: F401 - registers its class

    for name, cls in registered_widgets().items():
        if name.startswith("qMRML"):
            setattr(slicer, name, cls)
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
