"""Label maps become segmentations: coded, colored, on the reference's grid and under its transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.result_files import ResultError
from DMAFSegmentLib.terminology import region_entry
from DMAFTraining.inference.metadata import BundleMetadata, Label, Region


@dataclass(frozen=True)
class Part:
    """One segment to make: its ID, name, color (RGB 0-255), code, and the label values it covers."""

    identifier: str
    name: str
    color: tuple[int, int, int]
    terminology: str
    labels: tuple[int, ...]


def label_parts(metadata: BundleMetadata) -> list[Part]:
    """One segment per label of the model."""
    return [
        Part(segment_id(label.value), label.name, label.color, label.terminology, (label.value,))
        for label in metadata.labels
    ]


def region_parts(metadata: BundleMetadata) -> list[Part]:
    """One segment per region of the model; they may overlap."""
    return [
        Part(
            f"region_{region.name}",
            f"{region.title} ({region.name})",
            _region_color(region, metadata),
            region_entry(region, metadata.labels),
            region.labels,
        )
        for region in metadata.regions
    ]


def _region_color(region: Region, metadata: BundleMetadata) -> tuple[int, int, int]:
    """Color of the label that the region has beyond the regions inside it: nested regions then look like labels."""
    inner = {value for other in metadata.regions if set(other.labels) < set(region.labels) for value in other.labels}
    own = [value for value in region.labels if value not in inner] or list(region.labels)
    return next(label.color for label in metadata.labels if label.value == own[0])


def segment_id(value: int) -> str:
    """Segment ID of a label value; the same in every result, whatever the language."""
    return f"label_{value}"


def label_value(identifier: str) -> int:
    """Inverse of :func:`segment_id`; 0 for a segment that is no label of a model."""
    digits = identifier.removeprefix("label_")
    return int(digits) if digits != identifier and digits.isdecimal() and int(digits) < 256 else 0


def add_segmentation(
    scene: Any, name: str, labels: np.ndarray, parts: Sequence[Part], metadata: BundleMetadata, reference: Node
) -> Node:
    """Segmentation in the scene with one segment per part, on the reference's grid and transform.

    ``labels`` (K, J, I) uint8 is on the reference's grid.

    Raises:
        ResultError: Slicer could not make it; nothing stays in the scene.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    for part in parts:
        node.GetSegmentation().AddSegment(_segment(part, metadata), part.identifier)
    for layer in _layers(parts):
        values = np.zeros(256, np.uint8)
        for number, part in enumerate(layer, 1):
            values[list(part.labels)] = number
        if not _import(values[labels], [part.identifier for part in layer], node, reference):
            scene.RemoveNode(node)
            raise ResultError(_("The result could not be made a segmentation. See the log under Advanced."))
    node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
    return node


def _segment(part: Part, metadata: BundleMetadata) -> Any:
    segment = slicer.vtkSegment()
    segment.SetName(part.name)
    segment.SetColor(*(value / 255 for value in part.color))
    if part.terminology:
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), part.terminology)
    # Without these two a DICOM SEG file would say that a person drew the segment.
    segment.SetTag("DICOM.SegmentAlgorithmType", "AUTOMATIC")
    segment.SetTag("DICOM.SegmentAlgorithmName", f"{metadata.name} {metadata.version}")
    return segment


def _layers(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts in groups whose members do not overlap: each group is one label map."""
    layers: list[list[Part]] = []
    for part in parts:
        free = [layer for layer in layers if not any(set(part.labels) & set(other.labels) for other in layer)]
        if free:
            free[0].append(part)
        else:
            layers.append([part])
    return layers


def _import(labels: np.ndarray, identifiers: Sequence[str], node: Node, reference: Node) -> bool:
    """Fill segments that exist: value 1 becomes the first of them, and so on."""
    carrier = slicer.vtkMRMLLabelMapVolumeNode()
    slicer.util.updateVolumeFromArray(carrier, labels)
    matrix = vtk.vtkMatrix4x4()
    reference.GetIJKToRASMatrix(matrix)
    carrier.SetIJKToRASMatrix(matrix)
    names = vtk.vtkStringArray()
    for identifier in identifiers:
        names.InsertNextValue(identifier)
    return bool(slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(carrier, node, names))


def label_volumes(labels: np.ndarray, names: Sequence[Label], voxel_ml: float) -> dict[str, float]:
    """Volume of each label in mL by label name; absent labels are 0."""
    counts = np.bincount(labels.ravel(), minlength=len(names) + 1)
    return {label.name: float(counts[label.value]) * voxel_ml for label in names}
