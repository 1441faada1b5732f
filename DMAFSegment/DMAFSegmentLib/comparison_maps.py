"""Maps of a whole run in the scene: where its results agree, and what each sequence counted in the fusion."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import AGREEMENT, CONTRIBUTION, PREFIX, attribute, nodes_of_run
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.uncertainty import add_map
from DMAFTraining.inference.metadata import BundleMetadata

HOW_TO_READ = {
    AGREEMENT: _(
        "Each voxel shows how many of the subsets find the region there. Bright: nearly all do, so it hardly matters "
        "which sequences there are. Dark: only a few do. That all agree does not make it right."
    ),
    CONTRIBUTION: _(
        "Share of the sequence in what the network mixes; all sequences together make 1. Read it as what was mixed, "
        "not as the cause of the result. What a sequence changes is told by the results without it. Stripes and "
        "patches of centimeters are no anatomy."
    ),
}
_FUSING_NETWORK = "dmafnet"
_DARK, _MIDDLE, _BRIGHT = (68, 1, 84), (33, 145, 140), (253, 231, 37)  # also told apart without color: ever brighter


def contribution_obstacle(metadata: BundleMetadata) -> str:
    """Why a model cannot say what each sequence counted; empty when it can."""
    if metadata.network.get("name") == _FUSING_NETWORK:
        return ""
    return _("Only DMAF-Net models weigh sequences against each other; this model does not.")


def maps_of_run(scene: Any, result: Node | None) -> list[Node]:
    """Maps of the run of a result, in scene order."""
    nodes = nodes_of_run(scene, attribute(result, "Run"))
    return [node for node in nodes if attribute(node, "Kind") in HOW_TO_READ and node.IsA("vtkMRMLVolumeNode")]


def add_counts(scene: Any, name: str, counts: np.ndarray, reference: Node, most: int) -> Node:
    """Volume of how many of ``most`` subsets show a region, ``(K, J, I)``: a color for each number, none for 0."""
    colors = _count_colors(scene, most)
    node = add_map(scene, name, counts, reference, _("Subsets that agree"))
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetWindowLevelMinMax(-0.5, most + 0.5)  # each number in the middle of its color
    display.SetThreshold(1, most)
    display.SetInterpolate(False)  # between 1 and 3 there need not be a 2
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    legend.SetAndObserveColorNodeID(colors.GetID())
    legend.SetUseColorNamesForLabels(True)
    legend.SetNumberOfLabels(most + 1)
    return node


def add_shares(scene: Any, name: str, shares: np.ndarray, reference: Node) -> Node:
    """Volume of the share of a sequence, ``(K, J, I)`` from 0 to 1; where it is nearly nothing it is transparent."""
    return add_map(scene, name, shares, reference, _("Share in the fusion"))


def _count_colors(scene: Any, most: int) -> Node:
    """Colors for the numbers 0 to ``most``, from dark to bright, named by the numbers; one table for each ``most``."""
    name = f"DMAF agreement {most}"
    node = scene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if node is not None:
        return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetName(name)
    node.SetAttribute(PREFIX + "Made", "colors")
    node.SetTypeToUser()
    node.SetNumberOfColors(most + 1)
    node.GetLookupTable().SetTableRange(0, most)
    node.SetColor(0, "0", 0.0, 0.0, 0.0, 0.0)
    for number in range(1, most + 1):
        node.SetColor(number, _("{count} of {all}").format(count=number, all=most), *_shade(number / most), 1.0)
    node.SetAllColorsDefined()
    scene.AddNode(node)
    return node


def _shade(part: float) -> tuple[float, float, float]:
    red, green, blue = (
        np.interp(part, (0.0, 0.5, 1.0), channel) / 255 for channel in zip(_DARK, _MIDDLE, _BRIGHT, strict=True)
    )
    return float(red), float(green), float(blue)
