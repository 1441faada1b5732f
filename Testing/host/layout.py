"""Views of the current layout: where each view lies, and the slice logics of the slice views."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import slicer

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
NOMINAL_SIZE = (1200, 800)  # pixels of the view area until the first picture is asked for
FIRST_ARRANGEMENT = slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView
SLICE_CLASS = "vtkMRMLSliceNode"


def cells_of(description: str) -> dict[str, tuple[str, Box]]:
    """Return {tag: (MRML view class, (x0, y0, x1, y1))} of a layout description; fractions of the whole, y up.

    Raises ValueError for a kind of layout that is not drawn here.
    """
    return _cells(ElementTree.fromstring(description), WHOLE)  # noqa: S314 - the text of the scene's own layout node


def _cells(element: ElementTree.Element, box: Box) -> dict[str, tuple[str, Box]]:
    if element.tag == "view":
        return {element.get("singletontag", ""): (element.get("class", ""), box)}
    kind = element.get("type", "horizontal")
    items = [item for item in element.findall("item") if len(item)]
    if kind == "tab":
        return _cells(items[0][0], box)  # only the front tab can be seen
    if kind not in ("horizontal", "vertical"):
        raise ValueError(f"Layout type '{kind}' is not drawn by the stand-in; use horizontal, vertical or tab.")
    weights = [float(item.get("splitSize", 1)) for item in items]
    cells: dict[str, tuple[str, Box]] = {}
    start = 0.0
    for item, weight in zip(items, weights, strict=True):
        end = start + weight / sum(weights)
        cells |= _cells(item[0], _part(box, kind, start, end))
        start = end
    return cells


def _part(box: Box, kind: str, start: float, end: float) -> Box:
    x0, y0, x1, y1 = box
    if kind == "horizontal":
        return (x0 + (x1 - x0) * start, y0, x0 + (x1 - x0) * end, y1)
    return (x0, y1 - (y1 - y0) * end, x1, y1 - (y1 - y0) * start)


class LayoutViews:
    """Follows the layout node: slice logics are made as soon as the view arrangement changes, as Slicer does.

    The nodes of the views come from the real vtkMRMLLayoutLogic. A slice logic is kept when its view leaves the layout.
    """

    def __init__(self, scene: Any, application_logic: Any) -> None:
        self._scene = scene
        self._application_logic = application_logic
        self.slice_logics: dict[str, Any] = {}
        self.logic = slicer.vtkMRMLLayoutLogic()
        self.logic.SetMRMLScene(scene)
        self.node = self.logic.GetLayoutNode()
        self.node.SetViewArrangement(FIRST_ARRANGEMENT)
        self._observer = self.node.AddObserver("ModifiedEvent", self._update)  # after the logic's own observer
        self._update()

    def cells(self) -> dict[str, tuple[str, Box]]:
        """Return {tag: (MRML view class, box)} of the current layout, see cells_of."""
        description = self.node.GetCurrentLayoutDescription()
        return cells_of(description) if description else {}

    def slice_tags(self) -> tuple[str, ...]:
        """Return the tags of the slice views in the current layout."""
        return tuple(tag for tag, (view_class, _) in self.cells().items() if view_class == SLICE_CLASS)

    def _update(self, *_: Any) -> None:
        for tag, (view_class, box) in self.cells().items():
            node = self._scene.GetSingletonNode(tag, SLICE_CLASS) if view_class == SLICE_CLASS else None
            if node is not None and tag not in self.slice_logics:
                self.slice_logics[tag] = self._make_slice_logic(node, box)

    def _make_slice_logic(self, node: Any, box: Box) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._application_logic)
        logic.SetMRMLScene(self._scene)
        self._application_logic.GetSliceLogics().AddItem(logic)
        logic.SetSliceNode(node)  # AddSliceNode(tag) would make a second node without an ID
        width, height = NOMINAL_SIZE
        logic.ResizeSliceNode(int((box[2] - box[0]) * width), int((box[3] - box[1]) * height))
        return logic

    def reset(self) -> None:
        """Show the first layout again and forget the views that it does not have."""
        self.node.SetViewArrangement(FIRST_ARRANGEMENT)
        for tag in set(self.slice_logics) - set(self.slice_tags()):
            logic = self.slice_logics.pop(tag)
            nodes = (logic.GetSliceCompositeNode(), logic.GetSliceNode())
            logic.DeleteSliceModel()
            self._application_logic.GetSliceLogics().RemoveItem(logic)
            logic.SetMRMLScene(None)
            for node in nodes:
                self._scene.RemoveNode(node)

    def close(self) -> None:
        """Take the logics off the scene."""
        self.node.RemoveObserver(self._observer)
        self._application_logic.GetSliceLogics().RemoveAllItems()
        for logic in self.slice_logics.values():
            logic.SetMRMLScene(None)
        self.slice_logics.clear()
        self.logic.SetMRMLScene(None)
