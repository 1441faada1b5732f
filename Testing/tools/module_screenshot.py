"""Picture of the module at work: the panel and the comparison grid after a run on a real case.

    python Testing/tools/module_screenshot.py CASE_FOLDER OUTPUT.png

Opens the module on the Slicer stand-in, loads every image of the folder (``*_t1.nii.gz``, ``*_flair.nrrd``, ...),
clicks Apply for all subsets, waits, and prints the time from the click to the first and to the last result.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing"), str(ROOT / "DMAFSegment")]

import numpy as np  # noqa: E402

from host import Host  # noqa: E402 - needs the path above

PATTERNS = ("*.nii.gz", "*.nii", "*.nrrd", "*.mha")
PANEL_WIDTH = 400
GRID_WIDTH = 1400
MIN_HEIGHT = 900


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", type=Path, help="folder with one image file per sequence")
    parser.add_argument("output", type=Path, help="PNG file to write")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds to wait for the last result")
    arguments = parser.parse_args()
    host = Host()
    try:
        return run(host, arguments.case, arguments.output, arguments.timeout)
    finally:
        host.close()


def run(host: Host, case: Path, output: Path, timeout: float) -> int:
    """Segment the case and write the picture; returns the exit code."""
    load_case(case)
    host.load_module(ROOT / "DMAFSegment" / "DMAFSegment.py")
    widget = host.open_module("DMAFSegment")
    if not segment(host, widget, timeout):
        print(widget.ui.statusLabel.text or widget.ui.applyButton.toolTip, file=sys.stderr)
        return 1
    host.click(widget.ui.gridButton)
    host.process_events()
    panel = picture_of_panel(host, widget)
    size = (GRID_WIDTH, panel.shape[0])
    host.render_layout(size)
    widget.panel.results.grid.fit()  # as Slicer does once the views have their size
    grid = host.render_layout(size)
    host.save_png(np.hstack([panel, grid]), output)
    print(f"{widget.ui.statusLabel.text} Picture: {output}")
    return 0


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
    widget.ui.allSubsetsCheckBox.checked = True
    start = time.monotonic()
    host.click(widget.ui.applyButton)
    host.process_events(until=lambda: widget.logic.segmentations or not widget.logic.running, timeout=timeout)
    first = time.monotonic() - start
    host.process_events(until=lambda: not widget.logic.running, timeout=timeout)
    last = time.monotonic() - start
    count = len(widget.logic.segmentations)
    print(f"click to first result {first:.1f} s, to the last of {count} {last:.1f} s")
    return count > 0 and widget.ui.statusLabel.text.startswith("Finished")


def picture_of_panel(host: Host, widget: Any) -> np.ndarray:
    """The panel in the width it has in Slicer, as tall as its content."""
    frame = widget.parent
    frame.resize(PANEL_WIDTH, MIN_HEIGHT)
    host.process_events()
    frame.resize(PANEL_WIDTH, max(MIN_HEIGHT, frame.heightForWidth(PANEL_WIDTH), frame.sizeHint().height()))
    host.process_events()
    return host.grab(frame)


if __name__ == "__main__":
    sys.exit(main())
