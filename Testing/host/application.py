"""``slicer.app``: the parts of qSlicerApplication that a scripted module uses."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from .core import MrmlCore
from .io_manager import CoreIOManager
from .layout import LayoutViews
from .layout_manager import LayoutManager

VERSION = version("slicer-core")


def _constant(kind: type, value: Any) -> QtCore.Property:
    return QtCore.Property(kind, lambda _: value)


class ErrorLogModel(QtCore.QObject):
    """Knows where the log file is."""

    _stand_in = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)

    def _get_path(self) -> str:
        return self._path

    filePath = QtCore.Property(str, _get_path)


class DicomDatabase:
    """``slicer.dicomDatabase`` in memory.

    Tests put tag values into ``values`` as {(uid, "gggg,eeee"): text}, and paths into ``files`` by uid.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}
        self.files: dict[str, str] = {}
        self.isOpen = True

    def instanceValue(self, uid: str, tag: str) -> str:
        """Return the value of a tag, "" when it is unknown, as the real database does."""
        return self.values.get((uid, tag), "")

    def fileForInstance(self, uid: str) -> str:
        """Return the file of an instance, "" when it is unknown, as the real database does."""
        return self.files.get(uid, "")


class Application(QtCore.QObject):
    """Stand-in of qSlicerApplication; anything not listed here raises AttributeError."""

    _stand_in = True
    startupCompleted = QtCore.Signal()
    aboutToQuit = QtCore.Signal()
    mrmlSceneChanged = QtCore.Signal(object)
    applicationName = _constant(str, "Slicer")
    applicationVersion = _constant(str, VERSION)
    majorVersion = _constant(int, int(VERSION.split(".")[0]))
    minorVersion = _constant(int, int(VERSION.split(".")[1]))
    revision = _constant(str, "stand-in")
    os = _constant(str, "linux")
    platform = _constant(str, "linux-amd64")

    def __init__(self, core: MrmlCore, views: LayoutViews, modules: Any, folder: Path) -> None:
        super().__init__()
        self._core = core
        self._modules = modules
        self._folder = folder
        self._io = CoreIOManager()
        self._layout_manager = LayoutManager(views, core.application_logic)
        self._log = ErrorLogModel(folder / "Slicer.log")

    def _get_folder(self) -> str:
        return str(self._folder)

    slicerHome = QtCore.Property(str, _get_folder)
    temporaryPath = QtCore.Property(str, _get_folder)

    def mrmlScene(self) -> Any:
        """Return the scene."""
        return self._core.scene

    def applicationLogic(self) -> Any:
        """Return the real vtkSlicerApplicationLogic."""
        return self._core.application_logic

    def layoutManager(self) -> LayoutManager:
        """Return the layout manager stand-in."""
        return self._layout_manager

    def coreIOManager(self) -> CoreIOManager:
        """Return the reader and writer stand-in."""
        return self._io

    ioManager = coreIOManager

    def moduleManager(self) -> Any:
        """Return the registry of modules."""
        return self._modules

    def errorLogModel(self) -> ErrorLogModel:
        """Return the log model (``filePath``)."""
        return self._log

    def testingEnabled(self) -> bool:
        """Return True: slicer.util then logs its messages instead of opening dialogs."""
        return True

    def processEvents(self, *_: Any) -> None:
        """Handle pending Qt events."""
        QtWidgets.QApplication.processEvents()

    def topLevelWidgets(self) -> list[QtWidgets.QWidget]:
        """Return Qt's top-level widgets; there is no main window."""
        return QtWidgets.QApplication.topLevelWidgets()

    def setOverrideCursor(self, cursor: Any) -> None:
        """Show another mouse cursor everywhere."""
        QtWidgets.QApplication.setOverrideCursor(cursor)

    def restoreOverrideCursor(self) -> None:
        """Take back setOverrideCursor."""
        QtWidgets.QApplication.restoreOverrideCursor()

    def pauseRender(self) -> None:
        """Nothing to pause: pictures are made on request."""

    def resumeRender(self) -> None:
        """Nothing to resume."""

    def settings(self) -> QtCore.QSettings:
        """Return the settings, isolated from the user's own."""
        return QtCore.QSettings()

    userSettings = settings
    revisionUserSettings = settings

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        """Return the environment that the application was started with."""
        return QtCore.QProcessEnvironment.systemEnvironment()
