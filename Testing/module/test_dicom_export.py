"""Export as DICOM SEG, up to the boundary of Slicer's own plugin, of which a strict stand-in is used here."""

from __future__ import annotations

import sys

import pytest

from DMAFSegmentLib.attributes import REGIONS, companion
from DMAFSegmentLib.dicom_export import ExportError, export, obstacle
from DMAFSegmentLib.results import ResultOptions

PLUGIN = '''
import os
import tempfile

import slicer
import vtk

class DICOMSegmentationExporter:
    """Refuses what the real class refuses; writes a list of segments in place of the file."""

    cleaned = 0

    class NoNonEmptySegmentsFoundError(ValueError):
        pass

    class EmptySegmentsFoundError(ValueError):
        pass

    def __init__(self, segmentationNode, contentCreatorName=None):
        self.node = segmentationNode
        self.folder = tempfile.mkdtemp()

    def cleanup(self):
        os.rmdir(self.folder)
        type(self).cleaned += 1

    def export(self, outputDirectory, segFileName, metadata, segmentIDs=None, skipEmpty=False):
        volume = self.node.GetNodeReference(self.node.GetReferenceImageGeometryReferenceRole())
        for uid in volume.GetAttribute("DICOM.instanceUIDs").split():
            if not os.path.isfile(slicer.dicomDatabase.fileForInstance(uid)):
                raise ValueError("Referenced volume files were not found in the DICOM database.")
        lines = [metadata["SeriesDescription"]]
        segmentation = self.node.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            identifier, segment = segmentation.GetNthSegmentID(index), segmentation.GetNthSegment(index)
            array = slicer.util.arrayFromSegmentBinaryLabelmap(self.node, identifier, volume)
            if array is None or not array.any():
                if not skipEmpty:
                    raise self.EmptySegmentsFoundError("Empty segments found in segmentation.")
                continue
            lines.append(" | ".join([segment.GetName(), *(self.tag(segment, name) for name in TAGS)]))
        if len(lines) == 1:
            raise self.NoNonEmptySegmentsFoundError("No non empty segments found.")
        with open(os.path.join(outputDirectory, segFileName), "w") as stream:
            stream.write("\\n".join(lines))
        return True

    def tag(self, segment, name):
        value = vtk.reference("")
        if not segment.GetTag(name, value):
            raise ValueError(f"Segment {segment.GetName()} has no {name}.")
        return str(value)

TAGS = (slicer.vtkSegment.GetTerminologyEntryTagName(), "DICOM.SegmentAlgorithmType", "DICOM.SegmentAlgorithmName")
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Puts the plugin where Slicer has it: importable by its name."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "DICOMSegmentationPlugin.py").write_text(PLUGIN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("DICOMSegmentationPlugin", None)


@pytest.fixture
def result(run, make_event):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"]))
    return collector.segmentations[0]


@pytest.fixture
def from_dicom(host, inputs, tmp_path):
    """The reference volume as the DICOM module loads it: two slices in the database."""
    inputs["t1"].SetAttribute("DICOM.instanceUIDs", "1.2.1 1.2.2")
    for uid in ("1.2.1", "1.2.2"):
        (tmp_path / f"{uid}.dcm").write_bytes(b"slice")
        host.dicom.files[uid] = str(tmp_path / f"{uid}.dcm")


def test_each_obstacle_is_named(host, scene, result, inputs, request):
    assert "Choose a segmentation" in obstacle(None)
    assert "Choose a segmentation" in obstacle(scene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert "cannot write DICOM SEG" in obstacle(result)
    request.getfixturevalue("plugin")
    assert '"case_t1" was not loaded from DICOM' in obstacle(result)
    request.getfixturevalue("from_dicom")
    assert obstacle(result) == ""
    del host.dicom.files["1.2.2"]
    assert 'Files of "case_t1" are missing' in obstacle(result)
    scene.RemoveNode(inputs["t1"])
    assert "no longer in the scene" in obstacle(result)


def test_file_holds_codes_and_says_that_a_program_made_it(plugin, from_dicom, result, tmp_path):
    export(result, tmp_path / "seg.dcm")
    title, *lines = (tmp_path / "seg.dcm").read_text(encoding="utf-8").splitlines()
    assert title == "brats-test T1+FLAIR, research use only"
    assert [line.split(" | ")[0] for line in lines] == ["Necrotic core", "Edema", "Enhancing tumor"]
    assert "NCIt^C113842^Enhancing Lesion" in lines[2]
    assert all(line.endswith(" | AUTOMATIC | brats-test 0.1") for line in lines)
    assert sys.modules["DICOMSegmentationPlugin"].DICOMSegmentationExporter.cleaned == 1


def test_empty_segments_are_left_out(plugin, from_dicom, run, make_event, labels, tmp_path):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"], array=labels * (labels == 2)))
    export(collector.segmentations[0], tmp_path / "seg.dcm")
    lines = (tmp_path / "seg.dcm").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0] for line in lines[1:]] == ["Edema"]


def test_failure_leaves_no_file_and_keeps_the_old_one(plugin, from_dicom, run, make_event, labels, tmp_path):
    signals, collector, inputs = run
    signals.result.emit(make_event(inputs["t1"], array=labels * 0))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "seg.dcm").write_text("old", encoding="utf-8")
    with pytest.raises(ExportError, match="No non empty segments found"):
        export(collector.segmentations[0], tmp_path / "out" / "seg.dcm")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["seg.dcm"]
    assert (tmp_path / "out" / "seg.dcm").read_text(encoding="utf-8") == "old"
    assert sys.modules["DICOMSegmentationPlugin"].DICOMSegmentationExporter.cleaned == 1


def test_regions_can_be_exported_too(plugin, from_dicom, new_run, make_event, inputs, tmp_path, scene):
    signals, collector = new_run(ResultOptions(regions=True))
    signals.result.emit(make_event(inputs["t1"]))
    export(companion(scene, collector.segmentations[0], REGIONS), tmp_path / "seg.dcm")
    assert "Whole tumor (WT)" in (tmp_path / "seg.dcm").read_text(encoding="utf-8")
