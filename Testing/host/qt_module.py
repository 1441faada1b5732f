"""The ``qt`` and ``ctk`` modules that scripts in Slicer import, made from patched PySide6 classes.

Left out on purpose, because PythonQt does not offer them to scripts: Signal, Slot, Property.
"""

from __future__ import annotations

import sys
import types

from PySide6 import QtCore, QtGui, QtWidgets

from .dialogs import Dialogs
from .pythonqt import patch_all
from .ui_loader import QUiLoader, registered_widgets

SOURCES = (QtCore, QtGui, QtWidgets)


def install_qt(dialogs: Dialogs) -> types.ModuleType:
    """Patch PySide6, register ``sys.modules["qt"]`` and return it."""
    dialogs.install()
    patch_all(SOURCES)
    module = types.ModuleType("qt", "Stand-in of Slicer's qt module.")
    for source in SOURCES:
        for name in dir(source):
            if name.startswith("Q") and not name.startswith("QT_"):
                setattr(module, name, getattr(source, name))
    module.Qt = QtCore.Qt
    module.QUiLoader = QUiLoader
    sys.modules["qt"] = module
    return module


def install_ctk() -> types.ModuleType:
    """Register ``sys.modules["ctk"]`` with the ctk stand-ins and return it."""
    from . import ctk_widgets  # noqa: F401 - registers its classes

    module = types.ModuleType("ctk", "Stand-in of Slicer's ctk module.")
    for name, cls in registered_widgets().items():
        if name.startswith("ctk"):
            setattr(module, name, cls)
    sys.modules["ctk"] = module
    return module
