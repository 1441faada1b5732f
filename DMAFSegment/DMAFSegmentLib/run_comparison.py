"""What a run made of all its results together, as nodes of the scene, and the way to find them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.attributes import (
    AGREEMENT,
    COMPARISON,
    CONTRIBUTION,
    PREFIX,
    SEQUENCES,
    TABLE,
    TRUTH,
    companion,
    our_segmentations,
)
from DMAFSegmentLib.comparison_maps import add_counts, add_shares
from DMAFSegmentLib.comparison_record import VOLUME, Record
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.protocol import ComparisonEvent
from DMAFSegmentLib.result_files import read_values
from DMAFSegmentLib.run_folder import put_beside
from DMAFSegmentLib.volume_table import fill_sequences, fill_table
from DMAFTraining.inference.metadata import BundleMetadata

Put = Callable[[Node, str], None]
"""Takes over a new node of a kind: marks it and moves it into the folder of the run."""


def add_comparison(
    scene: Any, event: ComparisonEvent, metadata: BundleMetadata, reference: Node, results: int, put: Put
) -> None:
    """Import numbers and maps of a run with so many results.

    Raises:
        ValueError: the numbers cannot be read.
        ResultError: a map does not lie on the grid of the reference volume, or holds impossible values.
        OSError: a file is gone.
    """
    if event.document is not None:
        text = event.document.read_text(encoding="utf-8")
        Record.read(text)
        put(_text_node(scene, "DMAF comparison", text), COMPARISON)
    sequences = {modality.name: modality.title for modality in metadata.modalities}
    for name, file in event.maps.get("contribution", {}).items():
        title = _("DMAF contribution {sequence}").format(sequence=sequences.get(name, name))
        put(add_shares(scene, title, read_values(file, title, reference, 1), reference), CONTRIBUTION)
    regions = {region.name: region.title for region in metadata.regions}
    for name, file in event.maps.get("agreement", {}).items():
        title = _("DMAF agreement {region}").format(region=regions.get(name, name))
        counts = read_values(file, title, reference, results)
        put(add_counts(scene, title, counts, reference, results), AGREEMENT)


def record_of(scene: Any, result: Node | None, kind: str = COMPARISON) -> Record | None:
    """Numbers of the run of a result: with each other, or to a reference segmentation (:data:`TRUTH`)."""
    node = companion(scene, result, kind)
    try:
        return Record.read(node.GetText()) if node is not None else None
    except ValueError:  # damaged in the scene
        return None


def truth_of(scene: Any, result: Node | None) -> Node | None:
    """The reference segmentation that the run of a result was compared with, if it is still there."""
    node = companion(scene, result, TRUTH)
    return node.GetNodeReference(PREFIX + "Truth") if node is not None else None


def set_truth(scene: Any, results: Sequence[Node], truth: Node | None, text: str = "") -> None:
    """Keep numbers to a reference segmentation beside results of a run, in place of those before; None removes them."""
    before = companion(scene, results[0], TRUTH)
    if before is not None:
        scene.RemoveNode(before)
    if truth is not None:
        name = _("DMAF comparison with {name}").format(name=truth.GetName())
        node = _text_node(scene, name, text)
        node.SetNodeReferenceID(PREFIX + "Truth", truth.GetID())
        put_beside(scene, results[0], node, TRUTH)
    fill_tables(scene, results)


def fill_tables(scene: Any, results: Sequence[Node]) -> None:
    """Bring the tables of a run up to date; its first result tells which run."""
    record, truth = (record_of(scene, results[0], kind) for kind in (COMPARISON, TRUTH))
    table = companion(scene, results[0], TABLE)
    if table is not None:
        fill_table(table, our_segmentations(scene, results[0]), record, truth)
    shares = record or truth
    if shares is None or not any(share.leave_one_out for share in shares.shares[VOLUME].values()):
        return
    sequences = companion(scene, results[0], SEQUENCES)
    if sequences is None:
        sequences = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName("DMAF sequences"))
        put_beside(scene, results[0], sequences, SEQUENCES)
    fill_sequences(sequences, shares, truth)


def _text_node(scene: Any, name: str, text: str) -> Node:
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(name))
    node.SetText(text)
    return node
