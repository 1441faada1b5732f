"""Dialogs that never block: what would wait for a person is written down and answered at once.

``Dialogs.messages`` lists (kind, text). Answers are given beforehand:
``dialogs.answer("QFileDialog.getOpenFileName", "model.safetensors")``. A question without an answer gets the one
that changes least: the escape button for QMessageBox, "" for a file, rejection for any other dialog.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

FILE_QUESTIONS = {
    "getOpenFileName": "",
    "getSaveFileName": "",
    "getExistingDirectory": "",
    "getOpenFileNames": [],
}
BOX_QUESTIONS = ("information", "warning", "critical", "question", "about")
DIALOG_PATIENCE_MS = 100  # how long exec_() of a plain dialog spins before it is rejected


class Dialogs:
    """Record of what was asked, and the answers to give."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self._answers: dict[str, Any] = {}

    def answer(self, question: str, value: Any) -> None:
        """Set the answer to ``question``, for example "QMessageBox.question" (a button) or "QDialog.exec_" (an int)."""
        self._answers[question] = value

    def clear(self) -> None:
        """Forget messages and answers."""
        self.messages.clear()
        self._answers.clear()

    def ask(self, question: str, text: str, default: Any) -> Any:
        """Record one question and return its answer."""
        self.messages.append((question, text))
        return self._answers.get(question, default)

    def install(self) -> None:
        """Replace the blocking entry points of Qt's dialog classes."""
        box, dialog = QtWidgets.QMessageBox, QtWidgets.QDialog
        plain_exec = dialog.exec  # must be read before exec() is hidden
        for name in BOX_QUESTIONS:
            setattr(box, name, staticmethod(self._box_function(name)))
        box.exec_ = lambda instance: self._run_box(instance)
        dialog.exec_ = lambda instance: self._run_dialog(instance, plain_exec)
        QtWidgets.QMenu.exec_ = lambda menu, *_: self.ask("QMenu.exec_", menu.title, None)
        for name, default in FILE_QUESTIONS.items():
            setattr(QtWidgets.QFileDialog, name, staticmethod(self._file_function(name, default)))
        QtGui.QDesktopServices.openUrl = staticmethod(
            lambda url: self.ask("QDesktopServices.openUrl", url.toString(), True)
        )

    def _box_function(self, name: str) -> Callable[..., Any]:
        standard = QtWidgets.QMessageBox.StandardButton
        default = standard.No if name == "question" else standard.Ok

        def show(_parent: Any, _title: str, text: str, *_buttons: Any) -> Any:
            return self.ask(f"QMessageBox.{name}", text, default)

        return show

    def _run_box(self, box: QtWidgets.QMessageBox) -> Any:
        escape = box.escapeButton()
        buttons = box.standardButtons
        default = box.standardButton(escape) if escape is not None else _least(buttons)
        return self.ask("QMessageBox.exec_", box.text, default)

    def _run_dialog(self, dialog: QtWidgets.QDialog, plain_exec: Callable[..., int]) -> int:
        answer = self.ask("QDialog.exec_", dialog.windowTitle, None)
        if answer is not None:
            return int(answer(dialog) if callable(answer) else answer)
        QtCore.QTimer.singleShot(DIALOG_PATIENCE_MS, dialog.reject)
        return plain_exec(dialog)

    def _file_function(self, name: str, default: Any) -> Callable[..., Any]:
        def choose(_parent: Any = None, title: str = "", *_rest: Any) -> Any:
            return self.ask(f"QFileDialog.{name}", title, default)

        return choose


def _least(buttons: Any) -> Any:
    standard = QtWidgets.QMessageBox.StandardButton
    for button in (standard.Cancel, standard.No, standard.Close, standard.Ok):
        if buttons & button:
            return button
    return standard.Ok
