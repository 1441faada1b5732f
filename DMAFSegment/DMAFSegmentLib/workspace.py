"""The temporary folder of a run, and those that a killed Slicer left behind: they hold copies of images."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

JOB_FILE = "job.json"
_PREFIX = "dmafrun-"  # short: Windows limits path lengths
_STALE_AFTER_S = 24 * 60 * 60.0  # no run lasts a day


def make_workspace() -> Path:
    """A new folder for one run; stale ones are removed first.

    Raises:
        OSError: there is no room or no right to make it.
    """
    remove_stale()
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def remove_stale() -> None:
    """Remove run folders older than a day: what is younger may belong to another Slicer."""
    oldest = time.time() - _STALE_AFTER_S
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another Slicer may be removing it too
            if not folder.is_symlink() and (folder / JOB_FILE).is_file() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)
