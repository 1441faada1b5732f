"""Removing the one folder of a run undoes it, and a new run replaces an old one only when it succeeded."""

from __future__ import annotations

import numpy as np
import pytest

from DMAFSegmentLib.attributes import LABELS, REGIONS, attribute, companion, nodes_of_run
from DMAFSegmentLib.protocol import JobError
from DMAFSegmentLib.results import ResultOptions
from DMAFSegmentLib.run_folder import folder_of, latest_run
from results_rig import hierarchy, node_ids


@pytest.fixture
def full_run(new_run, make_event, inputs, labels):
    """Runs with regions, uncertainty, table and details; returns the run's identifier."""

    def build(options=None, end="finished"):
        signals, collector = new_run(options or ResultOptions(regions=True))
        signals.result.emit(make_event(inputs["t1"], entropy=labels.astype(np.float32) / 3))
        signals.result.emit(make_event(inputs["t1"], ("t1",), "T1"))
        run = attribute(collector.segmentations[0], "Run")
        arguments = {"finished": ["{}"], "failed": [JobError("Not enough memory.")], "cancelled": []}
        getattr(signals, end).emit(*arguments[end])
        return run

    return build


def test_removing_the_folder_removes_all_it_made_and_nothing_else(scene, full_run, cleanup):
    hierarchy(scene)
    before, items = node_ids(scene), hierarchy(scene).GetNumberOfItems()
    run = full_run()
    nodes = list(nodes_of_run(scene, run))
    assert sorted(attribute(node, "Kind") for node in nodes) == sorted(
        ["labels", "labels", "regions", "regions", "entropy", "details", "table"]
    )
    for node in nodes:
        node.AddDefaultStorageNode()  # as saving the scene does
    hierarchy(scene).RemoveItem(folder_of(scene, run))
    assert node_ids(scene) == before
    assert hierarchy(scene).GetNumberOfItems() == items


def test_nodes_of_others_are_left_to_slicer(scene, cleanup):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "not ours")
    table.AddDefaultStorageNode()
    storage = table.GetStorageNode()
    hierarchy(scene).RemoveItem(hierarchy(scene).GetItemByDataNode(table))
    assert scene.IsNodePresent(storage), "the scene leaves it behind, which is why our own nodes need the cleanup"


def test_a_display_that_another_volume_uses_too_stays(scene, full_run, cleanup, new_volume):
    run = full_run()
    entropy = next(node for node in nodes_of_run(scene, run) if attribute(node, "Kind") == "entropy")
    other = new_volume("other")
    other.SetAndObserveDisplayNodeID(entropy.GetDisplayNodeID())
    shared = entropy.GetDisplayNode()
    hierarchy(scene).RemoveItem(folder_of(scene, run))
    assert scene.IsNodePresent(shared)


def test_cancel_takes_the_folder_out(scene, full_run, cleanup):
    hierarchy(scene)
    before, items = node_ids(scene), hierarchy(scene).GetNumberOfItems()
    full_run(end="cancelled")
    assert node_ids(scene) == before
    assert hierarchy(scene).GetNumberOfItems() == items


@pytest.mark.parametrize(("end", "old_stays"), [("finished", False), ("failed", True), ("cancelled", True)])
def test_old_results_leave_only_after_success(scene, full_run, cleanup, end, old_stays):
    old = full_run()
    new = full_run(ResultOptions(replace=True), end)
    assert bool(folder_of(scene, old)) == old_stays
    assert any(nodes_of_run(scene, old)) == old_stays
    assert bool(folder_of(scene, new)) == (end != "cancelled")


def test_without_the_wish_both_stay(scene, full_run):
    old, new = full_run(), full_run()
    assert folder_of(scene, old)
    assert folder_of(scene, new)
    assert folder_of(scene, old) != folder_of(scene, new)


def test_only_the_latest_run_on_the_same_volume_is_replaced(scene, full_run, new_volume, inputs):
    first, second = full_run(), full_run()
    assert latest_run(scene, inputs["t1"]) == second
    assert latest_run(scene, new_volume("another patient")) == ""
    full_run(ResultOptions(replace=True))
    assert folder_of(scene, first)
    assert not folder_of(scene, second)


def test_replacing_when_there_is_nothing_to_replace(scene, full_run):
    assert folder_of(scene, full_run(ResultOptions(replace=True)))


def test_companions_belong_to_the_same_subset(scene, full_run):
    run = full_run()
    segmentations = [node for node in nodes_of_run(scene, run) if attribute(node, "Kind") == LABELS]
    found = [companion(scene, node, REGIONS).GetName() for node in segmentations]
    assert found == ["DMAF T1+FLAIR regions", "DMAF T1 regions"]
    assert companion(scene, segmentations[1], "entropy") is None
