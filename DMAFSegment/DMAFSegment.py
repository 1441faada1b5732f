"""DMAFSegment: brain tumor (and other) segmentation from whichever MR sequences exist.

Research use only. Not a medical device. The work is done in ``DMAFSegmentLib``; this file holds the
classes Slicer looks for by name.
"""

from __future__ import annotations

import time
import unittest
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from DMAFSegmentLib.brain_mask import export_node
from DMAFSegmentLib.detection import detect
from DMAFSegmentLib.geometry import Node
from DMAFSegmentLib.inputs import check, reference_sequence
from DMAFSegmentLib.install import Check, check_now, default_worker
from DMAFSegmentLib.job import JobRequest, SegmentationJob, State, Worker
from DMAFSegmentLib.models import ModelEntry, find_models, model_folders
from DMAFSegmentLib.panel import Panel
from DMAFSegmentLib.panel_interpreter import custom_interpreter
from DMAFSegmentLib.panel_process import QtWorkerProcess, call_later
from DMAFSegmentLib.panel_results import layout_node
from DMAFSegmentLib.results import ResultCollector, ResultOptions
from DMAFSegmentLib.run_folder import CompanionCleanup
from DMAFSegmentLib.sample_data import load_sample_case, register_sample_data
from DMAFSegmentLib.scan_request import ScanRequest
from DMAFSegmentLib.settings import Settings
from DMAFSegmentLib.subset_choice import ALL, SubsetChoice
from DMAFSegmentLib.terminology import load_terminology
from DMAFTraining.modalities import BRATS

_DETECT_AFTER_MS = 100  # a loaded volume gets its image and name after it enters the scene


class DMAFSegment(ScriptedLoadableModule):
    """Module description for Slicer."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("DMAF Segment")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["DMAFSegment developers"]
        parent.helpText = _(
            "Segments from any subset of the MR sequences a model knows, and compares what each subset gives. "
            "Choose the volumes that exist and press Apply. Research use only. Not a medical device."
        )
        parent.acknowledgementText = _("The networks follow the publications named in the model's description.")
        slicer.app.connect("startupCompleted()", load_terminology)
        slicer.app.connect("startupCompleted()", register_sample_data)
        self.cleanup = CompanionCleanup(slicer.mrmlScene)


class DMAFSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Loads the panel and passes on what happens to the scene."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: DMAFSegmentLogic | None = None
        self.panel: Panel | None = None
        self._detection_planned = False

    def setup(self) -> None:
        """Called once, when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        root = slicer.util.loadUI(self.resourcePath("UI/DMAFSegment.ui"))
        self.layout.addWidget(root)
        self.ui = slicer.util.childWidgetVariables(root)
        root.setMRMLScene(slicer.mrmlScene)
        self.logic = DMAFSegmentLogic()
        self.panel = Panel(self.ui, self.logic, self.logic.getParameterNode)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneReplaced)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneReplaced)
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodesChanged)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodesChanged)
        layout = layout_node()
        if layout is not None:
            self.addObserver(layout, vtk.vtkCommand.ModifiedEvent, self.onLayoutChanged)

    def enter(self) -> None:
        """Called each time the module is opened."""
        self.panel.restore()
        self.panel.environment.look_soon()

    def cleanup(self) -> None:
        """Called when the application closes and when the module is reloaded."""
        self.removeObservers()
        self.logic.shutdown()
        self.panel.close()
        self.panel = None

    def onSceneStartClose(self, _scene: Any, _event: Any) -> None:
        """Stop a run before its volumes disappear."""
        self.panel.scene_closing()

    def onSceneStartImport(self, _scene: Any, _event: Any) -> None:
        """Selectors change while nodes arrive: that is nobody's choice."""
        self.panel.pause()

    def onSceneReplaced(self, _scene: Any, _event: Any) -> None:
        """Show what the scene remembers, once the selectors have noticed its nodes too."""
        qt.QTimer.singleShot(0, self._restore)

    def onNodesChanged(self, _scene: Any, _event: Any) -> None:
        """Volumes may have come or gone: look once, soon, however many there are."""
        if not self._detection_planned and self.parent.isEntered:
            self._detection_planned = True
            qt.QTimer.singleShot(_DETECT_AFTER_MS, self._detect)

    def onLayoutChanged(self, _node: Any, _event: Any) -> None:
        """The user may have left the comparison grid."""
        self.panel.results.layout_changed()

    def _restore(self) -> None:
        if self.panel is not None and self.parent.isEntered:
            self.panel.restore()

    def _detect(self) -> None:
        self._detection_planned = False
        if self.panel is None:
            return
        if slicer.mrmlScene.IsBatchProcessing():
            self.onNodesChanged(slicer.mrmlScene, "")
        else:
            self.panel.volumes_changed()


class DMAFSegmentLogic(ScriptedLoadableModuleLogic):
    """Segmentation without a panel; one run at a time. ``docs/slicer-scripting.md`` has a script for many patients.

    >>> logic = DMAFSegmentLogic()
    >>> segmentations = logic.process({"t1": t1Node, "flair": flairNode}, subsets="all")
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.worker: Worker | None = None  # None takes the shipped one
        self._checked: Check | None = None
        self._job: SegmentationJob | None = None
        self._collector: ResultCollector | None = None

    @property
    def state(self) -> State:
        """State of the last job; NEW when there was none."""
        return self._job.state if self._job is not None else State.NEW

    @property
    def running(self) -> bool:
        """Is a worker at work, or being canceled?"""
        return self._job is not None and self._job.running

    @property
    def segmentations(self) -> list[Node]:
        """Segmentations of the last run so far, that of the most sequences first."""
        return list(self._collector.segmentations) if self._collector is not None else []

    def models(self) -> list[ModelEntry]:
        """Models in the known folders, usable ones first."""
        return find_models(model_folders())

    @property
    def job(self) -> SegmentationJob | None:
        """The last run, or None."""
        return self._job

    def current_worker(self) -> Worker:
        """The worker that runs next: the shipped one in the chosen Python, unless ``worker`` is set."""
        return self.worker or default_worker(custom_interpreter())

    def check(self) -> Check:
        """What the worker's Python lacks; looked up until nothing is missing. Installs nothing."""
        interpreter = self.current_worker().command[0]
        if self._checked is None or not self._checked.ready or self._checked.interpreter != interpreter:
            self._checked = check_now(interpreter)
        return self._checked

    def prepare(
        self,
        inputs: Mapping[str, Node],
        subsets: str | list[list[str]] = "full",
        model: ModelEntry | None = None,
        device: str = "auto",
        reference: str | None = None,
        maps: Sequence[str] = (),
        options: ResultOptions | None = None,
        scans: ScanRequest | None = None,
    ) -> SegmentationJob:
        """Job for these volumes (sequence name -> node): connect to its signals, then ``start()`` it.

        ``subsets`` is ``"full"``, ``"all"`` or a list of name lists; ``reference`` names the sequence whose
        grid the results get, by default that of the fullest resolution. Without ``model`` the first usable one is
        taken. ``maps`` may hold ``"entropy"``, ``"agreement"`` and ``"contribution"``; more subsets than one are
        compared with each other. ``options`` says what else the run adds to the scene, and whether it replaces the
        results before; ``scans`` what is done with the images first, by default what they need.

        Raises:
            RuntimeError: a run is going on, there is no usable model, or the inputs cannot be used.
        """
        if self.running:
            raise RuntimeError(_("A segmentation is running already. Wait for it or cancel it."))
        model = model or next(iter(self.models()), None)
        if model is None or model.metadata is None:
            raise RuntimeError(_("No usable model was found."))
        scans = (scans or ScanRequest()).suited_to(model.metadata)
        problems = [*check(inputs, model.metadata.modalities, scans.may_move), *scans.problems()]
        if problems:
            raise RuntimeError(" ".join(problems))
        ordered = {name: inputs[name] for name in model.metadata.modalities.names if name in inputs}
        reference = reference or reference_sequence(ordered, model.metadata)
        request = JobRequest(model.path, ordered, subsets, reference, device, tuple(maps), scans)
        self._job = SegmentationJob(request, self.current_worker(), QtWorkerProcess(), export_node, call_later)
        self._collector = ResultCollector(
            self._job, slicer.mrmlScene, model.metadata, ordered, ordered[reference], options
        )
        return self._job

    def process(self, inputs: Mapping[str, Node], **options: Any) -> list[Node]:
        """Segment and wait; ``options`` as in :meth:`prepare`. Slicer stays responsive meanwhile.

        Returns:
            One segmentation node per subset, that of the most sequences first.

        Raises:
            RuntimeError: as in :meth:`prepare`, Python packages are missing, or the run failed or was canceled;
                the message says why.
        """
        job = self.prepare(inputs, **options)
        if not self.check().ready:
            raise RuntimeError(self.check().text)
        ends: list[str] = []
        job.finished.connect(lambda _provenance: ends.append(""))
        job.failed.connect(lambda error: ends.append(str(error)))
        job.cancelled.connect(lambda: ends.append(_("The segmentation was canceled.")))
        scene = slicer.mrmlScene
        observer = scene.AddObserver(scene.StartCloseEvent, lambda *_: self.abandon())
        try:
            job.start()
            while not ends:
                slicer.app.processEvents()
                time.sleep(0.01)
        finally:
            scene.RemoveObserver(observer)
        if ends[0]:
            raise RuntimeError(ends[0])
        return self.segmentations

    def cancel(self) -> None:
        """Stop the run; everything it added leaves the scene."""
        if self._job is not None:
            self._job.cancel()

    def abandon(self) -> None:
        """The scene is closing: take out what came so far and stop."""
        if self.running:
            self._collector.discard()
            self.cancel()

    def shutdown(self) -> None:
        """Stop and wait for it; for closing the application."""
        if self._job is not None:
            self._job.shutdown()


class DMAFSegmentTest(ScriptedLoadableModuleTest):
    """Self test inside Slicer; the full tests are in the source tree under ``Testing``."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test of this class: what "Reload and Test" calls."""
        for name in unittest.defaultTestLoader.getTestCaseNames(type(self)):
            self.setUp()
            getattr(self, name)()

    def test_models_and_checks(self) -> None:
        """The shipped models can be read and an empty choice is refused."""
        logic = DMAFSegmentLogic()
        for model in logic.models():
            self.assertTrue(Path(model.path).is_file())  # noqa: PT009 - Slicer runs this without pytest
        with self.assertRaises(RuntimeError):  # noqa: PT027
            logic.prepare({})

    def test_sample_case_is_recognized_and_remembered(self) -> None:
        """The volumes of the sample case are taken for their sequences, and the parameter node keeps a choice."""
        nodes = load_sample_case()
        logic = DMAFSegmentLogic()
        found = detect(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), BRATS)
        self.assertEqual({name: guess.node for name, guess in found.items()}, nodes)  # noqa: PT009
        settings = Settings(device="cpu", subsets=SubsetChoice(ALL), inputs=nodes, chosen={"t1"})
        settings.save(logic.getParameterNode())
        self.assertEqual(Settings.load(logic.getParameterNode()), settings)  # noqa: PT009
