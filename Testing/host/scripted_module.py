"""Own versions of slicer.ScriptedLoadableModule and slicer.i18n, with the behavior that modules rely on."""

from __future__ import annotations

import os
import sys
import types
import unittest
from typing import Any

import slicer
from PySide6 import QtWidgets


class ScriptedLoadableModule:
    """Base of the class that describes a module."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = self.__class__.__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file in the module's Resources folder."""
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        """Return a link in HTML to the documentation page."""
        return f'<p>For more information see the <a href="{docPage or ""}">online documentation</a>.</p>'


class ScriptedLoadableModuleWidget:
    """Base of the module's panel. Reload buttons of the developer mode are left out."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = self.__class__.__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            parent = QtWidgets.QWidget()
            parent.setLayout(QtWidgets.QVBoxLayout())
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, filename: str) -> str:
        """Return the path of a file in the module's Resources folder."""
        return os.path.join(os.path.dirname(slicer.util.modulePath(self.moduleName)), "Resources", filename)

    def setup(self) -> None:
        """Build the panel (subclasses add to it)."""

    def cleanup(self) -> None:
        """Release what the panel holds, before it is deleted."""


class ScriptedLoadableModuleLogic:
    """Base of the module's logic."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = self.__class__.__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        """Return the module's parameter node, made at the first call and again after the scene was closed."""
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        else:
            node = next(iter(self.getAllParameterNodes()), None)
        return node if node is not None else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        """Return all parameter nodes of this module in the scene."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        """Return a new parameter node that is not in the scene yet."""
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)  # the factory's own reference
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of the module's self test."""

    def runTest(self) -> None:
        """Run the test (subclasses override)."""

    def delayDisplay(self, message: str, *_: Any) -> None:
        """Print a message; in Slicer it is shown for a moment."""
        print(message)


CLASSES = (
    ScriptedLoadableModule,
    ScriptedLoadableModuleWidget,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
)


def tr(text: str) -> str:
    """Return ``text``: no translation is loaded."""
    return text


def translate(context: str, text: str) -> str:
    """Return ``text``: no translation is loaded."""
    return text


def install_scripted_modules() -> None:
    """Register slicer.ScriptedLoadableModule and slicer.i18n as importable modules."""
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in CLASSES:
        setattr(scripted, cls.__name__, cls)
    scripted.__all__ = [cls.__name__ for cls in CLASSES]
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr = tr
    i18n.translate = translate
    for module in (scripted, i18n):
        sys.modules[module.__name__] = module
        setattr(slicer, module.__name__.split(".")[1], module)
