"""The results of a run compared with a segmentation that the user trusts, by the numbers' one implementation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import slicer
import vtk

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import attribute, reference_of, region_segments, stored
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.label_map import LabelMap, merged_labels
from DMAFSegmentLib.segmentation import label_value
from DMAFTraining.inference.metadata import Region
from DMAFTraining.modalities import Modality, Subset


def compare_with_reference(results: Sequence[Node], reference: Node) -> str:
    """JSON of the comparison of results of one run with each other and with a reference segmentation.

    It holds the regions that the reference knows: its segments are recognized as labels or regions by their name or
    code. Edits of the results count. Read it with :class:`DMAFSegmentLib.comparison_record.Record`.

    Raises:
        ValueError: no region is known, or a result was edited onto another grid.
        GeometryError: a result hangs under a transform that is not linear.
    """
    # They load SciPy: not while Slicer starts.
    from DMAFTraining.inference.case_comparison import LabelSet, compare_case
    from DMAFTraining.inference.comparison_document import comparison_document

    maps = {_subset(node): merged_labels(node) for node in results}
    regions, truth = _truth(reference, results[0])
    labels = LabelSet(
        {subset: _label_values(labels).transpose(2, 1, 0) for subset, labels in maps.items()},
        next(iter(maps.values())).ijk_to_ras,
        truth.transpose(2, 1, 0),
    )
    return json.dumps(comparison_document(compare_case(labels, regions)))


def _subset(result: Node) -> Subset:
    names, titles = attribute(result, "Subset").split("+"), attribute(result, "Title").split("+")
    return Subset(tuple(Modality(name, title) for name, title in zip(names, titles, strict=True)))


def _label_values(labels: LabelMap) -> np.ndarray:
    """Values of the model's labels; segments that a user added have none and count as nothing."""
    return np.array([0, *(label_value(segment) for segment in labels.segments)], np.uint8)[labels.values]


def _regions(result: Node) -> tuple[Region, ...]:
    titles = stored(result, "RegionTitles")
    return tuple(
        Region(name, str(titles.get(name, name)), tuple(label_value(segment) for segment in segments))
        for name, segments in region_segments(result).items()
    )


def _truth(reference: Node, result: Node) -> tuple[list[Region], np.ndarray]:
    """Regions that the reference knows, and labels ``[k, j, i]`` on the grid of the result that are right for these."""
    regions = _regions(result)
    as_labels, as_regions = _recognize(reference, result, regions)
    known = [r for r in regions if r.name in as_regions or set(r.labels) <= set(as_labels)]
    if not known:
        text = _('No segment of "{name}" is named like a label or a region of these results. Rename its segments.')
        raise ValueError(text.format(name=reference.GetName()))
    volume = reference_of(result)
    truth = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    painted: dict[str, int] = {}
    for region in sorted(regions, key=lambda region: len(region.labels), reverse=True):
        if region.name in as_regions:
            painted[as_regions[region.name]] = _own_label(region, [r for r in regions if r.name in as_regions])
    painted |= {segment: value for value, segment in as_labels.items()}
    for segment, value in painted.items():
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(reference, segment, volume)
        if mask is not None:
            truth[mask > 0] = value
    return known, truth


def _own_label(region: Region, among: Sequence[Region]) -> int:
    """A label that the region has and no region inside it has; the larger ones are painted first."""
    inner = {value for other in among if set(other.labels) < set(region.labels) for value in other.labels}
    return next((value for value in region.labels if value not in inner), region.labels[0])


def _recognize(reference: Node, result: Node, regions: Sequence[Region]) -> tuple[dict[int, str], dict[str, str]]:
    """Segments of the reference by label value, and by name of the region."""
    by_label: dict[str, int] = {}
    for identifier, segment in _segments(result):
        for spelled in (segment.GetName().lower(), _code(segment)):
            if spelled:
                by_label.setdefault(spelled, label_value(identifier))
    by_region = {
        spelled.lower(): region.name
        for region in regions
        for spelled in (region.name, region.title, f"{region.title} ({region.name})")
    }
    as_labels: dict[int, str] = {}
    as_regions: dict[str, str] = {}
    for identifier, segment in _segments(reference):
        name, code = segment.GetName().lower(), _code(segment)
        if name in by_label or (code in by_label and name not in by_region):
            as_labels.setdefault(by_label[name if name in by_label else code], identifier)
        elif name in by_region:
            as_regions.setdefault(by_region[name], identifier)
    return {value: segment for value, segment in as_labels.items() if value}, as_regions


def _segments(node: Node) -> Iterator[tuple[str, vtk.vtkObject]]:
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        yield segmentation.GetNthSegmentID(index), segmentation.GetNthSegment(index)


def _code(segment: vtk.vtkObject) -> str:
    """Scheme and code of the type of a segment, such as ``SCT^79654002``; empty when it has none."""
    entry = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
    parts = str(entry).split("~")
    scheme, _caret, rest = (parts[2] if len(parts) > 2 else "").partition("^")
    return f"{scheme}^{rest.partition('^')[0]}" if scheme and rest else ""
