"""The states of the panel, one picture each: empty, ready, running, done, failed, not installed."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from host import Host
from host.theme import theme

ROOT = Path(__file__).resolve().parents[2]
MODULE_FILE = ROOT / "DMAFSegment" / "DMAFSegment.py"
FAKE_WORKER = ROOT / "Testing" / "module" / "fake_worker.py"
PANEL_WIDTH = 400  # pixels, as in Slicer
MIN_HEIGHT = 300
CAPTION = 28
COLORS = 96  # of a palette picture: panels are flat
TIMEOUT = 600  # seconds for a state to come


def draw_states(host: Host, folder: Path, dark: bool = False) -> None:
    """Write ``<state>.png`` for every state, and ``sheet.png`` with all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with theme(dark):
        pictures = {name: draw(host, prepare) for name, prepare in STATES.items()}
    for name, picture in pictures.items():
        write(picture, folder / f"{name}.png")
    write(contact_sheet(pictures), folder / "sheet.png")


def draw(host: Host, prepare: Callable[[Host], Any]) -> np.ndarray:
    """Open the module in one state and take its picture; everything is reset afterwards."""
    host.load_module(MODULE_FILE)
    widget = prepare(host)
    try:
        return picture_of_panel(host, widget)
    finally:
        widget.logic.cancel()
        host.reset()


def picture_of_panel(host: Host, widget: Any, least: int = MIN_HEIGHT) -> np.ndarray:
    """The panel in the width it has in Slicer, as tall as its content and at least ``least`` pixels."""
    frame = widget.parent
    frame.resize(PANEL_WIDTH, least)
    host.process_events()
    for _ in range(2):  # wrapped texts tell their height only once they have their width
        frame.resize(PANEL_WIDTH, max(least, frame.heightForWidth(PANEL_WIDTH), frame.sizeHint().height()))
        host.process_events()
    return host.grab(frame)


# -- the states ---------------------------------------------------------------------------------------


def empty(host: Host) -> Any:
    """Nothing is loaded."""
    return settled(host, host.open_module("DMAFSegment"))


def ready(host: Host) -> Any:
    """The sample case is loaded."""
    widget = empty(host)
    host.click(widget.ui.sampleButton)
    return settled(host, widget)


def running(host: Host) -> Any:
    """A third of the subsets is done (by the stand-in worker, which is slow on purpose)."""
    widget = start(host, "slow")
    reached(host, lambda: len(widget.logic.segmentations) == 5)
    return widget


def done(host: Host) -> Any:
    """All subsets are there, from the real worker and the shipped model."""
    widget = start(host, None)
    reached(host, lambda: not widget.logic.running)
    return settled(host, widget)


def preprocessed(host: Host) -> Any:
    """The section on preprocessing is open and tells of scans that were moved, one of them with doubt."""
    widget = start(host, "raw")
    widget.ui.preprocessingButton.collapsed = False
    reached(host, lambda: not widget.logic.running)
    return settled(host, widget)


def failed(host: Host) -> Any:
    """The worker ran out of memory."""
    widget = start(host, "error")
    reached(host, lambda: not widget.logic.running)
    return settled(host, widget)


def not_installed(host: Host) -> Any:
    """Slicer's Python lacks everything the worker needs."""
    with bare_python():
        widget = host.open_module("DMAFSegment")
        host.click(widget.ui.sampleButton)
        return settled(host, widget)


STATES = {
    "empty": empty,
    "ready": ready,
    "running": running,
    "done": done,
    "preprocessed": preprocessed,
    "failed": failed,
    "not-installed": not_installed,
}


def start(host: Host, behavior: str | None) -> Any:
    """Press Apply for all subsets of the sample case, with the stand-in worker or (None) the real one."""
    from DMAFSegmentLib.job import Worker  # once the module is loaded

    widget = ready(host)
    if behavior is not None:
        widget.logic.worker = Worker((sys.executable, str(FAKE_WORKER), behavior))
    combo = widget.ui.subsetsComboBox
    combo.currentIndex = combo.findData("all")
    host.click(widget.ui.applyButton)
    return widget


def settled(host: Host, widget: Any) -> Any:
    """Wait for the answers of the children that look at Python and, when nothing is missing, at the devices."""
    environment = widget.panel.environment
    reached(host, lambda: environment.check is not None)
    if environment.check.ready:
        reached(host, lambda: widget.ui.deviceComboBox.count > 1)
    return widget


def reached(host: Host, state: Callable[[], Any]) -> None:
    """Handle events until the state is there.

    Raises:
        RuntimeError: it does not come.
    """
    if not host.process_events(until=state, timeout=TIMEOUT):
        raise RuntimeError("The panel did not reach the state.")


@contextlib.contextmanager
def bare_python() -> Iterator[None]:
    """A ``PythonSlicer`` without packages on the search path."""
    before = os.environ["PATH"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "PythonSlicer"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        os.environ["PATH"] = folder + os.pathsep + before
        try:
            yield
        finally:
            os.environ["PATH"] = before


# -- pictures -----------------------------------------------------------------------------------------


def contact_sheet(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """All pictures side by side, half as large, with their names."""
    halves = {name: Image.fromarray(picture).reduce(2) for name, picture in pictures.items()}
    height = max(piece.height for piece in halves.values())
    sheet = Image.new("RGB", (sum(piece.width + 8 for piece in halves.values()), height + CAPTION), "white")
    x = 0
    for name, piece in halves.items():
        ImageDraw.Draw(sheet).text((x + 6, 8), name, fill="black")
        sheet.paste(piece, (x, CAPTION))
        x += piece.width + 8
    return np.asarray(sheet)


def write(picture: np.ndarray, path: Path) -> None:
    """Write a palette PNG."""
    Image.fromarray(picture).quantize(COLORS).save(path, optimize=True)
    print(f"{path} ({path.stat().st_size // 1000} kB)")
