"""Keyboard, screen readers, light and dark themes: the real panel, its widgets and its pixels."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import slicer
from PySide6 import QtCore, QtWidgets

from DMAFSegmentLib import models
from DMAFSegmentLib.job import Worker
from host import theme as host_theme
from results_rig import choose_subsets

MODULE = Path(__file__).resolve().parents[2] / "DMAFSegment"
UI_TEXT = (MODULE / "Resources" / "UI" / "DMAFSegment.ui").read_text(encoding="utf-8")
PASSIVE = {"QLabel", "QFrame", "QWidget", "QProgressBar", "ctkCollapsibleButton", "qMRMLWidget"}
MIN_CONTRAST = 4.5  # WCAG 2.1, level AA


@pytest.fixture
def panel(host, bundle, new_volume, worker_command, monkeypatch):
    """The panel after a run over all subsets, with every section open."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(bundle.parent))
    host.load_module(MODULE / "DMAFSegment.py")
    for name in ("case_t1", "case_flair"):
        new_volume(name)
    widget = host.open_module("DMAFSegment")
    widget.logic.worker = Worker(worker_command("normal"))
    choose_subsets(widget)
    host.click(widget.ui.applyButton)
    assert host.process_events(until=lambda: not widget.logic.running)
    for section in widget.parent.findChildren(slicer.qMRMLWidget)[0].findChildren(QtWidgets.QWidget):
        if section.className() == "ctkCollapsibleButton":
            section.collapsed = False
    host.process_events()
    widget.parent.resize(widget.parent.width, widget.parent.sizeHint().height())  # as tall as in a scroll area
    host.process_events()
    return widget


def controls(widget):
    """Everything in the panel that a key or the mouse can act on."""
    kinds = (
        QtWidgets.QAbstractButton,
        QtWidgets.QComboBox,
        QtWidgets.QAbstractSlider,
        QtWidgets.QAbstractItemView,
        QtWidgets.QPlainTextEdit,
        QtWidgets.QTextBrowser,
        QtWidgets.QLineEdit,
        QtWidgets.QAbstractSpinBox,
        slicer.qMRMLNodeComboBox,
    )
    found = [child for child in widget.parent.findChildren(QtWidgets.QWidget) if isinstance(child, kinds)]
    return [child for child in found if child.objectName and not child.objectName.startswith("qt_")]


def test_keyboard_order_is_the_order_of_the_page_and_names_every_control():
    written = [name for kind, name in re.findall(r'<widget class="(\w+)" name="(\w+)"', UI_TEXT) if kind not in PASSIVE]
    assert re.findall(r"<tabstop>(\w+)</tabstop>", UI_TEXT) == written


def test_every_control_says_what_it_is(panel):
    """A screen reader reads the accessible name, or the text of a button."""
    found = controls(panel)
    assert len(found) > 15
    for control in found:
        text = control.text if isinstance(control, QtWidgets.QAbstractButton) else ""
        assert control.accessibleName or text, control.objectName


def test_shortcut_letters_are_used_once():
    """Alt and a letter goes to one place; a letter that two widgets share only cycles between them."""
    letters = [letter.lower() for letter in re.findall(r"&amp;(\w)", UI_TEXT)]
    assert sorted(letters) == sorted(set(letters))


# -- themes -------------------------------------------------------------------------------------------


@pytest.fixture(params=["light", "dark"])
def theme(request, host):
    """Slicer's light or dark colors."""
    with host_theme.theme(dark=request.param == "dark"):
        yield request.param


def luminance(pixels):
    """Relative luminance (WCAG 2.1) of sRGB pixels (..., 3)."""
    parts = pixels / 255.0
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def text_contrast(pixels):
    """Contrast between the commonest color of a picture and the pixel that differs most from it."""
    colors, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    background = luminance(colors[counts.argmax()])
    values = luminance(colors)
    ratios = (np.maximum(values, background) + 0.05) / (np.minimum(values, background) + 0.05)
    return float(ratios.max())


def shown_texts(widget):
    """Visible, enabled widgets that show a text."""
    kinds = (QtWidgets.QLabel, QtWidgets.QCheckBox, QtWidgets.QPushButton)
    for child in widget.parent.findChildren(QtWidgets.QWidget):
        if isinstance(child, kinds) and child.enabled and child.text and not child.visibleRegion().isEmpty():
            yield child


def test_every_text_can_be_read_in_both_themes(host, panel, theme):
    host.process_events()
    picture = host.grab(panel.parent)
    names = []
    for child in shown_texts(panel):
        corner = child.mapTo(panel.parent, QtCore.QPoint(0, 0))
        piece = picture[corner.y() : corner.y() + child.height, corner.x() : corner.x() + child.width]
        assert text_contrast(piece) >= MIN_CONTRAST, f"{child.objectName} in the {theme} theme"
        names.append(child.objectName)
    assert {"noticeLabel", "summaryLabel", "statusLabel", "applyButton", "subsetsLabel"} <= set(names)


def test_the_theme_reaches_the_panel(host, panel, theme):
    """The check above would prove nothing on a panel that stays light: its window follows the theme."""
    host.process_events()
    picture = host.grab(panel.parent)
    colors, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    commonest = luminance(colors[counts.argmax()])
    assert commonest < 0.1 if theme == "dark" else commonest > 0.6


def test_the_measure_of_contrast():
    black_on_white = np.full((10, 10, 3), 255, np.uint8)
    black_on_white[3] = 0
    assert text_contrast(black_on_white) == pytest.approx(21)
    gray = np.full((10, 10, 3), 119, np.uint8)  # #777 on white: 4.48, the textbook example just below AA
    gray[:8] = 255
    assert text_contrast(gray) == pytest.approx(4.48, abs=0.01)


def test_no_color_is_written_into_the_panel():
    """Colors come from the theme; segment colors are data."""
    assert "styleSheet" not in UI_TEXT
    assert "<palette>" not in UI_TEXT
    for path in (MODULE / "DMAFSegmentLib").glob("panel*.py"):
        source = path.read_text(encoding="utf-8")
        assert "styleSheet" not in source, path.name
        assert not re.search(r"#[0-9a-fA-F]{6}\b|color\s*[:=]\s*[\"']", source), path.name


def test_tab_visits_the_selectors_before_the_rest(host, panel):
    """The selectors are made in Python: they come before the model, in the order of the channels."""
    combos = list(panel.panel.selectors.combos.values())
    for earlier, later in itertools.pairwise(combos):
        assert earlier.y < later.y
    order, current = [], combos[0].nextInFocusChain()
    while current is not combos[0] and len(order) < 500:
        order.append(current)
        current = current.nextInFocusChain()
    places = [order.index(widget) for widget in [*combos[1:], panel.ui.modelComboBox, panel.ui.applyButton]]
    assert places == sorted(places)
