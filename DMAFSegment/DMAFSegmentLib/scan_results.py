"""What a run brings into the scene about its scans: the report, a transform per moved scan, results on own grids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.alignment import add_transform, movement
from DMAFSegmentLib.attributes import NATIVE, SCANS, TRANSFORM
from DMAFSegmentLib.geometry import Node, same_grid, volume_grid
from DMAFSegmentLib.protocol import ResultEvent
from DMAFSegmentLib.result_files import ResultError, read_label_map
from DMAFSegmentLib.scan_record import ScanRecord, pictures_of
from DMAFSegmentLib.scans_event import ScansEvent
from DMAFSegmentLib.segmentation import add_segmentation, label_parts
from DMAFTraining.inference.metadata import BundleMetadata

Put = Callable[[Node, str], None]
"""Takes over a new node of a kind: marks it and moves it into the folder of the run."""


class ScanResults:
    """Imports what one job tells about its scans; warnings may come before the report and after it."""

    def __init__(self, scene: Any, metadata: BundleMetadata, inputs: Mapping[str, Node], put: Put) -> None:
        self._scene, self._metadata, self._inputs, self._put = scene, metadata, inputs, put
        self._record: ScanRecord | None = None
        self._report: Node = None
        self._warnings: list[str] = []

    def add(self, event: ScansEvent) -> None:
        """Keep the report, and a transform per moved scan that is not put on it.

        Raises:
            ResultError: an input volume is gone, or a sequence is named that was not given.
        """
        self._check([event.reference, *event.transforms])
        titles = {m.name: m.title for m in self._metadata.modalities if m.name in self._inputs}
        reference = self._inputs[event.reference]
        for name, matrix in event.transforms.items():
            title = _("{moving} to {reference}").format(moving=titles[name], reference=titles[event.reference])
            self._put(add_transform(self._scene, title, matrix, self._inputs[name], reference), TRANSFORM)
        movements = {name: movement(matrix, self._inputs[name]) for name, matrix in event.transforms.items()}
        self._record = ScanRecord(titles, event, movements, pictures_of(event))
        self._report = self._scene.AddNewNodeByClass("vtkMRMLTextNode", self._scene.GenerateUniqueName("DMAF scans"))
        self._put(self._report, SCANS)
        self._write()

    def warn(self, text: str) -> None:
        """Keep a warning about the scans beside the report."""
        self._warnings.append(text)
        self._write()

    def add_native(self, event: ResultEvent, reference: Node) -> None:
        """Import a result on own grids, but where this is the reference's and the scan was not moved: that is no other.

        Raises:
            ResultError: a file does not fit its volume, or the volume is gone.
        """
        self._check(event.native)
        moved = self._record.event.transforms if self._record is not None else {}
        for name, file in event.native.items():
            if name in moved or not same_grid(volume_grid(self._inputs[name]), volume_grid(reference)):
                self._put(self._segmentation(event, name, file), NATIVE)

    def _segmentation(self, event: ResultEvent, name: str, file: Path) -> Node:
        """Hidden, as it may lie elsewhere than the scan that is shown."""
        volume, sequence = self._inputs[name], self._metadata.modalities[name].title
        labels = read_label_map(replace(event, file=file), volume, len(self._metadata.labels))
        title = _("DMAF {subset} on {sequence}").format(subset=event.title, sequence=sequence)
        node = add_segmentation(self._scene, title, labels, label_parts(self._metadata), self._metadata, volume)
        node.GetDisplayNode().SetVisibility(False)
        return node

    def _write(self) -> None:
        if self._record is not None:
            self._report.SetText(replace(self._record, warnings=tuple(self._warnings)).write())

    def _check(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._inputs:
                raise ResultError(_('The worker sent a sequence "{name}" it was not given.').format(name=name))
            if not self._scene.IsNodePresent(self._inputs[name]):
                raise ResultError(_("An input volume was removed during the run."))
