"""``qt.QUiLoader``: load a Designer file with Qt's own loader, strictly.

Qt cannot connect signals whose arguments it does not know (``mrmlSceneChanged(vtkMRMLScene*)``): those
connections are taken out of the XML first and made in Python. Unknown widget classes and unknown properties, which
Qt only warns about, raise.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

DESIGNER_PROPERTIES = {"QLabel": {"buddy"}, "Line": {"orientation"}}  # handled by the loader, not by the class
CONNECTION_KEYS = ("sender", "signal", "receiver", "slot")

_custom_classes: dict[str, type[QtWidgets.QWidget]] = {}


def register_widget(cls: type[QtWidgets.QWidget]) -> type[QtWidgets.QWidget]:
    """Class decorator: make ``cls`` known to .ui files under its own name."""
    _custom_classes[cls.__name__] = cls
    return cls


def registered_widgets() -> dict[str, type[QtWidgets.QWidget]]:
    """Return all registered stand-in widget classes by name."""
    return dict(_custom_classes)


class _PlainLoader(QtUiTools.QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.unknown: set[str] = set()

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        cls = _custom_classes.get(className)
        if cls is not None:
            widget = cls(parent)
            widget.setObjectName(name)
            return widget
        if className not in self.availableWidgets():
            self.unknown.add(className)
        return super().createWidget(className, parent, name)


class QUiLoader:
    """Stand-in of Qt's class of the same name: ``load(qfile)``."""

    def load(self, source: QtCore.QFile, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """Load an open QFile and return the top widget.

        Raises RuntimeError for a widget class or a property that Slicer would not know either.
        """
        path = source.fileName()
        root = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
        pending = _take_vtk_connections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        loader = _PlainLoader()
        widget = loader.load(buffer, parent)
        if loader.unknown:
            raise RuntimeError(f"{path}: unknown widget classes {sorted(loader.unknown)}; use Qt, ctk or qMRML ones.")
        if widget is None:
            raise RuntimeError(f"{path}: {loader.errorString()}")
        _check_properties(path, root, widget)
        for sender, signal, receiver, slot in pending:
            _find(path, widget, sender).connect(signal, _find(path, widget, receiver), slot)
        return widget


def _take_vtk_connections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    taken = []
    for group in root.findall("connections"):
        for entry in list(group):
            sender, signal, receiver, slot = (entry.findtext(key, "") for key in CONNECTION_KEYS)
            if "vtk" in signal or "vtk" in slot:
                taken.append((sender, signal, receiver, slot))
                group.remove(entry)
    return taken


def _find(path: str, widget: QtWidgets.QWidget, name: str) -> QtCore.QObject:
    if widget.objectName == name:
        return widget
    found = widget.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"{path}: a connection names '{name}', which is not in the file.")
    return found


def _check_properties(path: str, root: ElementTree.Element, widget: QtWidgets.QWidget) -> None:
    for element in root.iter("widget"):
        class_name, name = element.get("class", ""), element.get("name", "")
        target = _find(path, widget, name)
        for entry in element.findall("property"):
            wanted = entry.get("name", "")
            dynamic = entry.get("stdset") == "0" or wanted in DESIGNER_PROPERTIES.get(class_name, ())
            if not dynamic and target.metaObject().indexOfProperty(wanted) < 0:
                raise RuntimeError(f"{path}: {class_name} '{name}' has no property '{wanted}'.")
