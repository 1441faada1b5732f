"""Offscreen pictures of slice views: real slice logics and displayable managers, one render window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .layout import Box

DISPLAYABLE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
)
LABEL_FONT_SIZE = 14
LABEL_SHADE = 0.6  # opacity of the black box behind the text
LABEL_MARGIN = 6  # pixels
OTHER_VIEW_COLOR = (0.25, 0.25, 0.3)  # a view that is not a slice view is an empty area


class SliceView:
    """One slice view in a part of a render window."""

    def __init__(self, window: Any, box: Box, logic: Any) -> None:
        self.logic = logic
        self._renderer = vtk.vtkRenderer()
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._renderer.SetViewport(*box)
        window.AddRenderer(self._renderer)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        image = vtk.vtkActor2D()
        image.SetMapper(self._mapper)
        image.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(image)  # first: drawn later it would fail the depth test below translucent fills
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.Initialize(_factory(), self._renderer)
        self._managers.SetMRMLDisplayableNode(logic.GetSliceNode())
        self._label = vtk.vtkTextActor()
        self._label.GetTextProperty().SetFontSize(LABEL_FONT_SIZE)
        self._label.GetTextProperty().SetBackgroundOpacity(LABEL_SHADE)
        self._label.SetPosition(LABEL_MARGIN, LABEL_MARGIN)
        self._renderer.AddViewProp(self._label)

    def update(self, width: int, height: int) -> None:
        """Fit the slice node to the size of the view (pixels) and refresh image and label."""
        node = self.logic.GetSliceNode()
        self.logic.ResizeSliceNode(width, height)
        self._label.SetInput(node.GetLayoutLabel() or "")
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())

    def close(self) -> None:
        """Take the displayable managers off the scene."""
        self._managers.SetMRMLDisplayableNode(None)
        self._managers.SetRenderer(None)


def _factory() -> Any:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    for name in DISPLAYABLE_MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory


class ViewPicture:
    """The window that all views of one layout share; made again when the layout or the size changes."""

    def __init__(self) -> None:
        self._window: Any = None
        self._views: dict[str, tuple[Box, SliceView]] = {}
        self._key: Any = None

    def render(self, cells: Mapping[str, tuple[str, Box]], logics: Mapping[str, Any], size: tuple[int, int]) -> Any:
        """Return a uint8 picture (height, width, 3) of ``cells``, first row on top; ``size`` is (width, height)."""
        key = (tuple(cells.items()), size)
        if key != self._key:
            self._build(cells, logics, size)
            self._key = key
        for box, view in self._views.values():
            view.update(round((box[2] - box[0]) * size[0]), round((box[3] - box[1]) * size[1]))
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])

    def _build(self, cells: Mapping[str, tuple[str, Box]], logics: Mapping[str, Any], size: tuple[int, int]) -> None:
        self.close()
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetShowWindow(False)
        self._window.SetSize(*size)
        interactor = vtk.vtkRenderWindowInteractor()  # displayable managers look for one
        interactor.SetRenderWindow(self._window)
        for tag, (view_class, box) in cells.items():
            if view_class == "vtkMRMLSliceNode":
                self._views[tag] = (box, SliceView(self._window, box, logics[tag]))
            else:
                empty = vtk.vtkRenderer()
                empty.SetViewport(*box)
                empty.SetBackground(*OTHER_VIEW_COLOR)
                self._window.AddRenderer(empty)

    def close(self) -> None:
        """Release views and window."""
        for _, view in self._views.values():
            view.close()
        self._views.clear()
        if self._window is not None:
            self._window.Finalize()
        self._window = None
        self._key = None
