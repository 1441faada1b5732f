"""Slicer's dark colors, for looking at panels in both themes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from PySide6 import QtGui, QtWidgets

BACKGROUNDS = {"Window": 50, "Base": 35, "AlternateBase": 50, "Button": 50, "ToolTipBase": 50}  # shades of gray
TEXTS = ("WindowText", "Text", "ButtonText", "ToolTipText")
TEXT, DISABLED_TEXT = 255, 127
LINK = (110, 175, 255)


def dark_palette() -> QtGui.QPalette:
    """Light text on dark gray, disabled text in middle gray."""
    palette = QtGui.QPalette(QtWidgets.QApplication.palette())
    for name, shade in BACKGROUNDS.items():
        palette.setColor(getattr(QtGui.QPalette.ColorRole, name), _gray(shade))
    for name in TEXTS:
        role = getattr(QtGui.QPalette.ColorRole, name)
        palette.setColor(role, _gray(TEXT))
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, _gray(DISABLED_TEXT))
    palette.setColor(QtGui.QPalette.ColorRole.Link, QtGui.QColor(*LINK))
    return palette


@contextlib.contextmanager
def theme(dark: bool) -> Iterator[None]:
    """The dark colors, or those that are there, for the time of a ``with`` block."""
    before = QtWidgets.QApplication.palette()
    if dark:
        QtWidgets.QApplication.setPalette(dark_palette())
    try:
        yield
    finally:
        QtWidgets.QApplication.setPalette(before)


def _gray(shade: int) -> QtGui.QColor:
    return QtGui.QColor(shade, shade, shade)
