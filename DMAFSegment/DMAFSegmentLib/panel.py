"""The panel: what the user sees and presses. It asks the logic for everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt
import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import GeometryError, Node
from DMAFSegmentLib.inputs import check, describe
from DMAFSegmentLib.install import InstallError
from DMAFSegmentLib.job import State, time_left
from DMAFSegmentLib.models import ModelEntry, user_folder
from DMAFSegmentLib.panel_inputs import InputSelectors
from DMAFSegmentLib.panel_results import ResultView
from DMAFSegmentLib.protocol import JobError, ResultEvent
from DMAFSegmentLib.settings import Settings


class Panel:
    """Connects the widgets of the .ui file with the logic; knows nothing of Slicer's module classes."""

    def __init__(self, ui: Any, logic: Any, settings_node: Callable[[], Node]) -> None:
        self.ui, self.logic, self._settings_node = ui, logic, settings_node
        self.models: list[ModelEntry] = []
        self._quiet = False  # true while widgets are filled by us
        self.selectors = InputSelectors(ui.selectorsArea, self._on_input_changed)
        self.results = ResultView(ui)
        for title, value in (
            (_("Automatic"), "auto"),
            (_("CPU"), "cpu"),
            (_("NVIDIA graphics card (CUDA)"), "cuda"),
            (_("Apple graphics (MPS)"), "mps"),
        ):
            ui.deviceComboBox.addItem(title, value)
        self._fill_models()
        self._connect()

    def _connect(self) -> None:
        ui = self.ui
        ui.modelComboBox.connect("currentIndexChanged(int)", self._on_model_changed)
        ui.deviceComboBox.connect("currentIndexChanged(int)", self._save)
        ui.allSubsetsCheckBox.connect("toggled(bool)", self._on_input_changed)
        ui.applyButton.connect("clicked(bool)", self._on_apply)
        ui.copyLogButton.connect("clicked(bool)", lambda: qt.QApplication.clipboard().setText(ui.logText.plainText))

    # -- inputs and model -----------------------------------------------------------------------

    @property
    def model(self) -> ModelEntry | None:
        """The chosen model, or None when there is none at all."""
        index = self.ui.modelComboBox.currentIndex
        return self.models[index] if 0 <= index < len(self.models) else None

    def restore(self) -> None:
        """Show what the parameter node holds, then detect the rest."""
        settings = Settings.load(self._settings_node())
        self._quiet = True
        keys = [model.key for model in self.models]
        if settings.model in keys:
            self.ui.modelComboBox.currentIndex = keys.index(settings.model)
        self.ui.deviceComboBox.currentIndex = max(self.ui.deviceComboBox.findData(settings.device), 0)
        self.ui.allSubsetsCheckBox.checked = settings.all_subsets
        self._quiet = False
        self._show_model()
        self.selectors.restore(settings.inputs, settings.chosen)
        self.selectors.detect()

    def _fill_models(self) -> None:
        self._quiet = True
        self.models = self.logic.models()
        self.ui.modelComboBox.clear()
        for model in self.models:
            self.ui.modelComboBox.addItem(model.title)
        self._quiet = False

    def _on_model_changed(self, *_arguments: Any) -> None:
        if not self._quiet:
            self._show_model()
            self.selectors.detect()

    def _show_model(self) -> None:
        model = self.model
        missing = _("No model found. Put a model file (.safetensors) into {folder}.").format(folder=user_folder())
        self.ui.modelDescriptionLabel.text = model.description if model else missing
        self.ui.modelComboBox.toolTip = "\n".join(
            [
                *([model.title, str(model.path)] if model else []),
                _("More models: {folder}").format(folder=user_folder()),
            ]
        )
        if model is not None and model.metadata is not None:
            self.selectors.rebuild(model.metadata.modalities)
            self.selectors.tab_order(self.ui.modelComboBox)

    def _on_input_changed(self, *_arguments: Any) -> None:
        if self._quiet:
            return
        model = self.model
        if model is not None and model.metadata is not None:
            self.ui.summaryLabel.text = describe(self.selectors.nodes(), model.metadata.modalities)
        self._save()
        self.refresh_apply()

    def _save(self, *_arguments: Any) -> None:
        if self._quiet:
            return
        ui, model = self.ui, self.model
        device = ui.deviceComboBox.itemData(ui.deviceComboBox.currentIndex)
        Settings(
            model=model.key if model else "",
            device=device,
            all_subsets=ui.allSubsetsCheckBox.checked,
            inputs=self.selectors.nodes(),
            chosen=self.selectors.chosen_by_user,
        ).save(self._settings_node())

    def problems(self) -> list[str]:
        """Why Apply is disabled, in sentences; empty when it is not."""
        model = self.model
        if model is None or model.metadata is None:
            return [self.ui.modelDescriptionLabel.text]
        return check(self.selectors.nodes(), model.metadata.modalities)

    # -- run ------------------------------------------------------------------------------------

    def refresh_apply(self) -> None:
        """Text, tooltip and state of the one button that starts and cancels."""
        button, state = self.ui.applyButton, self.logic.state
        running = state in (State.RUNNING, State.CANCELLING)
        for widget in (
            self.ui.selectorsArea,
            self.ui.modelComboBox,
            self.ui.deviceComboBox,
            self.ui.allSubsetsCheckBox,
        ):
            widget.enabled = not running
        self.ui.progressBar.visible = running
        if running:
            button.text = _("Cancel") if state is State.RUNNING else _("Canceling...")
            button.enabled = state is State.RUNNING
            button.toolTip = _("Stop the segmentation; the scene stays as it was before.")
            return
        problems = self.problems()
        count = 2 ** len(self.selectors.nodes()) - 1 if self.ui.allSubsetsCheckBox.checked else 1
        button.text = _("Apply") if count == 1 else _("Apply ({count} subsets)").format(count=count)
        button.enabled = not problems
        button.toolTip = "\n".join(problems) or _("Segment from the chosen sequences.")

    def _on_apply(self, *_arguments: Any) -> None:
        if self.logic.running:
            self.logic.cancel()
            self.refresh_apply()
        else:
            self._start()

    def _start(self) -> None:
        ui, model = self.ui, self.model
        problems = self.problems()
        if problems or model is None:
            self._end(" ".join(problems))
            return
        subsets = "all" if ui.allSubsetsCheckBox.checked else "full"
        device = ui.deviceComboBox.itemData(ui.deviceComboBox.currentIndex)
        ui.logText.plainText = ""
        ui.progressBar.value = 0
        self._say(_("Preparing the images..."))
        try:
            if not self.logic.make_ready(slicer.util.confirmOkCancelDisplay):
                self._end(_("Nothing was installed and nothing was run."))
                return
            job = self.logic.prepare(self.selectors.nodes(), subsets, model, device)
            job.log.connect(ui.logText.appendPlainText)
            job.stage.connect(self._say)
            job.warning.connect(lambda text: self._say(_("Note: {text}").format(text=text)))
            job.progress.connect(self._on_progress)
            job.result.connect(self._on_result)
            job.finished.connect(self._on_finished)
            job.failed.connect(self._on_failed)
            job.cancelled.connect(lambda: self._end(_("Canceled. The scene is as it was before.")))
            job.start()
        except (InstallError, GeometryError, OSError, RuntimeError) as error:
            self._end(str(error))
        self.refresh_apply()

    def _say(self, text: str) -> None:
        self.ui.statusLabel.text = text
        self.ui.statusLabel.visible = bool(text)

    def _on_progress(self, fraction: float, message: str, seconds_left: float | None) -> None:
        self.ui.progressBar.value = int(100 * fraction)
        left = time_left(seconds_left) if seconds_left is not None else ""
        self._say(", ".join(text for text in (message, left) if text))

    def _on_result(self, event: ResultEvent) -> None:
        self.results.show_latest(self.logic.segmentations, select=len(self.logic.segmentations) == 1)

    def _on_finished(self, _provenance: str) -> None:
        count = len(self.logic.segmentations)
        text = _("Finished: one segmentation.") if count == 1 else _("Finished: {count} segmentations.")
        self._end(text.format(count=count))

    def _on_failed(self, error: JobError) -> None:
        kept = len(self.logic.segmentations)
        text = _("Failed: {error}").format(error=error)
        self._end(f"{text} " + (_("{count} finished results were kept.").format(count=kept) if kept else ""))

    def _end(self, text: str) -> None:
        self._say(text.strip())
        self.results.refresh()
        self.refresh_apply()

    # -- scene ----------------------------------------------------------------------------------

    def scene_closing(self) -> None:
        """Stop what runs and let go of everything that is about to disappear."""
        self.pause()
        self.logic.abandon()
        self.results.leave_grid()

    def pause(self) -> None:
        """Ignore the selectors until :meth:`restore`: what they lose or gain meanwhile is nobody's choice."""
        self._quiet = True

    def volumes_changed(self) -> None:
        """Volumes came or went: detect again, except what the user chose, and not during a run."""
        if not self.logic.running and not self._quiet:
            self.selectors.detect()


class QtWorkerProcess:
    """A child process on Qt's event loop; see :class:`DMAFSegmentLib.job.WorkerProcess`."""

    def __init__(self) -> None:
        self.on_output = self.on_error_output = self.on_exit = lambda _value: None
        self._ended = False
        self._process = qt.QProcess()
        self._process.connect("readyReadStandardOutput()", self._read)
        self._process.connect("readyReadStandardError()", self._read)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._failed)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the child; failures arrive as ``on_exit(None)``."""
        variables = qt.QProcessEnvironment.systemEnvironment()
        for name, value in environment.items():
            variables.insert(name, value)
        self._process.setProcessEnvironment(variables)
        program, *arguments = (str(part) for part in command)
        self._process.start(program, arguments)

    def write(self, data: bytes) -> None:
        """Write to the child's standard input."""
        self._process.write(data)

    def kill(self) -> None:
        """End the child; closing its input first also reaches a worker behind a launcher."""
        self._process.closeWriteChannel()
        self._process.kill()

    def wait(self, seconds: float) -> None:
        """Block until the child has ended."""
        self._process.waitForFinished(int(1000 * seconds))

    def _read(self) -> None:
        self.on_output(self._process.readAllStandardOutput().data())
        self.on_error_output(self._process.readAllStandardError().data())

    def _finished(self, *_arguments: Any) -> None:
        self._read()
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        self._end(None if crashed else self._process.exitCode())

    def _failed(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self._end(None)

    def _end(self, code: int | None) -> None:
        if not self._ended:
            self._ended = True
            self.on_exit(code)


def call_later(seconds: float, function: Callable[[], None]) -> None:
    """Call a function once, from the event loop."""
    qt.QTimer.singleShot(int(1000 * seconds), function)
