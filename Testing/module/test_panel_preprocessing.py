"""The section on preprocessing by mouse clicks: what it promises, and what it asks for."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import slicer

from DMAFSegmentLib.job import Worker
from DMAFSegmentLib.scan_request import BRAINS, REGISTRATIONS, ScanRequest
from panel_rig import assert_nothing_cut_off, opened_panel


def choose(combo, value):
    combo.currentIndex = combo.findData(value)


def test_the_title_says_what_will_happen(host, bundle, worker_command, new_volume, monkeypatch):
    worker = Worker(worker_command("normal"))
    with opened_panel(host, bundle.parent, worker, new_volume, monkeypatch) as panel:
        assert panel.ui.preprocessingButton.collapsed
        assert panel.ui.preprocessingButton.text == "Preprocessing: only what is needed"
        choose(panel.ui.registrationComboBox, "off")
        choose(panel.ui.brainComboBox, "hd-bet")
        assert panel.ui.preprocessingButton.text == "Preprocessing: align none, HD-BET"
        assert panel.ui.preprocessingLabel.text == "Scans are taken where they lie. The brain is extracted by HD-BET."
        assert panel.ui.preprocessingButton.toolTip == panel.ui.preprocessingLabel.text


def test_every_title_fits_the_panel(raw_panel):
    width = raw_panel.ui.preprocessingButton.fontMetrics().horizontalAdvance
    for registration, brain, bias, native in itertools.product(REGISTRATIONS, BRAINS, (False, True), (False, True)):
        words = ScanRequest(registration, brain, None, bias, native).title()
        assert width(f"Preprocessing: {words}") < 370, words


def test_the_choices_reach_the_request_and_the_scene(host, raw_panel):
    ui = raw_panel.ui
    host.click(ui.biasCheckBox)
    host.click(ui.nativeCheckBox)
    choose(ui.registrationComboBox, "on")
    choose(ui.brainComboBox, "off")
    asked = raw_panel.panel.request()["scans"]
    assert asked == ScanRequest("on", "off", None, True, True)
    node = raw_panel.logic.getParameterNode()
    stored = {name: node.GetParameter(name) for name in ("Registration", "Brain", "BiasCorrection", "NativeGrids")}
    assert stored == {"Registration": "on", "Brain": "off", "BiasCorrection": "true", "NativeGrids": "true"}


def test_a_mask_is_asked_for_where_it_is_needed(host, raw_panel):
    ui = raw_panel.ui
    assert not ui.maskSelector.enabled
    assert 'Choose "Mask from the scene"' in ui.maskSelector.toolTip
    choose(ui.brainComboBox, "mask")
    assert ui.maskSelector.enabled
    assert not ui.applyButton.enabled
    assert "Choose the brain mask under Preprocessing" in ui.applyButton.toolTip
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    slicer.util.updateVolumeFromArray(mask, np.ones((4, 4, 4), np.uint8))
    ui.maskSelector.setCurrentNode(mask)
    assert ui.applyButton.enabled
    slicer.mrmlScene.RemoveNode(mask)
    assert not ui.applyButton.enabled


def test_the_job_holds_the_mask_and_the_grids(host, raw_panel, worker_command):
    mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "brain")
    slicer.util.updateVolumeFromArray(mask, np.ones((4, 4, 4), np.uint8))
    choose(raw_panel.ui.brainComboBox, "mask")
    raw_panel.ui.maskSelector.setCurrentNode(mask)
    host.click(raw_panel.ui.nativeCheckBox)
    raw_panel.logic.worker = Worker(worker_command("hang"))
    host.click(raw_panel.ui.applyButton)
    folder = raw_panel.logic.job.folder
    document = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    assert document["scans"]["brain_mask"] == str(folder / "brain_mask.nrrd")
    assert (folder / "brain_mask.nrrd").is_file()
    assert document["scans"]["cache"].endswith("scans")
    assert (document["reference"], document["native"]) == ("t1", ["t1", "flair"])
    assert not raw_panel.ui.preprocessingArea.enabled
    raw_panel.logic.shutdown()


def test_models_of_slices_are_left_alone(
    host, tmp_path, write_model, metadata, worker_command, new_volume, monkeypatch
):
    preprocessing = dataclasses.replace(metadata.preprocessing, spacing=(1.0, 1.0), orientation="slices", slice_size=64)
    slices = dataclasses.replace(
        metadata,
        preprocessing=preprocessing,
        window=dataclasses.replace(metadata.window, patch=(64, 64)),
        network={"name": "dmafnet", "config": {"dims": 2}},
    )
    write_model(tmp_path / "slices.safetensors", slices)
    with opened_panel(host, tmp_path, Worker(worker_command("hang")), new_volume, monkeypatch) as panel:
        models = panel.ui.modelComboBox
        models.currentIndex = [model.path.name for model in panel.panel.models].index("slices.safetensors")
        ui = panel.ui
        choose(ui.brainComboBox, "mask")
        assert ui.preprocessingButton.text == "Preprocessing: none for this model"
        assert ui.preprocessingLabel.text == "This model works on single slices: its scans are taken as they are."
        assert not ui.preprocessingForm.enabled
        assert ui.preprocessingForm.toolTip == ui.preprocessingLabel.text
        assert ui.applyButton.enabled, "no mask is needed"
        host.click(ui.applyButton)
        scans = json.loads((panel.logic.job.folder / "job.json").read_text(encoding="utf-8"))["scans"]
        assert (scans["registration"], scans["brain"]) == ("off", "off")
        panel.logic.shutdown()


def test_scans_apart_are_a_warning_or_a_refusal(host, raw_panel):
    flair = slicer.util.getNode("case_flair")
    flair.SetOrigin(500, 0, 0)
    raw_panel.panel.volumes_changed()
    assert "FLAIR does not overlap T1 in space and will be moved there" in raw_panel.ui.summaryLabel.text
    assert raw_panel.ui.applyButton.enabled
    choose(raw_panel.ui.registrationComboBox, "off")
    assert "overlap" not in raw_panel.ui.summaryLabel.text
    assert not raw_panel.ui.applyButton.enabled
    assert "T1 and FLAIR do not overlap in space" in raw_panel.ui.applyButton.toolTip


def test_nothing_is_cut_off(host, raw_panel):
    names = ["registrationLabel", "brainLabel", "maskLabel", "biasCheckBox", "nativeCheckBox", "alignedCheckBox"]
    assert_nothing_cut_off(host, raw_panel, names, 2200)
