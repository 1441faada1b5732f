"""Stand-ins of the ctk widgets that the module uses."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .ui_loader import register_widget

HEADER_HEIGHT = 26  # pixels
COLLAPSED_MARK, OPEN_MARK = "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}", "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
UNLIMITED_HEIGHT = 16777215  # Qt's QWIDGETSIZE_MAX


@register_widget
class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled box that hides its children when collapsed; click the title to toggle."""

    _stand_in = True
    contentsCollapsed = QtCore.Signal(bool)
    toggled = QtCore.Signal(bool)
    clicked = QtCore.Signal(bool)

    def __init__(self, *args: Any) -> None:
        parent = next((arg for arg in args if isinstance(arg, QtWidgets.QWidget)), None)
        super().__init__(parent)
        self._text = next((arg for arg in args if isinstance(arg, str)), "")
        self._collapsed = False
        self._hidden_by_us: list[QtWidgets.QWidget] = []
        self._later = QtCore.QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._hide_content)
        self.setContentsMargins(4, HEADER_HEIGHT, 4, 4)

    def _get_text(self) -> str:
        return self._text

    def setText(self, text: str) -> None:
        """Set the title."""
        self._text = text
        self.update()

    text = QtCore.Property(str, _get_text, setText)

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def setCollapsed(self, collapsed: bool) -> None:
        """Hide or show the content; children that were hidden before stay hidden."""
        if bool(collapsed) == self._collapsed:
            return
        self._collapsed = bool(collapsed)
        if self._collapsed:
            self._hidden_by_us = []
            self._hide_content()
        else:
            for child in self._hidden_by_us:
                child.show()
        self.setMaximumHeight(HEADER_HEIGHT if self._collapsed else UNLIMITED_HEIGHT)
        self.contentsCollapsed.emit(self._collapsed)
        self.toggled.emit(not self._collapsed)

    collapsed = QtCore.Property(bool, _get_collapsed, setCollapsed)

    def _get_checked(self) -> bool:
        return not self._collapsed

    def setChecked(self, checked: bool) -> None:
        """Open (True) or collapse (False)."""
        self.setCollapsed(not checked)

    checked = QtCore.Property(bool, _get_checked, setChecked)

    def _hide_content(self) -> None:
        for child in self.children():
            if self._collapsed and isinstance(child, QtWidgets.QWidget) and not child.isHidden():
                child.hide()
                self._hidden_by_us.append(child)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """Hide children that arrive while collapsed: later, as they are not fully made when this event comes."""
        if event.added() and self.__dict__.get("_collapsed"):
            self._later.start(0)
        super().childEvent(event)

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        """Hide what the .ui loader added after it had set ``collapsed``."""
        self._hide_content()
        super().showEvent(event)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Toggle on a press in the title line."""
        if event.position().y() < HEADER_HEIGHT:
            self.setCollapsed(not self._collapsed)
            self.clicked.emit(not self._collapsed)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the title line."""
        painter = QtGui.QPainter(self)
        mark = COLLAPSED_MARK if self._collapsed else OPEN_MARK
        painter.drawText(8, HEADER_HEIGHT - 9, f"{mark} {self._text}")
        painter.drawLine(0, HEADER_HEIGHT - 4, self.rect.width(), HEADER_HEIGHT - 4)
        painter.end()


@register_widget
class ctkMessageBox(QtWidgets.QMessageBox):
    """Message box; ``exec_`` never blocks (see dialogs.py)."""

    _stand_in = True
