"""The Host: one Slicer stand-in per process, and what tests do with it."""

from __future__ import annotations

import atexit
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import slicer
from PySide6 import QtCore, QtGui, QtTest, QtWidgets

from .application import Application, DicomDatabase
from .core import MrmlCore
from .dialogs import Dialogs
from .environment import rendering_problem
from .layout import Box, LayoutViews
from .modules import ModuleManager
from .mrml_widgets import install_mrml_widgets
from .qt_module import install_ctk, install_qt
from .scripted_module import install_scripted_modules
from .sources import check_folder
from .views import ViewPicture

EVENT_SLICE_S = 0.005


class SlotError(RuntimeError):
    """A slot or an observer of the module raised; Qt and VTK swallow such errors, the host does not."""


class Host:
    """A running Slicer stand-in. Make one per process."""

    def __init__(self) -> None:
        if hasattr(slicer, "app"):
            raise RuntimeError("This process has a Slicer application already: share one Host.")
        self._temporary = tempfile.TemporaryDirectory(prefix="slicer-stand-in-")
        folder = Path(self._temporary.name)
        self.dialogs = Dialogs()
        self.errors: list[str] = []
        self._qt = install_qt(self.dialogs)
        install_ctk()
        self._application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        _isolate_settings(folder)
        install_mrml_widgets()
        self._core = MrmlCore(folder)
        slicer.mrmlScene = self._core.scene
        self._modules = ModuleManager(self._core.scene, self._core.logics)
        self._views = LayoutViews(self._core.scene, self._core.application_logic)
        slicer.app = Application(self._core, self._views, self._modules, folder)
        slicer.dicomDatabase = self.dicom = DicomDatabase()
        install_scripted_modules()
        self._picture = ViewPicture()
        self._plain_hook = sys.excepthook
        sys.excepthook = self._on_unhandled
        atexit.register(self.close)

    def load_module(self, path: str | Path) -> ModuleType:
        """Load a scripted module file and return its Python module; startupCompleted is sent. Loads a file once.

        Raises ImportError when the module's folder holds source code that only PySide6 can run.
        """
        path = Path(path).resolve()
        known = self._modules.module(path.stem)
        if known is not None and known.path == str(path):
            return known._python
        check_folder(path.parent, self._qt)
        python = self._modules.load(path)
        slicer.app.startupCompleted.emit()
        self.process_events()
        return python

    def open_module(self, name: str) -> Any:
        """Return the module's widget after setup() and enter(), in a visible (offscreen) parent."""
        widget = self._modules.open(name)
        self.process_events()
        return widget

    def close_module(self, name: str) -> None:
        """Call exit() and cleanup(), and delete the panel."""
        self._modules.close(name)
        self.process_events()

    def process_events(self, until: Callable[[], bool] | None = None, timeout: float = 30.0) -> bool:
        """Handle events until ``until`` holds (True) or ``timeout`` seconds are over (False); once without ``until``.

        Raises SlotError when a slot or an observer raised meanwhile.
        """
        end = time.monotonic() + timeout
        while True:
            QtWidgets.QApplication.processEvents()
            _delete_now()
            self.raise_errors()
            if until is None or until():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(EVENT_SLICE_S)

    def raise_errors(self) -> None:
        """Raise SlotError with what slots and observers raised since the last call, if anything."""
        if self.errors:
            text = "\n".join(self.errors)
            self.errors.clear()
            raise SlotError(f"A slot or an observer raised:\n{text}")

    def click(self, widget: QtWidgets.QWidget) -> None:
        """Click the middle of a widget with the mouse. Raises RuntimeError when a user could not."""
        name = widget.objectName or type(widget).__name__
        if not widget.visible or widget.visibleRegion().isEmpty():
            raise RuntimeError(f"Cannot click '{name}': it is hidden.")
        if not widget.enabled:
            raise RuntimeError(f"Cannot click '{name}': it is disabled (tool tip: {widget.toolTip!r}).")
        position = widget.rect.center()
        if isinstance(widget, QtWidgets.QCheckBox | QtWidgets.QRadioButton):
            position = QtCore.QPoint(8, position.y())  # the text beside the indicator may end before the middle
        QtTest.QTest.mouseClick(
            widget, QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier, position
        )
        self.process_events()

    def click_at(self, widget: QtWidgets.QWidget, x: int, y: int) -> None:
        """Click one point of a widget, such as a heading or a check box of a table."""
        button, keys = QtCore.Qt.MouseButton.LeftButton, QtCore.Qt.KeyboardModifier.NoModifier
        QtTest.QTest.mouseClick(widget, button, keys, QtCore.QPoint(x, y))
        self.process_events()

    def clipboard(self) -> str:
        """Return the text on the clipboard."""
        return str(QtWidgets.QApplication.clipboard().text())

    def layout_cells(self) -> dict[str, Box]:
        """Return {view tag: (x0, y0, x1, y1)} of the current layout, in fractions, y up."""
        return {tag: box for tag, (_, box) in self._views.cells().items()}

    def render_layout(self, size: tuple[int, int]) -> np.ndarray:
        """Render the current layout: uint8 (height, width, 3), first row on top; ``size`` is (width, height).

        Raises RuntimeError when the machine has no rendering libraries.
        """
        problem = rendering_problem()
        if problem:
            raise RuntimeError(problem)
        return self._picture.render(self._views.cells(), self._views.slice_logics, size)

    def grab(self, widget: QtWidgets.QWidget) -> np.ndarray:
        """Return the picture of a Qt widget: uint8 (height, width, 3)."""
        image = widget.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()

    def save_png(self, array: np.ndarray, path: str | Path) -> None:
        """Write a uint8 (height, width, 3) picture. Raises OSError when it cannot be written."""
        pixels = np.ascontiguousarray(array, np.uint8)
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        if not image.save(str(path), "PNG"):
            raise OSError(f"Cannot write {path}: does its folder exist?")

    def clear_scene(self) -> None:
        """Close the scene as "File > Close scene" does."""
        self._core.clear()
        self.process_events()

    def reset(self) -> None:
        """Bring the application back to how it started: no panel, empty scene, first layout, no answers, no settings.

        Raises SlotError when a slot or an observer raised and no test asked for it.
        """
        self._modules.close_all()
        for widget in QtWidgets.QApplication.topLevelWidgets():
            widget.deleteLater()
        _delete_now()
        self._core.clear()
        self._picture.close()
        self._views.reset()
        self.dialogs.clear()
        self.dicom.values.clear()
        self.dicom.files.clear()
        QtCore.QSettings().clear()
        self.process_events()

    def close(self) -> None:
        """Quit: aboutToQuit is sent, panels are closed, scene and views are released. Safe to call twice."""
        if not hasattr(slicer, "app"):
            return
        atexit.unregister(self.close)
        slicer.app.aboutToQuit.emit()
        self._modules.close_all()
        _delete_now()
        self._picture.close()
        self._core.clear()
        self._views.close()
        self._core.close()
        sys.excepthook = self._plain_hook
        del slicer.app
        self._temporary.cleanup()

    def _on_unhandled(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.errors.append("".join(traceback.format_exception(kind, error, trace)))
        self._plain_hook(kind, error, trace)


def _delete_now() -> None:
    """Delete what was given to deleteLater; processEvents alone leaves it for the outer event loop."""
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)


def _isolate_settings(folder: Path) -> None:
    """Keep QSettings() away from the user's own files."""
    QtCore.QCoreApplication.setOrganizationName("stand-in")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
        QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, str(folder))
