"""The module with the network library's real worker: a tiny model always, the shipped one when it is there."""

from __future__ import annotations

import json

import pytest
import slicer

from DMAFSegmentLib.attributes import ENTROPY, PREFIX, REGIONS, companion, measures, our_segmentations
from results_rig import choose_subsets
from worker_rig import ROOT, run

SHIPPED = list((ROOT / "Resources" / "Models").glob("*.safetensors"))


def test_every_subset_of_two_sequences(host, open_module, tiny_bundle):
    widget = open_module(tiny_bundle.parent)
    choose_subsets(widget)
    for box in (widget.ui.regionsCheckBox, widget.ui.uncertaintyCheckBox):
        host.click(box)
    run(host, widget)
    assert widget.ui.statusLabel.text == "Finished: 3 segmentations.", widget.ui.logText.plainText
    titles = [node.GetAttribute(PREFIX + "Title") for node in widget.logic.segmentations]
    assert titles[0] == "T1+FLAIR"
    assert sorted(titles) == ["FLAIR", "T1", "T1+FLAIR"]
    provenance = json.loads(widget.logic.segmentations[0].GetAttribute(PREFIX + "Provenance"))
    assert provenance["model"]["name"] == "tiny"
    assert set(provenance["stage_seconds"]) == {"load", "read", "prepare", "segment", "compare"}
    assert all(len(entry["sha256"]) == 64 for entry in provenance["inputs"].values())
    assert provenance["scene"]["volumes"] == {"t1": "case_t1", "flair": "case_flair"}
    for node in widget.logic.segmentations:
        entropy = slicer.util.arrayFromVolume(companion(slicer.mrmlScene, node, ENTROPY))
        assert 0 < entropy.max() <= 1
        assert entropy[0, 0, 0] == 0
        for row in measures(companion(slicer.mrmlScene, node, REGIONS)):
            array = slicer.util.arrayFromSegmentBinaryLabelmap(
                companion(slicer.mrmlScene, node, REGIONS), row.segment, slicer.util.getNode("case_t1")
            )
            assert (array > 0).sum() * 0.064 == pytest.approx(row.volume_ml), "regions have the volumes of the table"
        parts = [float(v) for v in json.loads(node.GetAttribute(PREFIX + "LabelVolumesMl")).values()]
        regions = json.loads(node.GetAttribute(PREFIX + "RegionVolumesMl"))
        assert regions["WT"] == pytest.approx(sum(parts), rel=1e-3, abs=1e-3), "worker and module count the same voxels"


def test_cancel_stops_the_real_worker(host, open_module, tiny_bundle):
    widget = open_module(tiny_bundle.parent)
    host.click(widget.ui.applyButton)
    assert host.process_events(until=lambda: '"started"' in widget.ui.logText.plainText, timeout=60)
    host.click(widget.ui.applyButton)
    assert host.process_events(until=lambda: not widget.logic.running, timeout=10)
    assert widget.ui.statusLabel.text.startswith("Canceled")
    assert our_segmentations(slicer.mrmlScene) == []


def test_worker_explains_a_damaged_model(host, open_module, tiny_bundle, tmp_path):
    data = tiny_bundle.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) - 100])
    widget = open_module(tmp_path)
    run(host, widget)
    assert widget.ui.statusLabel.text.startswith("Failed:")
    assert "cut.safetensors" in widget.ui.statusLabel.text


def test_shipped_model(host, open_module, tmp_path):
    widget = open_module(tmp_path)
    assert widget.panel.model.path in SHIPPED
    run(host, widget)
    assert widget.ui.statusLabel.text == "Finished: one segmentation.", widget.ui.logText.plainText
    (node,) = widget.logic.segmentations
    assert node.GetAttribute(PREFIX + "Subset") == "t1+flair"
