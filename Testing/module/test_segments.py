"""Codes, regions and the uncertainty map: what a clinician reads, checked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from DMAFSegmentLib.attributes import REGIONS, companion, measures
from DMAFSegmentLib.result_files import ResultError, read_map
from DMAFSegmentLib.results import ResultOptions
from DMAFSegmentLib.segmentation import region_parts
from DMAFSegmentLib.terminology import load_terminology, region_entry, unknown_entries
from DMAFSegmentLib.uncertainty import UncertaintyOverlay, add_uncertainty
from DMAFTraining.data import brats, myops
from DMAFTraining.inference.metadata import Region

DATA_SETS = [brats.LABELS, myops.LABELS, myops.PART_LABELS]


@pytest.mark.parametrize("labels_of", DATA_SETS, ids=["brats", "myops", "myops parts"])
def test_every_label_of_every_data_set_is_in_the_list(labels_of):
    assert unknown_entries(labels_of) == []


@pytest.mark.parametrize("labels_of", DATA_SETS, ids=["brats", "myops", "myops parts"])
def test_slicer_finds_every_entry_in_the_loaded_list(host, labels_of):
    load_terminology()
    logic = slicer.modules.terminologies.logic()
    for label in labels_of:
        entry = slicer.vtkSlicerTerminologyEntry()
        assert logic.DeserializeTerminologyEntry(label.terminology, entry)
        wanted = (code_of(entry.GetCategoryObject()), code_of(entry.GetTypeObject()))
        assert wanted in list(entries_in(logic, entry.GetTerminologyContextName())), label.name


def entries_in(logic, context):
    """Category and type of everything in a list that Slicer has loaded."""
    for number in range(logic.GetNumberOfCategoriesInTerminology(context)):
        category = slicer.vtkSlicerTerminologyCategory()
        logic.GetNthCategoryInTerminology(context, number, category)
        for index in range(logic.GetNumberOfTypesInTerminologyCategory(context, category)):
            kind = slicer.vtkSlicerTerminologyType()
            logic.GetNthTypeInTerminologyCategory(context, category, index, kind)
            yield code_of(category), code_of(kind)


def code_of(item):
    return item.GetCodingSchemeDesignator(), item.GetCodeValue(), item.GetCodeMeaning()


def test_unknown_and_missing_codes_are_named():
    wrong = replace(brats.LABELS[0], terminology=brats.LABELS[0].terminology.replace("6574001", "1"))
    assert unknown_entries([wrong, replace(brats.LABELS[1], terminology=""), brats.LABELS[2]]) == [
        "Necrotic core",
        "Edema",
    ]


def test_region_of_one_label_has_its_code_and_a_union_is_a_lesion():
    whole, _, enhancing = brats.REGIONS
    assert region_entry(enhancing, brats.LABELS) == brats.LABELS[2].terminology
    entry = region_entry(whole, brats.LABELS)
    assert entry.split("~")[2] == "SCT^52988006^Lesion"
    assert entry.split("~")[4:] == brats.LABELS[0].terminology.split("~")[4:]
    assert unknown_entries([replace(brats.LABELS[0], terminology=entry)]) == []


def test_union_of_anatomy_and_disease_has_no_code():
    assert region_entry(Region("MYO", "Myocardium", (1, 4, 5)), myops.PART_LABELS) == ""


def test_segments_say_that_a_program_made_them(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    segment = collector.segmentations[0].GetSegmentation().GetSegment("label_1")
    value = vtk.reference("")
    assert segment.GetTag("DICOM.SegmentAlgorithmType", value)
    assert str(value) == "AUTOMATIC"
    assert segment.GetTag("DICOM.SegmentAlgorithmName", value)
    assert str(value) == "brats-test 0.1"


def test_regions_overlap_and_have_the_volumes_of_the_table(scene, new_run, make_event, inputs, labels):
    signals, collector = new_run(ResultOptions(regions=True))
    signals.result.emit(make_event(inputs["t1"]))
    node = companion(scene, collector.segmentations[0], REGIONS)
    assert not node.GetDisplayNode().GetVisibility()
    rows = measures(node)
    assert [(row.name, row.segment) for row in rows] == [
        ("Whole tumor (WT)", "region_WT"),
        ("Tumor core (TC)", "region_TC"),
        ("Enhancing tumor (ET)", "region_ET"),
    ]
    members = {"region_WT": (1, 2, 3), "region_TC": (1, 3), "region_ET": (3,)}
    for row in rows:
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, row.segment, inputs["t1"]) > 0
        assert np.array_equal(array, np.isin(labels, members[row.segment]))
        assert array.sum() * 0.008 == pytest.approx(row.volume_ml)
    entries = measures(collector.segmentations[0])
    assert [row.volume_ml for row in entries[3:]] == [row.volume_ml for row in rows]


def test_nested_regions_take_the_color_of_what_they_add(metadata):
    necrosis, edema, enhancing = (label.color for label in metadata.labels)
    assert [part.color for part in region_parts(metadata)] == [edema, necrosis, enhancing]


def test_uncertainty_lies_on_the_reference_with_colors_and_hidden_legend(scene, run, make_event, labels):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"], entropy=labels.astype(np.float32) / 4))
    node = companion(scene, collector.segmentations[0], "entropy")
    assert np.array_equal(slicer.util.arrayFromVolume(node), labels.astype(np.float32) / 4)
    first, second = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(first)
    inputs["t1"].GetIJKToRASMatrix(second)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(first), slicer.util.arrayFromVTKMatrix(second))
    display = node.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0, 1)
    assert display.GetColorNode() is not None
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    assert legend.GetTitleText() == "Uncertainty"
    assert not legend.GetVisibility()


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan])
def test_values_that_are_no_entropy_are_refused(run, make_event, labels, bad):
    _signals, _collector, inputs = run
    values = np.where(labels == 1, bad, 0).astype(np.float32)
    with pytest.raises(ResultError, match="outside 0 to 1"):
        read_map(make_event(inputs["t1"], entropy=values), "entropy", inputs["t1"])


def test_overlay_leaves_the_views_as_they_were(scene, new_volume):
    old, image = new_volume("old"), new_volume("image")
    views = [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(2)]
    views[0].SetForegroundVolumeID(old.GetID())
    views[0].SetForegroundOpacity(0.3)
    volume = add_uncertainty(scene, "u", np.full((16, 20, 24), 0.5, np.float32), image)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(volume)
    overlay = UncertaintyOverlay(scene)
    overlay.show(dict.fromkeys(views, volume))
    assert [view.GetForegroundVolumeID() for view in views] == [volume.GetID()] * 2
    assert legend.GetVisibility()
    overlay.hide()
    assert [view.GetForegroundVolumeID() for view in views] == [old.GetID(), None]
    assert views[0].GetForegroundOpacity() == pytest.approx(0.3)
    assert not legend.GetVisibility()


def test_what_the_user_laid_over_a_view_meanwhile_stays(scene, new_volume):
    mine, image = new_volume("mine"), new_volume("image")
    view = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    overlay = UncertaintyOverlay(scene)
    overlay.show({view: add_uncertainty(scene, "u", np.zeros((16, 20, 24), np.float32), image)})
    view.SetForegroundVolumeID(mine.GetID())
    overlay.hide()
    assert view.GetForegroundVolumeID() == mine.GetID()
