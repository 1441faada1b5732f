"""The user's own Python for the worker: kept in the settings of the application, never in a scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from DMAFSegmentLib import tr as _

_KEY = "DMAFSegment/PythonInterpreter"


def custom_interpreter() -> str:
    """Path of the chosen Python; "" for Slicer's own."""
    return str(qt.QSettings().value(_KEY, "") or "")


class InterpreterSetting:
    """Path, Browse and Check under Advanced; ``on_check`` is called after every change and by the button."""

    def __init__(self, ui: Any, on_check: Callable[[], None]) -> None:
        self.ui, self._on_check = ui, on_check
        ui.interpreterEdit.text = custom_interpreter()
        ui.interpreterEdit.connect("editingFinished()", self._on_edited)
        ui.browseInterpreterButton.connect("clicked(bool)", self._on_browse)
        ui.checkInterpreterButton.connect("clicked(bool)", lambda: self._on_check())

    def say(self, text: str) -> None:
        """Show what was found."""
        self.ui.interpreterLabel.text = text
        self.ui.interpreterLabel.visible = bool(text)

    def _on_browse(self, *_arguments: Any) -> None:
        path = qt.QFileDialog.getOpenFileName(None, _("Python interpreter"), self.ui.interpreterEdit.text)
        if path:
            self.ui.interpreterEdit.text = path
            self._on_edited()

    def _on_edited(self, *_arguments: Any) -> None:
        path = self.ui.interpreterEdit.text.strip().strip('"')
        if path != custom_interpreter():
            qt.QSettings().setValue(_KEY, path)
            self._on_check()
