"""From the worker's label maps to coded segmentations, a table of volumes, and where it all came from.

A segmentation node carries what was found out about it as attributes (``DMAFSegment.*``), so a
saved scene still knows which sequences, which model and which numbers belong to it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from DMAFSegmentLib import MODULE_FOLDER
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node, volume_grid
from DMAFSegmentLib.job import SegmentationJob
from DMAFSegmentLib.protocol import ResultEvent
from DMAFTraining.inference.metadata import BundleMetadata

PREFIX = "DMAFSegment."
NOTICE = "Research use only. Not a medical device."
_TOLERANCE_VOXELS = 0.01

_TERMINOLOGY = MODULE_FOLDER / "Resources" / "Terminology" / "DMAFSegment.term.json"


class ResultError(ValueError):
    """A result file that does not belong to the reference volume, or cannot be read."""


@dataclass(frozen=True)
class Measure:
    """One line of the volumes table: ``color`` is RGB 0-1 for a segment, None for a region of several."""

    name: str
    volume_ml: float
    color: tuple[float, float, float] | None = None
    dice: float | None = None


def read_label_map(event: ResultEvent, reference: Node, highest: int) -> np.ndarray:
    """Labels (K, J, I) uint8 of a result file, checked against the grid of the reference volume.

    Raises:
        ResultError: unreadable, another grid, or a value above ``highest``.
    """
    import SimpleITK as sitk  # takes a second to load: not while Slicer starts

    try:
        image = sitk.ReadImage(str(event.file))
    except RuntimeError as error:
        raise ResultError(_("The result for {title} could not be read.").format(title=event.title)) from error
    grid = volume_grid(reference)
    corner = np.array([image.TransformContinuousIndexToPhysicalPoint([s - 1.0 for s in grid.shape])])
    origin = np.array([image.GetOrigin()])
    found = np.vstack([origin, corner]) * (-1, -1, 1)  # files are LPS, Slicer is RAS
    ends = np.array([[0, 0, 0], np.array(grid.shape) - 1]) @ grid.axes.T + grid.ijk_to_ras[:3, 3]
    tolerance = _TOLERANCE_VOXELS * np.linalg.norm(grid.axes, axis=0).max()
    if image.GetSize() != grid.shape or np.abs(found - ends).max() > tolerance:
        raise ResultError(
            _('The result for {title} does not lie on the grid of "{volume}". Was the volume changed?').format(
                title=event.title, volume=reference.GetName()
            )
        )
    labels = sitk.GetArrayFromImage(image).astype(np.uint8)
    if labels.max(initial=0) > highest:
        raise ResultError(_("The result for {title} holds labels the model does not have.").format(title=event.title))
    return labels


def add_segmentation(scene: Any, name: str, labels: np.ndarray, metadata: BundleMetadata, reference: Node) -> Node:
    """Segmentation in the scene with the model's names, colors and codes, on the reference's grid and transform."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    identifiers = vtk.vtkStringArray()
    for label in metadata.labels:
        segment = slicer.vtkSegment()
        segment.SetName(label.name)
        segment.SetColor(*(part / 255 for part in label.color))
        if label.terminology:
            segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), label.terminology)
        identifiers.InsertNextValue(segment_id(label.value))
        node.GetSegmentation().AddSegment(segment, segment_id(label.value))
    carrier = slicer.vtkMRMLLabelMapVolumeNode()
    slicer.util.updateVolumeFromArray(carrier, labels)
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    carrier.SetIJKToRASMatrix(matrix)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.ImportLabelmapToSegmentationNode(carrier, node, identifiers):
        scene.RemoveNode(node)
        raise ResultError(_("The result could not be made a segmentation. See the log under Advanced."))
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    return node


def segment_id(value: int) -> str:
    """Segment ID of a label value; the same in every result, whatever the language."""
    return f"label_{value}"


def place_beside(scene: Any, node: Node, reference: Node, folder: int | None = None) -> None:
    """Put a node beside the reference volume in the subject hierarchy, or into a folder item."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if folder is None:
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(reference))
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), folder)


def label_volumes(labels: np.ndarray, metadata: BundleMetadata, voxel_ml: float) -> dict[str, float]:
    """Volume of each label in mL by label name; absent labels are 0."""
    counts = np.bincount(labels.ravel(), minlength=len(metadata.labels) + 1)
    return {label.name: float(counts[label.value]) * voxel_ml for label in metadata.labels}


def annotate(node: Node, event: ResultEvent, metadata: BundleMetadata, labels_ml: Mapping[str, float]) -> None:
    """Write what a result is onto its node: sequences, model, volumes in mL, Dice, and the notice."""
    attributes = {
        "Subset": "+".join(event.subset),
        "Title": event.title,
        "Model": metadata.name,
        "ModelVersion": metadata.version,
        "Notice": NOTICE,
        "LabelVolumesMl": json.dumps(labels_ml),
        "RegionTitles": json.dumps({region.name: region.title for region in metadata.regions}),
        "RegionVolumesMl": json.dumps(event.volumes_ml),
        "DiceToFullest": json.dumps(event.dice_to_fullest),
    }
    for key, value in attributes.items():
        node.SetAttribute(PREFIX + key, value)


def measures(node: Node) -> list[Measure]:
    """Volumes of one of our segmentations: its segments, then its regions; empty for other nodes."""
    if node is None or not node.GetAttribute(PREFIX + "Subset"):
        return []
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(i) for i in range(segmentation.GetNumberOfSegments())]
    colors = {segment.GetName(): tuple(segment.GetColor()) for segment in segments}
    labels, regions, dice = (stored(node, key) for key in ("LabelVolumesMl", "RegionVolumesMl", "DiceToFullest"))
    titles = stored(node, "RegionTitles")
    rows = [Measure(name, volume, colors.get(name)) for name, volume in labels.items()]
    for name, volume in regions.items():
        title = f"{titles[name]} ({name})" if name in titles else name
        rows.append(Measure(title, volume, None, dice.get(name)))
    return rows


def stored(node: Node, key: str) -> dict[str, Any]:
    """A table from a node's attribute; empty when absent or damaged."""
    try:
        table = json.loads(node.GetAttribute(PREFIX + key) or "{}")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def fill_table(table: Node, segmentations: list[Node]) -> None:
    """One row per subset: volumes of labels and regions in mL, and Dice of the regions to the fullest subset."""
    table.RemoveAllColumns()
    columns: dict[str, list[float]] = {}
    for key, heading in (
        ("LabelVolumesMl", "{name} (mL)"),
        ("RegionVolumesMl", "{name} (mL)"),
        ("DiceToFullest", "Dice {name}"),
    ):
        for name in stored(segmentations[0], key):
            # A label and a region may share a name; the region then keeps its own column.
            title = heading.format(name=name) if heading.format(name=name) not in columns else f"{name} region (mL)"
            columns[title] = [stored(node, key).get(name, float("nan")) for node in segmentations]
    titles = vtk.vtkStringArray()
    titles.SetName("Sequences")
    for node in segmentations:
        titles.InsertNextValue(node.GetAttribute(PREFIX + "Title"))
    table.AddColumn(titles)
    for title, values in columns.items():
        column = vtk.vtkDoubleArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(value)
        table.AddColumn(column)
    table.SetUseColumnTitleAsColumnHeader(True)


def load_terminology() -> None:
    """Make Slicer know the codes of our segments: its own lists have no enhancing tumor."""
    slicer.modules.terminologies.logic().LoadTerminologyFromFile(str(_TERMINOLOGY))


class ResultCollector:
    """Puts the results of one job into the scene as they arrive, and takes them out if it is cancelled.

    Connects itself to the job; connect your own slots after it, so that the nodes exist when they run.
    A failed job keeps the results it finished. ``segmentations`` are in order of arrival, fullest first.
    """

    def __init__(
        self, job: SegmentationJob, scene: Any, metadata: BundleMetadata, inputs: Mapping[str, Node], reference: Node
    ) -> None:
        self.segmentations: list[Node] = []
        self.table: Node | None = None
        self._scene, self._metadata = scene, metadata
        self._inputs, self._reference = dict(inputs), reference
        self._folder: int | None = None
        self._run = uuid.uuid4().hex
        job.result.connect(self.add)
        job.finished.connect(self.complete)
        job.failed.connect(lambda error: self.complete(json.dumps({"incomplete": error.message})))
        job.cancelled.connect(self.discard)

    def add(self, event: ResultEvent) -> None:
        """Import one result.

        Raises:
            ResultError: the file does not fit, or the reference volume is gone.
        """
        if not self._scene.IsNodePresent(self._reference):
            raise ResultError(_("An input volume was removed during the run."))
        labels = read_label_map(event, self._reference, len(self._metadata.labels))
        node = add_segmentation(self._scene, f"DMAF {event.title}", labels, self._metadata, self._reference)
        volumes = label_volumes(labels, self._metadata, volume_grid(self._reference).voxel_ml)
        annotate(node, event, self._metadata, volumes)
        node.SetAttribute(PREFIX + "Run", self._run)
        for name in event.subset:
            node.SetNodeReferenceID(PREFIX + name, self._inputs[name].GetID())
        node.GetDisplayNode().SetVisibility(not self.segmentations)  # all at once would be unreadable
        self.segmentations.append(node)
        self._arrange()

    def complete(self, provenance: str) -> None:
        """Note the origin on every result and fill the table of volumes."""
        kept = [node for node in self.segmentations if self._scene.IsNodePresent(node)]
        for node in kept:
            node.SetAttribute(PREFIX + "Provenance", provenance)
        if kept:
            name = self._scene.GenerateUniqueName("DMAF volumes")
            self.table = self._scene.AddNewNodeByClass("vtkMRMLTableNode", name)
            self.table.SetAttribute(PREFIX + "Notice", NOTICE)
            fill_table(self.table, kept)
            place_beside(self._scene, self.table, self._reference, self._folder)

    def discard(self) -> None:
        """Take everything of this run out of the scene again."""
        for node in (*self.segmentations, self.table):
            if node is not None and self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        self.segmentations, self.table = [], None
        if self._folder is not None:
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
            hierarchy.RemoveItem(self._folder)
            self._folder = None

    def _arrange(self) -> None:
        """Beside the reference; from the second result on, all of the run in a folder there."""
        if len(self.segmentations) == 2:
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
            parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(self._reference))
            self._folder = hierarchy.CreateFolderItem(parent, _("DMAF comparison"))
            place_beside(self._scene, self.segmentations[0], self._reference, self._folder)
        place_beside(self._scene, self.segmentations[-1], self._reference, self._folder)


def our_segmentations(scene: Any, like: Node | None = None) -> list[Node]:
    """Segmentations this module made, in scene order; with ``like`` only those of the same run as that one."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene)
    ours = [node for node in nodes if node.GetAttribute(PREFIX + "Subset")]
    if like is None:
        return ours
    return [node for node in ours if node.GetAttribute(PREFIX + "Run") == like.GetAttribute(PREFIX + "Run")]


def inputs_of(node: Node) -> list[Node]:
    """Volumes a result was made from, in channel order, without those no longer in the scene."""
    names = (node.GetAttribute(PREFIX + "Subset") or "").split("+")
    volumes = [node.GetNodeReference(PREFIX + name) for name in names]
    return [volume for volume in volumes if volume is not None]
