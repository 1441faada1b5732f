"""What our nodes say about themselves: attributes in the scene, all under one prefix, saved with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.expectation import expected_dice
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.protocol import ResultEvent
from DMAFSegmentLib.segmentation import segment_id
from DMAFTraining.inference.metadata import BundleMetadata

PREFIX = "DMAFSegment."
NOTICE = "Research use only. Not a medical device."

LABELS, REGIONS, ENTROPY, TABLE, DETAILS = "labels", "regions", "entropy", "table", "details"
"""Kinds of nodes that a run makes; the first three once per subset, the others once."""
COMPARISON, TRUTH, SEQUENCES, PLOT = "comparison", "truth", "sequences", "plot"
"""Numbers of a run, once each but plots: of its results, to a reference segmentation, by sequence, drawn."""
AGREEMENT, CONTRIBUTION = "agreement", "contribution"
"""Maps of a run, one per region or sequence."""
SCANS, TRANSFORM, NATIVE = "scans", "transform", "native"
"""What a run did with its scans: the report, once; a transform per moved scan; results on a scan's own grid."""


@dataclass(frozen=True)
class Measure:
    """One line of the volumes table: ``color`` (RGB 0-1) and ``segment`` (its ID) for a segment of the node."""

    name: str
    volume_ml: float
    color: tuple[float, float, float] | None = None
    dice: float | None = None
    segment: str | None = None


def mark(node: Node, kind: str, run: str, metadata: BundleMetadata) -> None:
    """Write on any node of ours what it is, which run made it, with which model, and the notice."""
    attributes = {"Kind": kind, "Run": run, "Model": metadata.name, "ModelVersion": metadata.version, "Notice": NOTICE}
    for key, value in attributes.items():
        node.SetAttribute(PREFIX + key, value)


def annotate(node: Node, event: ResultEvent, metadata: BundleMetadata, labels_ml: Mapping[str, float]) -> None:
    """Write on a node of one subset which sequences made it, its volumes in mL and its Dice, and describe it."""
    attributes = {
        "Subset": "+".join(event.subset),
        "Title": event.title,
        "LabelVolumesMl": json.dumps(labels_ml),
        "RegionTitles": json.dumps({region.name: region.title for region in metadata.regions}),
        "RegionSegments": json.dumps({r.name: [segment_id(value) for value in r.labels] for r in metadata.regions}),
        "RegionVolumesMl": json.dumps(event.volumes_ml),
        "DiceToFullest": json.dumps(event.dice_to_fullest),
        "ExpectedDice": json.dumps(expected_dice(metadata, metadata.modalities.subset(event.subset)) or {}),
        "ExpectedDiceSource": metadata.expected_dice_source,
    }
    for key, value in attributes.items():
        node.SetAttribute(PREFIX + key, value)
    text = _("Made from {sequences} by {model} {version}. {notice}")
    node.SetDescription(
        text.format(sequences=event.title, model=metadata.name, version=metadata.version, notice=NOTICE)
    )


def attribute(node: Node | None, key: str) -> str:
    """One of our attributes; empty when absent."""
    return (node.GetAttribute(PREFIX + key) or "") if node is not None else ""


def stored(node: Node, key: str) -> dict[str, Any]:
    """A table from a node's attribute; empty when absent or damaged."""
    try:
        table = json.loads(attribute(node, key) or "{}")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def nodes_of_run(scene: Any, run: str) -> Iterator[Node]:
    """Every node that a run made and that is still there, in scene order."""
    for index in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(index)
        if run and attribute(node, "Run") == run:
            yield node


def companion(scene: Any, node: Node | None, kind: str) -> Node | None:
    """Node of another kind of the same run, and of the same subset where there is one per subset."""
    subset = attribute(node, "Subset")
    for other in nodes_of_run(scene, attribute(node, "Run")):
        if attribute(other, "Kind") == kind and attribute(other, "Subset") in ("", subset):
            return other
    return None


def our_segmentations(scene: Any, like: Node | None = None) -> list[Node]:
    """Segmentations of labels this module made, in scene order; with ``like`` only those of the same run."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    ours = [node for node in nodes if attribute(node, "Subset") and attribute(node, "Kind") != REGIONS]
    if like is None:
        return ours
    return [node for node in ours if attribute(node, "Run") == attribute(like, "Run")]


def inputs_of(node: Node) -> list[Node]:
    """Volumes a result was made from, in channel order, without those no longer in the scene."""
    volumes = [node.GetNodeReference(PREFIX + name) for name in attribute(node, "Subset").split("+")]
    return [volume for volume in volumes if volume is not None]


def reference_of(node: Node) -> Node:
    """Volume whose grid a result has; if it is gone, the first volume it was made from."""
    return node.GetNodeReference(PREFIX + "Reference") or inputs_of(node)[0]


def region_segments(node: Node) -> dict[str, list[str]]:
    """IDs of the segments that make up each region of a result; empty when the node does not say."""
    return {
        str(name): [str(segment) for segment in segments]
        for name, segments in stored(node, "RegionSegments").items()
        if isinstance(segments, list)
    }


def measures(node: Node | None) -> list[Measure]:
    """Volumes of one of our segmentations: its labels, then its regions; empty for other nodes.

    A segmentation of regions lists these only.
    """
    if node is None or not attribute(node, "Subset"):
        return []
    segments, titles = _segments(node), stored(node, "RegionTitles")
    labels, regions, dice = (stored(node, key) for key in ("LabelVolumesMl", "RegionVolumesMl", "DiceToFullest"))
    rows = []
    for name, volume in ({} if attribute(node, "Kind") == REGIONS else labels).items():
        rows.append(_measure(name, volume, None, segments))
    for name, volume in regions.items():
        title = f"{titles[name]} ({name})" if name in titles else name
        rows.append(_measure(title, volume, dice.get(name), segments))
    return rows


def _measure(
    name: str, volume: float, dice: float | None, segments: Mapping[str, tuple[tuple[float, float, float], str]]
) -> Measure:
    color, segment = segments.get(name, (None, None))
    return Measure(name, volume, color, dice, segment)


def _segments(node: Node) -> dict[str, tuple[tuple[float, float, float], str]]:
    """Color and ID of each segment by its name."""
    segmentation = node.GetSegmentation()
    found = {}
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        found[segment.GetName()] = (tuple(segment.GetColor()), segmentation.GetNthSegmentID(index))
    return found
