"""The open panel with a worker that moves scans, for tests of preprocessing."""

from __future__ import annotations

import pytest

from DMAFSegmentLib.job import Worker
from panel_rig import opened_panel


@pytest.fixture
def raw_panel(host, bundle, worker_command, new_volume, monkeypatch):
    """The open panel with T1 and FLAIR and its section on preprocessing open; a run moves FLAIR, with doubt."""
    with opened_panel(host, bundle.parent, Worker(worker_command("raw")), new_volume, monkeypatch) as widget:
        widget.ui.preprocessingButton.collapsed = False
        widget.parent.resize(400, 2200)
        host.process_events()
        yield widget
