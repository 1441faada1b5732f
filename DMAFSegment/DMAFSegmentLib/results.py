"""What a run brings into the scene, result by result, and out of it again if it is canceled.

A node carries what was found out about it as attributes (``DMAFSegment.*``), so a saved scene
still knows which sequences, which model and which numbers belong to it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from DMAFSegmentLib import provenance
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import DETAILS, ENTROPY, LABELS, PREFIX, REGIONS, TABLE, annotate, mark
from DMAFSegmentLib.geometry import Node, volume_grid
from DMAFSegmentLib.job import SegmentationJob
from DMAFSegmentLib.protocol import ComparisonEvent, ResultEvent
from DMAFSegmentLib.result_files import ResultError, read_label_map, read_map
from DMAFSegmentLib.run_comparison import add_comparison, fill_tables
from DMAFSegmentLib.run_folder import RunFolder, latest_run, remove_run
from DMAFSegmentLib.scan_results import ScanResults
from DMAFSegmentLib.segmentation import add_segmentation, label_parts, label_volumes, region_parts
from DMAFSegmentLib.uncertainty import add_uncertainty
from DMAFTraining.inference.metadata import BundleMetadata


@dataclass(frozen=True)
class ResultOptions:
    """What a run adds besides its segmentations.

    Attributes:
        regions: a second segmentation of each subset, with the nested regions (such as WT, TC, ET) as segments.
        replace: once the run succeeded, the latest results on the same volume leave the scene.
    """

    regions: bool = False
    replace: bool = False


class ResultCollector:
    """Puts the results of one job into a folder of the scene, and takes them out if it is canceled.

    Connects itself to the job; connect your own slots after it, so that the nodes exist when they run.
    A failed job keeps the results it finished, and nothing without any. ``segmentations`` are in order of arrival,
    fullest first.
    """

    def __init__(
        self,
        job: SegmentationJob,
        scene: Any,
        metadata: BundleMetadata,
        inputs: Mapping[str, Node],
        reference: Node,
        options: ResultOptions | None = None,
    ) -> None:
        self.segmentations: list[Node] = []
        self.table: Node | None = None
        self._scene, self._metadata = scene, metadata
        self._inputs, self._reference = dict(inputs), reference
        self._options = options or ResultOptions()
        self._run = uuid.uuid4().hex
        self._folder = RunFolder(scene, reference, self._run)
        self._replaced = latest_run(scene, reference) if self._options.replace else ""
        self._scans = ScanResults(scene, metadata, self._inputs, self._keep)
        job.scans.connect(self._scans.add)
        job.scan_warning.connect(self._scans.warn)
        job.result.connect(self.add)
        job.comparison.connect(self.add_comparison)
        job.finished.connect(self._finish)
        job.failed.connect(lambda error: self._complete({"incomplete": error.message}))
        job.cancelled.connect(self.discard)

    def add(self, event: ResultEvent) -> None:
        """Import one result.

        Raises:
            ResultError: a file does not fit, or the reference volume is gone.
        """
        self._check_reference()
        labels = read_label_map(event, self._reference, len(self._metadata.labels))
        entropy = read_map(event, "entropy", self._reference) if "entropy" in event.maps else None
        volumes = label_volumes(labels, self._metadata.labels, volume_grid(self._reference).voxel_ml)
        name = f"DMAF {event.title}"
        common = (self._metadata, self._reference)
        node = add_segmentation(self._scene, name, labels, label_parts(self._metadata), *common)
        self._place(node, LABELS, event, volumes, visible=not self.segmentations)  # all at once would be unreadable
        self.segmentations.append(node)
        if self._options.regions:
            title = _("{name} regions").format(name=name)
            node = add_segmentation(self._scene, title, labels, region_parts(self._metadata), *common)
            self._place(node, REGIONS, event, volumes, visible=False)
        if entropy is not None:
            title = _("{name} uncertainty").format(name=name)
            self._place(add_uncertainty(self._scene, title, entropy, self._reference), ENTROPY, event, volumes)
        self._scans.add_native(event, self._reference)

    def add_comparison(self, event: ComparisonEvent) -> None:
        """Import what was made of all results together.

        Raises:
            ResultError, ValueError, OSError: a file does not fit, or the reference volume is gone.
        """
        self._check_reference()
        add_comparison(self._scene, event, self._metadata, self._reference, len(self.segmentations), self._keep)

    def discard(self) -> None:
        """Take everything of this run out of the scene again."""
        remove_run(self._scene, self._run)
        self.segmentations, self.table = [], None

    def _check_reference(self) -> None:
        if not self._scene.IsNodePresent(self._reference):
            raise ResultError(_("An input volume was removed during the run."))

    def _keep(self, node: Node, kind: str) -> None:
        mark(node, kind, self._run, self._metadata)
        self._folder.put(node)

    def _place(
        self, node: Node, kind: str, event: ResultEvent, volumes: Mapping[str, float], visible: bool | None = None
    ) -> None:
        mark(node, kind, self._run, self._metadata)
        annotate(node, event, self._metadata, volumes)
        for name in event.subset:
            node.SetNodeReferenceID(PREFIX + name, self._inputs[name].GetID())
        if visible is not None:
            node.GetDisplayNode().SetVisibility(visible)
        self._folder.put(node)

    def _finish(self, record: str) -> None:
        self._complete(provenance.read(record))
        if self.segmentations:
            remove_run(self._scene, self._replaced)

    def _complete(self, record: Mapping[str, Any]) -> None:
        """Note the origin on every result and as a text, and add the table of volumes."""
        self.segmentations = [node for node in self.segmentations if self._scene.IsNodePresent(node)]
        if not self.segmentations:
            self.discard()
            return
        document = provenance.complete(record, self._metadata, self._inputs, self._reference)
        for node in self.segmentations:
            node.SetAttribute(PREFIX + "Provenance", json.dumps(document))
        details = self._scene.AddNewNodeByClass("vtkMRMLTextNode", self._scene.GenerateUniqueName("DMAF details"))
        details.SetText(json.dumps(document, indent=1))
        self.table = self._scene.AddNewNodeByClass("vtkMRMLTableNode", self._scene.GenerateUniqueName("DMAF volumes"))
        self._keep(details, DETAILS)
        self._keep(self.table, TABLE)
        fill_tables(self._scene, self.segmentations)
