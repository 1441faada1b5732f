"""Stand-in of qMRMLNodeComboBox: a selector that follows the nodes of a scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from .mrml_widgets import MrmlWidgetMixin, Observers
from .ui_loader import register_widget

FLAGS = {  # Slicer's defaults
    "noneEnabled": False,
    "addEnabled": True,
    "removeEnabled": True,
    "editEnabled": False,
    "renameEnabled": False,
    "showHidden": False,
    "showChildNodeTypes": True,
    "selectNodeUponCreation": True,
}
SCENE_EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndBatchProcessEvent", "EndCloseEvent", "EndImportEvent")


def _flag(name: str) -> QtCore.Property:
    def read(self: Any) -> bool:
        return self._flags[name]

    def write(self: Any, value: Any) -> None:
        self._flags[name] = bool(value)
        self._rebuild()

    return QtCore.Property(bool, read, write)


def _setter(name: str) -> Callable[[Any, Any], None]:
    def write(self: Any, value: Any) -> None:
        setattr(self, name, value)

    return write


def _text(field: str) -> QtCore.Property:
    def read(self: Any) -> str:
        return self.__dict__[field]

    def write(self: Any, value: str) -> None:
        self.__dict__[field] = value
        self._rebuild()

    return QtCore.Property(str, read, write)


@register_widget
class qMRMLNodeComboBox(MrmlWidgetMixin, QtWidgets.QWidget):
    """Node selector. Without ``noneEnabled`` it always has a node selected when the scene has one that fits."""

    _stand_in = True
    mrmlSceneChanged = QtCore.Signal(object)
    currentNodeChanged = QtCore.Signal((object,), (bool,))
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAddedByUser = QtCore.Signal(object)
    nodeActivated = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._flags = dict(FLAGS)
        self._types: list[str] = []
        self._attributes: dict[tuple[str, str], str | None] = {}
        self._none_display, self._base_name, self._current_id = "None", "", ""
        self._scene_observers, self._node_observers = Observers(self), Observers(self)
        self._combo = QtWidgets.QComboBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._combo.activated.connect(self._on_activated)

    for _name in FLAGS:
        locals()[_name] = _flag(_name)
        locals()[f"set{_name[0].upper()}{_name[1:]}"] = _setter(_name)
    del _name
    noneDisplay = _text("_none_display")
    baseName = _text("_base_name")

    def _get_types(self) -> tuple[str, ...]:
        return tuple(self._types)

    def setNodeTypes(self, types: Iterable[str]) -> None:
        """Set the MRML class names that may be selected."""
        if isinstance(types, str):
            raise TypeError("nodeTypes takes a list of class names, not one string.")
        self._types = list(types)
        self._rebuild()

    nodeTypes = QtCore.Property("QStringList", _get_types, setNodeTypes)

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        """Show only nodes of ``node_type`` that have the attribute (with that value, when given)."""
        self._attributes[(node_type, name)] = value
        self._rebuild()

    def currentNode(self) -> Any:
        """Return the selected node, or None."""
        scene = self.mrmlScene()
        return scene.GetNodeByID(self._current_id) if scene is not None and self._current_id else None

    def setCurrentNode(self, node: Any) -> None:
        """Select a node; None, or a node that does not fit, selects nothing."""
        self._select(node.GetID() if node is not None and self._index(node.GetID()) >= 0 else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        """Select by MRML ID."""
        self._select(node_id if node_id and self._index(node_id) >= 0 else "")

    def _get_current_id(self) -> str:
        return self._current_id

    currentNodeID = QtCore.Property(str, _get_current_id, setCurrentNodeID)

    def setCurrentNodeIndex(self, index: int) -> None:
        """Select the node at ``index`` (None is not counted)."""
        self._select(self._combo.itemData(index + int(self._flags["noneEnabled"])) or "")

    def nodeCount(self) -> int:
        """Return how many nodes can be selected."""
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:
        """Return the selectable node at ``index``, or None."""
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def addNode(self, node_type: str = "") -> Any:
        """Make a node as the user does with "Create new"; it is selected when selectNodeUponCreation says so."""
        scene = self.mrmlScene()
        name = scene.GenerateUniqueName(self._base_name) if self._base_name else ""
        node = scene.AddNewNodeByClass(node_type or self._types[0], name)
        if self._flags["selectNodeUponCreation"]:
            self._select(node.GetID())
        self.nodeAddedByUser.emit(node)
        return node

    def _on_scene_set(self) -> None:
        self._scene_observers.clear()
        scene = self.mrmlScene()
        if scene is not None:
            for event in SCENE_EVENTS:
                self._scene_observers.add(scene, getattr(slicer.vtkMRMLScene, event), self._on_scene_event)
        self._rebuild()

    def _on_scene_event(self, scene: Any, _event: str) -> None:
        if not scene.IsBatchProcessing():
            self._rebuild()

    def _fits(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        for node_type in self._types:
            same = node.IsA(node_type) if self._flags["showChildNodeTypes"] else node.GetClassName() == node_type
            if same and self._has_attributes(node, node_type):
                return True
        return False

    def _has_attributes(self, node: Any, node_type: str) -> bool:
        wanted = [(name, value) for (owner, name), value in self._attributes.items() if owner == node_type]
        found = [(node.GetAttribute(name), value) for name, value in wanted]
        return all(actual is not None and (value is None or actual == value) for actual, value in found)

    def _nodes(self) -> list[Any]:
        scene = self.mrmlScene()
        if scene is None:
            return []
        every = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        return [node for node in every if self._fits(node)]

    def _rebuild(self) -> None:
        nodes, combo = self._nodes(), self._combo
        combo.blockSignals(True)
        combo.clear()
        if self._flags["noneEnabled"]:
            combo.addItem(self._none_display, "")
        for node in nodes:
            combo.addItem(node.GetName() or "", node.GetID())
        combo.blockSignals(False)
        self._node_observers.clear()
        for node in nodes:
            self._node_observers.add(node, "ModifiedEvent", self._on_node_modified)
        ids = [node.GetID() for node in nodes]
        first = ids[0] if ids and not self._flags["noneEnabled"] else ""
        self._select(self._current_id if self._current_id in ids else first)

    def _on_node_modified(self, node: Any, _event: str) -> None:
        index = self._index(node.GetID())
        if index >= 0 and self._fits(node):
            self._combo.setItemText(index, node.GetName() or "")
        else:
            self._rebuild()

    def _index(self, node_id: str) -> int:
        return self._combo.findData(node_id)

    def _select(self, node_id: str) -> None:
        self._combo.setCurrentIndex(self._index(node_id))
        if node_id == self._current_id:
            return
        self._current_id = node_id
        node = self.currentNode()
        self.currentNodeChanged.emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node_id)

    def _on_activated(self, index: int) -> None:
        self._select(self._combo.itemData(index) or "")
        self.nodeActivated.emit(self.currentNode())
