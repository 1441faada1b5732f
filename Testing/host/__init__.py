"""A strict stand-in of 3D Slicer for tests: the real module, without Slicer.

The real widget class and its real .ui file run on real MRML (the slicer-core wheel: scene, logics, files,
``slicer.util``) and on PySide6 that is given PythonQt's face. Slice views are rendered offscreen by the real slice
logics and displayable managers.

>>> from host import Host
>>> host = Host()                                   # one per process
>>> host.load_module("DMAFSegment/DMAFSegment.py")
>>> widget = host.open_module("DMAFSegment")
>>> host.click(widget.ui.applyButton)

Not covered, test it in Slicer: the main window and module selection, slice and 3D view widgets
(``layoutManager().sliceWidget``), 3D rendering, mouse work in views, CLI modules, SegmentStatistics, the DICOM
database (only tag values that a test sets), the terminology files, translations, reloading, ``slicer.packaging``,
``slicer.parameterNodeWrapper``, PythonQt's own conversion of exotic types, and every platform but the one it runs on.
"""

from __future__ import annotations

from .environment import prepare, rendering_problem

prepare()

from .runtime import Host, SlotError  # noqa: E402 - the environment must be set first

__all__ = ["Host", "SlotError", "rendering_problem"]
