"""Running from the panel: the one button that starts and cancels, progress, and how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import qt

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import GeometryError
from DMAFSegmentLib.job import State, time_left
from DMAFSegmentLib.panel_environment import Environment
from DMAFSegmentLib.panel_results import ResultView
from DMAFSegmentLib.protocol import JobError, ResultEvent
from DMAFSegmentLib.run_report import run_report

_SILENCE_S = 60.0  # the worker speaks every second or so
_LOOK_EVERY_MS = 2000


class RunControl:
    """Starts, shows and cancels runs.

    ``problems`` gives the reasons why nothing can be run (empty when it can); ``request`` gives the options of
    ``logic.prepare``; ``inputs`` are the widgets that are out of reach while something runs.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        results: ResultView,
        environment: Environment,
        problems: Callable[[], list[str]],
        request: Callable[[], dict[str, Any]],
        inputs: list[Any],
    ) -> None:
        self.ui, self.logic, self.results, self._environment = ui, logic, results, environment
        self._problems, self._request, self._inputs = problems, request, inputs
        ui.applyButton.connect("clicked(bool)", self._on_apply)
        ui.copyLogButton.connect("clicked(bool)", lambda: qt.QApplication.clipboard().setText(ui.logText.plainText))
        ui.copyReportButton.connect("clicked(bool)", self._on_copy_report)
        self._heard, self._last_words = 0.0, ""
        self._were_aligned = False
        self._watch = qt.QTimer()
        self._watch.interval = _LOOK_EVERY_MS
        self._watch.connect("timeout()", self._on_watch)

    def refresh(self) -> None:
        """Text, tooltip and state of the one button that starts and cancels."""
        button, state = self.ui.applyButton, self.logic.state
        running = state in (State.RUNNING, State.CANCELLING)
        for widget in self._inputs:
            widget.enabled = not running
        self.ui.progressBar.visible = running
        if running:
            button.text = _("Cancel") if state is State.RUNNING else _("Canceling...")
            button.enabled = state is State.RUNNING
            button.toolTip = _("Stop the segmentation; the scene stays as it was before.")
            return
        problems = self._problems()
        count = self._count()
        button.text = _("Apply") if count == 1 else _("Apply ({count} subsets)").format(count=count)
        button.enabled = not problems
        button.toolTip = "\n".join(problems) or _("Segment from the chosen sequences.")

    def _count(self) -> int:
        request = self._request()
        subsets = request["subsets"]
        if isinstance(subsets, str):
            return 2 ** len(request["inputs"]) - 1 if subsets == "all" else 1
        return len(subsets)

    def _on_apply(self, *_arguments: Any) -> None:
        if self.logic.running:
            self.logic.cancel()
            self.refresh()
        else:
            self._start()

    def _start(self) -> None:
        ui, problems = self.ui, self._problems()
        if problems:
            self._end(" ".join(problems))
            return
        ui.logText.plainText = ""
        ui.progressBar.value = 0
        self._say(_("Preparing the images..."))
        try:
            check = self.logic.check()
            if not check.ready:
                self._environment.show(check)
                self._end(check.text)
                return
            self._environment.stop()
            self._were_aligned = self.results.scans.take_off()  # the run starts from the scans as they were loaded
            self._connect(self.logic.prepare(**self._request())).start()
            self._heard = time.monotonic()
            self._watch.start()
        except (GeometryError, OSError, RuntimeError) as error:
            self._end(str(error))
        self.refresh()

    def _connect(self, job: Any) -> Any:
        job.log.connect(self._on_log)
        job.stage.connect(self._say)
        job.warning.connect(lambda text: self._say(_("Note: {text}").format(text=text)))
        job.progress.connect(self._on_progress)
        job.result.connect(self._on_result)
        job.finished.connect(self._on_finished)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(lambda: self._end(_("Canceled. The scene is as it was before.")))
        return job

    def _on_log(self, line: str) -> None:
        self._heard = time.monotonic()
        self.ui.logText.appendPlainText(line)

    def _on_watch(self) -> None:
        silence = time.monotonic() - self._heard
        if silence > _SILENCE_S and self.logic.state is State.RUNNING:
            text = _("No sign of life for {count} s; still waiting - Cancel is safe.").format(count=int(silence))
            self.ui.statusLabel.text = f"{self._last_words}\n{text}".strip()

    def _on_copy_report(self, *_arguments: Any) -> None:
        qt.QApplication.clipboard().setText(run_report(self.logic.job, self.ui.statusLabel.text))

    def _say(self, text: str) -> None:
        self._last_words = text
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
        doubts = self.results.scans.doubts(self.ui.segmentationSelector.currentNode())
        self._end(" ".join([text.format(count=count), doubts]))

    def _on_failed(self, error: JobError) -> None:
        kept = len(self.logic.segmentations)
        logging.error("DMAFSegment: %s (%s)", error.message, error.kind)
        if error.kind == "packages":
            self._environment.look()
        text = _("Failed: {error}").format(error=error)
        one, many = _("One finished result was kept."), _("{count} finished results were kept.").format(count=kept)
        self._end(" ".join([text, *([one] if kept == 1 else [many] if kept else [])]))

    def _end(self, text: str) -> None:
        self._watch.stop()
        if not self._environment.devices.known:
            self._environment.ask_devices()
        self._say(text.strip())
        self.results.refresh()
        self.refresh()
        if self._were_aligned:
            self._were_aligned = False
            self.results.scans.put_on()
