"""Where results of slow steps are kept on this computer. Standard library only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_NAME = "DMAFSegment"


def default_cache() -> Path | None:
    """The folder for prepared scans in the user's cache folder, by the rule of the platform; None without a home."""
    try:
        return _user_cache() / _NAME / "scans"
    except RuntimeError:  # nobody's home can be told
        return None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".cache"  # the rule of XDG: relative ones do not count
