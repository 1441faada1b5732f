"""Two results side by side, and a third view with their difference, or with one and the other in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute, stored
from DMAFSegmentLib.comparison import LAST_LAYOUT_ID, TAG, Cell
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.layouts import row, slice_view
from DMAFSegmentLib.view_stage import Focus, View, ViewStage

PAIR_LAYOUT_ID = LAST_LAYOUT_ID
PAIR_GROUP = 75
A, B = "a", "b"
TAG_A, TAG_B, TAG_THIRD = f"{TAG}A", f"{TAG}B", f"{TAG}Difference"


class PairView:
    """Result A, result B and their difference in three linked views; see :class:`ViewStage`.

    ``turn`` says what the third view shows: :data:`A`, :data:`B`, or empty for the difference.
    """

    def __init__(self, scene: Any, application_logic: Any, layout_node: Node) -> None:
        self.stage = ViewStage(scene, application_logic, layout_node, PAIR_GROUP)
        self.turn = ""
        self._cells: dict[str, Cell] = {}
        self._difference: Node | None = None

    def show(self, a: Cell, b: Cell, difference: Node, focus: Focus) -> None:
        """Switch to the three views, at the slice with most of the focus, or change what they show."""
        self._cells, self._difference, self.turn = {A: a, B: b}, difference, ""
        views = [self._view(TAG_A, A), self._view(TAG_B, B), self._third()]
        xml = row([slice_view(view.tag, view.title, PAIR_GROUP) for view in views])
        self.stage.open(PAIR_LAYOUT_ID, xml, views, focus)
        self.stage.fit()

    def swap(self) -> None:
        """Show A in the third view, or B if A is there: what changes jumps to the eye."""
        self.turn = B if self.turn == A else A
        self.stage.replace(self._third())

    def show_difference(self) -> None:
        """Show the difference in the third view again."""
        self.turn = ""
        self.stage.replace(self._third())

    def segmentations(self) -> dict[str, Node]:
        """Which result each view shows, by the ID of its slice composite node; empty when it is not active."""
        shown = {TAG_A: A, TAG_B: B, TAG_THIRD: self.turn}
        return {
            self.stage.logic(tag).GetSliceCompositeNode().GetID(): self._cells[side].segmentation
            for tag, side in shown.items()
            if side in self._cells
        }

    def hide(self) -> None:
        """Back to the layout before, every segmentation displayed as it was."""
        self._cells, self._difference, self.turn = {}, None, ""
        self.stage.close()

    def _third(self) -> View:
        if self.turn:
            return self._view(TAG_THIRD, self.turn)
        title = _("Orange: only A. Blue: only B. Purple: both.")
        return View(TAG_THIRD, title, self._cells[A].background, (self._difference,))

    def _view(self, tag: str, side: str) -> View:
        cell = self._cells[side]
        title = _("A: {title}") if side == A else _("B: {title}")
        return View(tag, title.format(title=cell.title), cell.background, (cell.segmentation,))


def default_pair(nodes: Sequence[Node]) -> tuple[int, int]:
    """Which two of the results to compare first: the fullest, and the one that lacks the sequence that matters most.

    That is the one with the lowest mean Dice to the fullest among those that lack a single sequence; without such,
    the next result. Positions in ``nodes``, which are at least two.
    """
    sizes = [len(attribute(node, "Subset").split("+")) for node in nodes]
    fullest = sizes.index(max(sizes))
    others = [index for index in range(len(nodes)) if index != fullest]
    lacking = [index for index in others if sizes[index] == sizes[fullest] - 1]
    return fullest, min(lacking, key=lambda index: _mean_dice(nodes[index])) if lacking else others[0]


def _mean_dice(node: Node) -> float:
    values = list(stored(node, "DiceToFullest").values())
    return float(np.mean(values)) if values else 1.0
