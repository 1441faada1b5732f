"""``slicer.modules``: core modules with their logics, and the scripted modules that were loaded."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtWidgets

from .mrml_widgets import qSlicerScriptedLoadableModuleWidget


class CoreModule:
    """A module that has a logic and no panel."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self.title = name
        self.path = ""
        self._logic = logic

    def logic(self) -> Any:
        """Return the real logic."""
        return self._logic


class ScriptedModule:
    """Stand-in of qSlicerScriptedLoadableModule: only the properties of the real class can be set."""

    __slots__ = (
        "_python", "_widget", "acknowledgementText", "categories", "contributors", "dependencies", "helpText",
        "hidden", "icon", "index", "name", "path", "title", "widgetRepresentationCreationEnabled",
    )  # fmt: skip

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.path = str(path)
        self.title, self.helpText, self.acknowledgementText = path.stem, "", ""
        self.categories, self.contributors, self.dependencies = [], [], []
        self.icon, self.hidden, self.index = None, False, -1
        self.widgetRepresentationCreationEnabled = True
        self._python: types.ModuleType | None = None
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None

    def logic(self) -> Any:
        """Return None: a scripted module has no C++ logic."""
        return None

    def widgetRepresentation(self) -> Any:
        """Return the panel's frame while the module is open, else None."""
        return self._widget


class ModuleManager:
    """Registry of modules: loads, opens and closes the scripted ones."""

    def __init__(self, scene: Any, logics: dict[str, Any]) -> None:
        self._scene = scene
        self._namespace = types.ModuleType("slicer.modules")
        self._modules: dict[str, Any] = {}
        sys.modules["slicer.modules"] = self._namespace
        slicer.modules = self._namespace
        slicer.qSlicerScriptedLoadableModule = ScriptedModule
        for name, logic in logics.items():
            self._register(CoreModule(name, logic))

    def _register(self, module: Any) -> None:
        self._modules[module.name.lower()] = module
        setattr(self._namespace, module.name.lower(), module)

    def module(self, name: str) -> Any:
        """Return a module by name (any case), or None."""
        return self._modules.get(name.lower())

    def modulesNames(self) -> tuple[str, ...]:
        """Return the names of all modules."""
        return tuple(module.name for module in self._modules.values())

    def load(self, path: Path) -> types.ModuleType:
        """Import a module file and register its module class, as Slicer does at startup."""
        folder = str(path.parent)
        if folder not in sys.path:
            sys.path.insert(0, folder)
        python = _import_file(path)
        module = ScriptedModule(path)
        module._python = python
        instance = getattr(python, path.stem)(module)
        self._register(module)
        setattr(self._namespace, f"{path.stem}Instance", instance)
        return python

    def open(self, name: str) -> Any:
        """Make the panel of a scripted module, show it, enter it; return the Python widget."""
        module = self._scripted(name)
        if module._widget is None:
            self._build_panel(module)
        frame = module._widget
        frame.resize(520, max(900, frame.sizeHint().height()))
        frame.show()
        if not frame._entered:
            frame._entered = True
            _call(frame.self(), "enter")
        return frame.self()

    def _build_panel(self, module: ScriptedModule) -> None:
        frame = qSlicerScriptedLoadableModuleWidget()
        frame.setLayout(QtWidgets.QVBoxLayout())
        frame.setMRMLScene(self._scene)
        widget = getattr(module._python, f"{module.name}Widget")(frame)
        frame._python_object = widget
        module._widget = frame
        setattr(self._namespace, f"{module.name}Widget", widget)
        try:
            widget.setup()
        except Exception:
            module._widget = None
            frame.deleteLater()
            raise
        frame.layout().addStretch(1)

    def close(self, name: str) -> None:
        """Leave and delete the panel of a scripted module."""
        module = self._scripted(name)
        frame = module._widget
        if frame is None:
            return
        widget = frame.self()
        try:
            if frame._entered:
                frame._entered = False
                _call(widget, "exit")
            _call(widget, "cleanup")
        finally:
            module._widget = None
            delattr(self._namespace, f"{module.name}Widget")
            frame.hide()
            frame.setMRMLScene(None)
            frame.deleteLater()

    def close_all(self) -> None:
        """Close every open panel."""
        for module in list(self._modules.values()):
            if isinstance(module, ScriptedModule):
                self.close(module.name)

    def _scripted(self, name: str) -> ScriptedModule:
        module = self.module(name)
        if not isinstance(module, ScriptedModule):
            raise ValueError(f"Module '{name}' is not loaded: call load_module first.")
        return module


def _import_file(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file.")
    python = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = python
    try:
        spec.loader.exec_module(python)
    except Exception:
        del sys.modules[path.stem]
        raise
    return python


def _call(widget: Any, name: str) -> None:
    """Call an optional method of a panel."""
    method = getattr(widget, name, None)
    if method is not None:
        method()
