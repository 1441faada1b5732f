"""Pictures of the module, taken on the Slicer stand-in.

    python Testing/tools/module_screenshot.py CASE_FOLDER OUTPUT.png
    python Testing/tools/module_screenshot.py --states FOLDER [--dark]

The first shows the module at work: loads every image of the folder (``*_t1.nii.gz``, ``*_flair.nrrd``, ...), clicks
Apply for all subsets, waits, prints the time from the click to the first and to the last result, and draws the panel
beside the comparison grid; ``OUTPUT-pair.png`` beside it shows two results and their difference. The second draws the
panel in each of its states, on the shipped sample case.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing"), str(ROOT / "DMAFSegment")]

import numpy as np  # noqa: E402

from host import Host  # noqa: E402 - needs the path above
from tools.panel_states import draw_states, picture_of_panel  # noqa: E402

PATTERNS = ("*.nii.gz", "*.nii", "*.nrrd", "*.mha")
GRID_WIDTH = 1400
MIN_HEIGHT = 900


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", type=Path, nargs="?", help="folder with one image file per sequence")
    parser.add_argument("output", type=Path, nargs="?", help="PNG file to write")
    parser.add_argument("--states", type=Path, metavar="FOLDER", help="draw the states of the panel into this folder")
    parser.add_argument("--dark", action="store_true", help="draw the states in dark colors")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds to wait for the last result")
    arguments = parser.parse_args()
    if (arguments.states is None) == (arguments.output is None):
        parser.error("give CASE and OUTPUT, or --states FOLDER")
    host = Host()
    try:
        if arguments.states is not None:
            draw_states(host, arguments.states, arguments.dark)
            return 0
        return run(host, arguments.case, arguments.output, arguments.timeout)
    finally:
        host.close()


def run(host: Host, case: Path, output: Path, timeout: float) -> int:
    """Segment the case and write the pictures; returns the exit code."""
    load_case(case)
    host.load_module(ROOT / "DMAFSegment" / "DMAFSegment.py")
    widget = host.open_module("DMAFSegment")
    if not segment(host, widget, timeout):
        print(widget.ui.statusLabel.text or widget.ui.applyButton.toolTip, file=sys.stderr)
        return 1
    pair = output.with_name(f"{output.stem}-pair{output.suffix}")
    host.click(widget.ui.gridButton)
    host.save_png(picture(host, widget, widget.panel.results.compare.grid.fit), output)
    host.click(widget.ui.pairButton)
    host.save_png(picture(host, widget, widget.panel.results.pair.view.stage.fit), pair)
    print(f"{widget.ui.statusLabel.text} Pictures: {output}, {pair}")
    return 0


def picture(host: Host, widget: Any, fit: Callable[[], None]) -> np.ndarray:
    """The panel beside the views; ``fit`` zooms them, as Slicer does once they have their size."""
    host.process_events()
    panel = picture_of_panel(host, widget, MIN_HEIGHT)
    size = (GRID_WIDTH, panel.shape[0])
    host.render_layout(size)
    fit()
    return np.hstack([panel, host.render_layout(size)])


def load_case(folder: Path) -> None:
    """Load every image of the folder but segmentations."""
    import slicer

    files = sorted(path for pattern in PATTERNS for path in folder.glob(pattern) if "seg" not in path.name)
    if not files:
        raise SystemExit(f"{folder} holds no image files ({', '.join(PATTERNS)}).")
    for path in files:
        slicer.util.loadVolume(str(path))


def segment(host: Host, widget: Any, timeout: float) -> bool:
    """Click Apply for all subsets and wait; False when nothing could be run or it failed."""
    if not widget.ui.applyButton.enabled:
        return False
    combo = widget.ui.subsetsComboBox
    combo.currentIndex = combo.findData("all")
    start = time.monotonic()
    host.click(widget.ui.applyButton)
    host.process_events(until=lambda: widget.logic.segmentations or not widget.logic.running, timeout=timeout)
    first = time.monotonic() - start
    host.process_events(until=lambda: not widget.logic.running, timeout=timeout)
    last = time.monotonic() - start
    count = len(widget.logic.segmentations)
    print(f"click to first result {first:.1f} s, to the last of {count} {last:.1f} s")
    return count > 0 and widget.ui.statusLabel.text.startswith("Finished")


if __name__ == "__main__":
    sys.exit(main())
