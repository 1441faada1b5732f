"""Text of Slicer's layout descriptions: views, and rows and columns of them."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

_VIEW_COLOR = "#4a6fa5"


def slice_view(tag: str, title: str, group: int) -> str:
    """A slice view; ``tag`` is its layout name, without spaces. Linking acts inside one ``group`` only."""
    properties = {"orientation": "Axial", "viewlabel": title, "viewcolor": _VIEW_COLOR, "viewgroup": str(group)}
    return _view("vtkMRMLSliceNode", tag, properties)


def space_view(tag: str, title: str, group: int) -> str:
    """A 3-D view."""
    return _view("vtkMRMLViewNode", tag, {"viewlabel": title, "viewcolor": _VIEW_COLOR, "viewgroup": str(group)})


def plot_view(tag: str) -> str:
    """A view of bars and curves."""
    return _view("vtkMRMLPlotViewNode", tag, {"viewlabel": tag})


def row(parts: Sequence[str], shares: Sequence[int] = ()) -> str:
    """Parts beside each other; ``shares`` are their widths, equal when not given."""
    return _split("horizontal", parts, shares)


def column(parts: Sequence[str]) -> str:
    """Parts below each other."""
    return _split("vertical", parts, ())


def _split(kind: str, parts: Sequence[str], shares: Sequence[int]) -> str:
    sizes = [f' splitSize="{share}"' for share in shares] or [""] * len(parts)
    items = "".join(f"<item{size}>{part}</item>" for size, part in zip(sizes, parts, strict=True))
    return f'<layout type="{kind}" split="true">{items}</layout>'


def _view(kind: str, tag: str, properties: dict[str, str]) -> str:
    inner = "".join(
        f'<property name="{name}" action="default">{_escape(value)}</property>' for name, value in properties.items()
    )
    return f'<view class="{kind}" singletontag="{tag}">{inner}</view>'


def _escape(text: str) -> str:
    return quoteattr(text)[1:-1]
