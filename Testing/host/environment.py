"""Process-wide settings that must be made before Qt and VTK are imported."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

NO_RENDERING = (
    "offscreen rendering needs libEGL and Mesa: install the packages libegl1, libegl-mesa0 and libgl1-mesa-dri "
    "(missing: {missing})"
)
SPARE_REFERENCES = 1 << 40


def prepare() -> None:
    """Choose offscreen Qt and EGL rendering, and keep Python's singletons alive."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if sys.platform == "linux":  # elsewhere VTK renders offscreen by itself
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    _protect_singletons()
    _import_slicer_core()


def _import_slicer_core() -> None:
    """Import slicer-core without the test folders on its search path.

    ``slicer`` takes every folder named "slicer" on sys.path for an add-on and imports all files in it.
    """
    plain = list(sys.path)
    sys.path[:] = [entry for entry in plain if not _holds_tests(Path(entry or ".") / "slicer")]
    try:
        import slicer  # noqa: F401
    finally:
        sys.path[:] = plain


def _holds_tests(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("test_*.py"))


def _protect_singletons() -> None:
    """Work around PySide6 6.12 on Python before 3.12: calls lose references to None, True and False.

    The wheel takes these objects for immortal, which they are since Python 3.12. Without this, a long test run ends
    in "Fatal Python error: none_dealloc".
    """
    if sys.version_info < (3, 12):
        for singleton in (None, True, False):
            ctypes.c_ssize_t.from_address(id(singleton)).value += SPARE_REFERENCES


def rendering_problem() -> str | None:
    """Return why slice views cannot be rendered on this machine, or None when they can."""
    if sys.platform != "linux":
        return None
    missing = [name for name in ("EGL", "GL") if ctypes.util.find_library(name) is None]
    return NO_RENDERING.format(missing=", ".join(f"lib{name}" for name in missing)) if missing else None
