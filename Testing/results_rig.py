"""A collector of results driven by hand: signals, label maps a person can count, and files as a worker writes them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk

from DMAFSegmentLib.geometry import export_volume
from DMAFSegmentLib.protocol import ResultEvent
from DMAFSegmentLib.results import ResultCollector
from DMAFSegmentLib.run_folder import CompanionCleanup
from DMAFSegmentLib.signal import Signal


class JobSignals:
    """The signals a collector listens to."""

    def __init__(self):
        self.scans, self.scan_warning = Signal(), Signal()
        self.result, self.comparison = Signal(), Signal()
        self.finished, self.failed, self.cancelled = Signal(), Signal(), Signal()


@pytest.fixture
def labels():
    """4 voxels of core, 8 of edema, 12 of enhancing tumor in 16 x 20 x 24 voxels."""
    array = np.zeros((16, 20, 24), np.uint8)
    array[2:4, 3:5, 5] = 1
    array[8:10, 3:5, 5:7] = 2
    array[12, 10:14, 10:13] = 3
    return array


@pytest.fixture
def make_event(tmp_path, labels):
    """Result event whose files lie on the grid of a volume, as the worker would write them."""

    def build(reference, subset=("t1", "flair"), title="T1+FLAIR", array=None, entropy=None):
        template = tmp_path / "reference.nrrd"
        export_volume(reference, template)

        def write(kind, values):
            image = sitk.GetImageFromArray(values)
            image.CopyInformation(sitk.ReadImage(str(template)))
            file = tmp_path / f"{kind}_{title}.nrrd"
            sitk.WriteImage(image, str(file))
            return file

        file = write("labels", labels if array is None else array)
        maps = {} if entropy is None else {"entropy": write("entropy", entropy)}
        volumes, dice = {"WT": 0.192, "TC": 0.128, "ET": 0.096}, {"WT": 1.0, "TC": 0.5, "ET": 0.25}
        return ResultEvent(subset, title, file, volumes, dice, maps)

    return build


@pytest.fixture
def inputs(new_volume):
    """Two volumes by sequence; the first is the reference."""
    return {"t1": new_volume("case_t1"), "flair": new_volume("case_flair")}


@pytest.fixture
def new_run(scene, metadata, inputs):
    """Makes a collector with its signals: a run that the test drives."""

    def build(options=None):
        signals = JobSignals()
        return signals, ResultCollector(signals, scene, metadata, inputs, inputs["t1"], options)

    return build


@pytest.fixture
def run(new_run, inputs):
    """One run: signals, collector, inputs."""
    return (*new_run(), inputs)


@pytest.fixture
def cleanup(scene):
    """What the module does all the time: displays and storages leave with their nodes."""
    watching = CompanionCleanup(scene)
    yield watching
    watching.stop()


def hierarchy(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def contents(scene, folder):
    """Names of what lies in a folder of the subject hierarchy, sorted."""
    items = vtk.vtkIdList()
    hierarchy(scene).GetItemChildren(folder, items, True)
    return sorted(hierarchy(scene).GetItemName(items.GetId(i)) for i in range(items.GetNumberOfIds()))


def node_ids(scene):
    """IDs of all nodes of the scene, but those that Slicer makes by itself."""
    nodes = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
    return {node.GetID() for node in nodes if not node.GetSingletonTag()}


def choose_subsets(widget, mode="all"):
    """Set which subsets the panel segments, as by its list."""
    combo = widget.ui.subsetsComboBox
    combo.currentIndex = combo.findData(mode)
