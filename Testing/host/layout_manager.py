"""``slicer.app.layoutManager()``: layouts, without view widgets (``sliceWidget`` and ``threeDWidget`` do not exist)."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from .layout import LayoutViews


def _zero(_: Any) -> int:
    return 0


class LayoutManager(QtCore.QObject):
    """Stand-in of qSlicerLayoutManager."""

    _stand_in = True
    layoutChanged = QtCore.Signal(int)
    threeDViewCount = QtCore.Property(int, _zero)
    tableViewCount = QtCore.Property(int, _zero)
    plotViewCount = QtCore.Property(int, _zero)

    def __init__(self, views: LayoutViews, application_logic: Any) -> None:
        super().__init__()
        self._views = views
        self._application_logic = application_logic
        self._arrangement = views.node.GetViewArrangement()
        views.node.AddObserver("ModifiedEvent", self._on_modified)

    def _on_modified(self, node: Any, _event: str) -> None:
        if node.GetViewArrangement() != self._arrangement:
            self._arrangement = node.GetViewArrangement()
            self.layoutChanged.emit(self._arrangement)

    def _get_layout(self) -> int:
        return self._views.node.GetViewArrangement()

    def setLayout(self, arrangement: int) -> None:
        """Set the view arrangement."""
        self._views.node.SetViewArrangement(arrangement)

    layout = QtCore.Property(int, _get_layout, setLayout)

    def layoutLogic(self) -> Any:
        """Return the real vtkMRMLLayoutLogic."""
        return self._views.logic

    def mrmlSliceLogics(self) -> Any:
        """Return the vtkCollection of slice logics."""
        return self._application_logic.GetSliceLogics()

    def sliceViewNames(self) -> tuple[str, ...]:
        """Return the tags of the slice views in the current layout."""
        return self._views.slice_tags()

    def resetSliceViews(self) -> None:
        """Fit all slice views of the current layout."""
        for tag in self._views.slice_tags():
            self._views.slice_logics[tag].FitSliceToAll()
