"""Maps of a whole run by mouse clicks: agreement of its subsets, and what each sequence counted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import slicer

from DMAFSegmentLib.attributes import AGREEMENT, CONTRIBUTION, attribute, companion
from DMAFSegmentLib.comparison_maps import maps_of_run


def test_maps_are_not_taken_for_sequences(host, compare_panel, compare):
    """Their names hold those of the sequences."""
    compare("contributionCheckBox", "uncertaintyCheckBox")
    compare_panel.panel.volumes_changed()
    chosen = {name: node.GetName() for name, node in compare_panel.panel.selectors.nodes().items()}
    assert chosen == {"t1": "case_t1", "flair": "case_flair"}


def test_maps_are_one_click_and_one_click_back(host, compare_panel, compare):
    node = compare("agreementCheckBox", "contributionCheckBox", "uncertaintyCheckBox")
    scene, ui = slicer.mrmlScene, compare_panel.ui
    maps = maps_of_run(scene, node)
    assert [attribute(volume, "Kind") for volume in maps] == [CONTRIBUTION] * 2 + [AGREEMENT] * 3
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")

    def over():
        return {view.GetForegroundVolumeID() for view in views}

    for index, volume in enumerate(maps):
        ui.mapComboBox.currentIndex = index
        host.click(ui.mapButton)
        assert over() == {volume.GetID()}
        assert ui.mapLabel.visible
        host.click(ui.mapButton)
        assert over() == {None}
    host.click(ui.mapButton)
    assert "does not make it right" in ui.mapLabel.text
    host.click(ui.uncertaintyButton)
    assert not ui.mapButton.checked
    assert over() == {companion(scene, node, "entropy").GetID()}
    host.click(ui.mapButton)
    assert not ui.uncertaintyButton.checked
    assert over() == {maps[-1].GetID()}
    host.click(ui.mapButton)
    assert over() == {None}


def test_agreement_counts_subsets_in_one_color_each(compare_panel, compare):
    node = compare("agreementCheckBox")
    volume = next(v for v in maps_of_run(slicer.mrmlScene, node) if "Whole tumor" in v.GetName())
    counts = slicer.util.arrayFromVolume(volume)
    assert np.bincount(counts.ravel()).tolist() == [16 * 20 * 24 - 1000, 1000 - 512, 0, 512]
    display = volume.GetDisplayNode()
    colors = display.GetColorNode()
    assert [colors.GetColorName(index) for index in range(4)] == ["0", "1 of 3", "2 of 3", "3 of 3"]
    display.GetOutputImageDataConnection().GetProducer().Update()
    drawn = display.GetOutputImageData()
    for number in (1, 3):
        k, j, i = np.argwhere(counts == number)[0]
        pixel = [drawn.GetScalarComponentAsDouble(int(i), int(j), int(k), channel) for channel in range(4)]
        color = [0.0] * 4
        colors.GetColor(number, color)
        assert pixel == pytest.approx([255 * part for part in color], abs=1)


def test_contribution_needs_a_model_that_weighs(host, tmp_path, write_model, metadata, compare_panel):
    assert compare_panel.ui.contributionCheckBox.enabled
    write_model(tmp_path / "other.safetensors", dataclasses.replace(metadata, name="plain", title="Plain"))
    host.close_module("DMAFSegment")
    widget = host.open_module("DMAFSegment")
    combo = widget.ui.modelComboBox
    combo.currentIndex = next(i for i in range(combo.count) if "Plain" in combo.itemText(i))
    assert not widget.ui.contributionCheckBox.enabled
    assert "Only DMAF-Net models" in widget.ui.contributionCheckBox.toolTip
