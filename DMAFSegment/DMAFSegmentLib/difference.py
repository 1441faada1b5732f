"""What two results disagree on: the voxels only one of them has, as colored segments and as a list of places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute, reference_of, region_segments, stored
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.label_map import merged_labels
from DMAFSegmentLib.view_stage import Focus

ONLY_A, ONLY_B, BOTH = "only_a", "only_b", "both"
COLORS: Mapping[str, tuple[int, int, int]] = {ONLY_A: (230, 159, 0), ONLY_B: (86, 180, 233), BOTH: (120, 60, 140)}
"""RGB of each part: the orange and the sky blue of Okabe and Ito (2008), and a purple that people with any color
vision tell from both; Testing/module/test_difference.py measures it."""
EVERYTHING = ""  # the region of all labels, for results that do not say which regions they have
_MOST_PLACES = 10
_OPACITY = 0.6
_OPACITY_BOTH = 0.35  # what both agree on is background


@dataclass(frozen=True)
class Place:
    """A connected part that only A or only B has, in one region; ``center`` in RAS mm."""

    region: str
    kind: str
    volume_ml: float
    center: tuple[float, float, float]


class ResultPair:
    """The label maps of two results of one run, read once.

    Raises:
        ValueError: they do not lie on one grid, for example as one was edited onto another.
    """

    def __init__(self, a: Node, b: Node) -> None:
        self._maps = (merged_labels(a), merged_labels(b))
        self._segments: Mapping[str, list[str] | None] = region_segments(a) or {EVERYTHING: None}
        first, second = self._maps
        if first.values.shape != second.values.shape or not np.allclose(first.ijk_to_ras, second.ijk_to_ras):
            raise ValueError(_("The two results do not lie on the same grid. Choose two of one run."))
        titles = stored(a, "RegionTitles")
        self.regions = {
            name: f"{titles.get(name, name)} ({name})" if name else _("Everything") for name in self._segments
        }

    def parts(self, region: str) -> np.ndarray:
        """Where only A (1), only B (2) or both (3) have the region, ``[k, j, i]`` uint8."""
        a, b = (labels.mask(self._segments[region]) for labels in self._maps)
        return a + np.uint8(2) * b

    def volumes_ml(self, region: str) -> dict[str, float]:
        """Volume in mL of each part of a region."""
        counts = np.bincount(self.parts(region).ravel(), minlength=4)[1:]
        voxel_ml = abs(float(np.linalg.det(self._maps[0].ijk_to_ras[:3, :3]))) / 1000
        return {kind: float(count * voxel_ml) for kind, count in zip(COLORS, counts, strict=True)}

    def places(self) -> list[Place]:
        """Where the two differ most over all regions, the largest first."""
        from DMAFTraining.inference.differences import largest_differences  # SciPy: not while Slicer starts

        found = []
        for region, segments in self._segments.items():
            a, b = (labels.mask(segments).transpose(2, 1, 0) for labels in self._maps)
            for part in largest_differences(a, b, self._maps[0].ijk_to_ras, _MOST_PLACES):
                found.append(Place(region, part.kind, part.volume_ml, part.center_ras_mm))
        return sorted(found, key=lambda place: place.volume_ml, reverse=True)[:_MOST_PLACES]

    def focus(self, region: str) -> Focus:
        """Where to open the views: at the difference in a region, or at all of A when there is none."""
        parts = self.parts(region)
        differs = (parts == 1) | (parts == 2)
        return Focus(differs if differs.any() else self._maps[0].mask(), self._maps[0].ijk_to_ras)


class DifferenceOverlay:
    """A segmentation with the three parts of a region: temporary, in no list of nodes and in no saved scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self.node: Node | None = None

    def make(self, pair: ResultPair, region: str, a: Node, b: Node) -> Node:
        """A new overlay for two results; one that was there before goes."""
        self.remove()
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(f"DMAF {attribute(a, 'Title')} - {attribute(b, 'Title')}")
        node.SetDescription(_("Difference of two results, removed with the view. Orange: only A. Blue: only B."))
        node.SetHideFromEditors(True)  # before it enters the scene: selectors and the Data module never list it
        node.SetSaveWithScene(False)
        self._scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSaveWithScene(False)
        reference = reference_of(a)
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
        for kind, color in COLORS.items():
            node.GetSegmentation().AddEmptySegment(kind, kind_title(kind), [part / 255 for part in color])
        display = node.GetDisplayNode()
        display.SetOpacity2DFill(_OPACITY)
        display.SetSegmentOpacity2DFill(BOTH, _OPACITY_BOTH / _OPACITY)
        display.SetSegmentVisibility2DOutline(BOTH, False)
        self.node = node
        self.fill(pair, region, reference)
        return node

    def fill(self, pair: ResultPair, region: str, reference: Node) -> None:
        """Show another region."""
        parts = pair.parts(region)
        for value, kind in enumerate(COLORS, 1):
            labels = (parts == value).astype(np.uint8)
            slicer.util.updateSegmentBinaryLabelmapFromArray(labels, self.node, kind, reference)

    def remove(self) -> None:
        """Take it out of the scene, with its display node."""
        node, self.node = self.node, None
        if node is not None and self._scene.IsNodePresent(node):
            display = node.GetDisplayNode()
            self._scene.RemoveNode(node)
            self._scene.RemoveNode(display)


def kind_title(kind: str) -> str:
    """The legend in words."""
    return {ONLY_A: _("Only in A (orange)"), ONLY_B: _("Only in B (blue)"), BOTH: _("In both (purple)")}[kind]
