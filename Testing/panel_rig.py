"""The open panel with two sequences in the scene and a stand-in worker, for tests of its parts."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from DMAFSegmentLib import models

MODULE_FILE = Path(__file__).resolve().parents[1] / "DMAFSegment" / "DMAFSegment.py"


@contextmanager
def opened_panel(host, models_folder, worker, new_volume, monkeypatch):
    """The module's widget, with ``case_t1`` and ``case_flair`` loaded and the models of one folder."""
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(models_folder))
    host.load_module(MODULE_FILE)
    new_volume("case_t1")
    new_volume("case_flair")
    widget = host.open_module("DMAFSegment")
    widget.logic.worker = worker
    yield widget
    host.close_module("DMAFSegment")


def cells_of(table):
    """What a table says, row by row."""
    return [[table.item(r, c).text() for c in range(table.columnCount)] for r in range(table.rowCount)]


def assert_nothing_cut_off(host, panel, names, height):
    """In a panel of 400 pixels each of the named widgets is shown and as wide as its text needs."""
    panel.parent.resize(400, height)
    host.process_events()
    assert panel.parent.width == 400
    for name in names:
        widget = getattr(panel.ui, name)
        assert widget.visible, name
        assert widget.width >= widget.sizeHint().width(), f"{name} is cut off"
