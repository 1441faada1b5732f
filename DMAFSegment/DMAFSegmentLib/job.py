"""One run of the worker process: what is asked, what comes back, and how it is stopped.

No Qt here. The child process and the timer are handed in (:class:`WorkerProcess`, ``call_later``),
so the same code runs under Slicer's Qt, in tests, and in any program with an event loop.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.exits import LOG_HINT, explain_exit
from DMAFSegmentLib.protocol import ComparisonEvent, JobError, LineReader, ResultEvent, WorkerEventError, parse_line
from DMAFSegmentLib.scan_request import ScanRequest
from DMAFSegmentLib.scans_event import ScansEvent
from DMAFSegmentLib.signal import Signal
from DMAFSegmentLib.workspace import JOB_FILE, make_workspace

KILL_AFTER_S = 1.5  # Cancel is answered within 2 s
_LOG_LINES = 2000
_SCAN_WARNINGS = ("registration", "brain")


class WorkerProcess(Protocol):
    """A child process; callbacks arrive on the thread that owns the event loop.

    ``on_exit`` gets the exit code as :func:`DMAFSegmentLib.exits.explain_exit` takes it; None: never started.
    It is called exactly once for every ``start``, after the last output.
    """

    on_output: Callable[[bytes], None]
    on_error_output: Callable[[bytes], None]
    on_exit: Callable[[int | None], None]

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start ``command``; ``environment`` is added to the inherited variables."""

    def write(self, data: bytes) -> None:
        """Write to the child's standard input; ignored when it is gone."""

    def kill(self) -> None:
        """Close the child's standard input, which also ends a worker behind a launcher, and end the child at once."""

    def wait(self, seconds: float) -> None:
        """Block until the child ended, at most ``seconds``; delivers ``on_exit``."""


@dataclass(frozen=True)
class JobRequest:
    """What to segment. ``inputs`` maps sequence names to volume nodes.

    ``subsets`` is ``"full"`` (only what exists), ``"all"`` (every subset of it) or a list of name lists.
    ``reference`` names the sequence whose grid the results get; None takes the first in channel order.
    ``maps`` names what is wanted beside the label maps: ``"entropy"``, ``"agreement"``, ``"contribution"``.
    ``scans`` says what is done with the images before.
    """

    bundle: Path
    inputs: Mapping[str, Any]
    subsets: str | list[list[str]] = "full"
    reference: str | None = None
    device: str = "auto"
    maps: tuple[str, ...] = ()
    scans: ScanRequest = field(default_factory=ScanRequest)

    @property
    def native(self) -> list[str]:
        """Sequences on whose own grids results are wanted too; the worker leaves the reference out."""
        return list(self.inputs) if self.scans.native else []

    @property
    def comparison(self) -> bool:
        """Are the results compared with each other? As soon as there is more than one."""
        if isinstance(self.subsets, str):
            return self.subsets == "all" and len(self.inputs) > 1
        return len(self.subsets) > 1


@dataclass(frozen=True)
class Worker:
    """How the worker is started: command without ``--job``, and variables added to its environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class State(Enum):
    """Life of a job; it never goes back."""

    NEW = "new"
    RUNNING = "running"
    CANCELLING = "cancelling"
    ENDED = "ended"


class SegmentationJob:
    """Runs one request in a worker process and reports by signals.

    Signals: ``started(dict)``, ``stage(text)``, ``progress(fraction, text, seconds_left or None)``,
    ``scans(ScansEvent)``, ``result(ResultEvent)``, ``comparison(ComparisonEvent)``, ``warning(text)``,
    ``scan_warning(text)`` (beside ``warning``, if it is about the scans), ``log(text)``, and exactly one of
    ``finished(provenance_text)``, ``failed(JobError)``, ``cancelled()`` at the end. Files are gone when the
    last one is emitted: read them in a slot of ``scans``, ``result`` or ``comparison``.

    ``request`` is what was asked; ``worker_info`` is what the worker said of itself (versions, device, model).
    """

    def __init__(
        self,
        request: JobRequest,
        worker: Worker,
        process: WorkerProcess,
        export: Callable[[Any, Path], None],
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.started, self.stage, self.progress = Signal(), Signal(), Signal()
        self.result, self.comparison = Signal(), Signal()
        self.scans, self.scan_warning = Signal(), Signal()
        self.warning, self.log = Signal(), Signal()
        self.finished, self.failed, self.cancelled = Signal(), Signal(), Signal()
        self.state = State.NEW
        self.folder: Path | None = None
        self.log_lines: deque[str] = deque(maxlen=_LOG_LINES)
        self.worker_info: dict[str, Any] = {}
        self.request, self._worker, self._process = request, worker, process
        self._export, self._call_later = export, call_later
        self._output, self._error_output = LineReader(), LineReader()
        self._error_lines: deque[str] = deque(maxlen=12)
        self._error: JobError | None = None
        self._provenance: str | None = None
        self._worker_pid = 0
        self._handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "started": self._on_started_event,
            "stage": self._on_stage_event,
            "progress": self._on_progress_event,
            "scans": self._on_scans_event,
            "result": self._on_result_event,
            "comparison": self._on_comparison_event,
            "warning": self._on_warning_event,
            "error": self._on_error_event,
            "done": self._on_done_event,
        }
        process.on_output = self._on_output
        process.on_error_output = self._on_error_output
        process.on_exit = self._on_exit

    @property
    def running(self) -> bool:
        """True from start until the final signal, also while it is being cancelled."""
        return self.state in (State.RUNNING, State.CANCELLING)

    def start(self) -> None:
        """Write the inputs and the job file, then start the worker.

        Raises:
            OSError, GeometryError: the inputs could not be written; nothing is left behind.
        """
        self.folder = make_workspace()
        try:
            job_file = self._write_job(self.folder)
        except BaseException:
            self._remove_folder()
            raise
        self.state = State.RUNNING
        self._process.start([*self._worker.command, "--job", str(job_file)], self._worker.environment)

    def cancel(self) -> None:
        """Ask the worker to stop, and end it soon after if it does not; ``cancelled`` follows within 2 s."""
        if self.state is not State.RUNNING:
            return
        self._stop()

    def shutdown(self) -> None:
        """Stop now and wait for it: for closing the application or reloading the module."""
        if not self.running:
            return
        self.state = State.CANCELLING
        self._kill()
        self._process.wait(KILL_AFTER_S)
        self._on_exit(None)

    def _stop(self) -> None:
        self.state = State.CANCELLING
        self._process.write(b"cancel\n")
        self._call_later(KILL_AFTER_S, self._kill_if_running)

    def _kill_if_running(self) -> None:
        if self.running:
            self._note(_("The worker did not stop when asked and was ended."))
            self._kill()

    def _kill(self) -> None:
        # Slicer's Python is started through a launcher: ending the launcher alone would leave the worker.
        if self._worker_pid:
            with contextlib.suppress(OSError):
                os.kill(self._worker_pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self._process.kill()

    def _write_job(self, folder: Path) -> Path:
        paths = {name: folder / f"{name}.nrrd" for name in self.request.inputs}
        for name, node in self.request.inputs.items():
            self._export(node, paths[name])
        scans, mask_file = self.request.scans, folder / "brain_mask.nrrd"
        if scans.brain == "mask":
            self._export(scans.mask, mask_file)
        document = {
            "schema": 1,
            "bundle": str(self.request.bundle),
            "inputs": {name: str(path) for name, path in paths.items()},
            "subsets": self.request.subsets,
            "reference": self.request.reference,
            "output": str(folder / "out"),
            "device": self.request.device,
            "extension": ".nrrd",
            "maps": list(self.request.maps),
            "comparison": self.request.comparison,
            "scans": scans.document(mask_file),
            "native": self.request.native,
        }
        job_file = folder / JOB_FILE
        job_file.write_text(json.dumps(document, indent=1), encoding="utf-8")
        return job_file

    def _on_output(self, data: bytes) -> None:
        self._read_lines(self._output.feed(data))

    def _read_lines(self, lines: list[str]) -> None:
        for line in lines:
            self._note(line)
            event = parse_line(line)
            if event is None:
                continue
            if event["event"] == "hello":  # also while canceling: the process to end must be known
                self._on_hello_event(event)
            elif self.state is State.RUNNING:
                self._dispatch(event)

    def _on_error_output(self, data: bytes) -> None:
        for line in self._error_output.feed(data):
            self._error_lines.append(line)
            self._note(line)

    def _dispatch(self, event: Mapping[str, Any]) -> None:
        handler = self._handlers.get(event["event"])
        if handler is None or self._error is not None:
            return
        try:
            handler(event)
        except (WorkerEventError, OSError, ValueError, RuntimeError) as error:
            self._error = JobError(str(error) or type(error).__name__, LOG_HINT)
            self._stop()

    def _on_hello_event(self, event: Mapping[str, Any]) -> None:
        pid = event.get("pid")
        self._worker_pid = pid if isinstance(pid, int) and pid > 0 else self._worker_pid
        self.worker_info.update(event)

    def _on_started_event(self, event: Mapping[str, Any]) -> None:
        self._on_hello_event(event)
        self.started.emit(dict(event))

    def _on_stage_event(self, event: Mapping[str, Any]) -> None:
        self.stage.emit(str(event.get("message", "")))

    def _on_progress_event(self, event: Mapping[str, Any]) -> None:
        fraction, left = event.get("fraction"), event.get("eta_s")
        if isinstance(fraction, (int, float)):
            seconds = float(left) if isinstance(left, (int, float)) else None
            self.progress.emit(min(max(float(fraction), 0.0), 1.0), str(event.get("message", "")), seconds)

    def _on_scans_event(self, event: Mapping[str, Any]) -> None:
        self.scans.emit(ScansEvent.read(event))

    def _on_result_event(self, event: Mapping[str, Any]) -> None:
        self.result.emit(ResultEvent.read(event))

    def _on_comparison_event(self, event: Mapping[str, Any]) -> None:
        self.comparison.emit(ComparisonEvent.read(event))

    def _on_warning_event(self, event: Mapping[str, Any]) -> None:
        text = str(event.get("message", ""))
        self.warning.emit(text)
        if event.get("code") in _SCAN_WARNINGS:
            self.scan_warning.emit(text)

    def _on_error_event(self, event: Mapping[str, Any]) -> None:
        self._error = JobError.read(event)

    def _on_done_event(self, event: Mapping[str, Any]) -> None:
        path = event.get("provenance")
        self._provenance = Path(path).read_text(encoding="utf-8") if isinstance(path, str) else ""

    def _on_exit(self, code: int | None) -> None:
        if self.state is State.ENDED:
            return
        self._read_lines(self._output.rest())
        self._on_error_output(b"\n")
        cancelled = self.state is State.CANCELLING and self._error is None
        self.state = State.ENDED
        self._remove_folder()
        if cancelled:
            self.cancelled.emit()
        elif self._error is None and code == 0 and self._provenance is not None:
            self.finished.emit(self._provenance)
        else:
            self.failed.emit(self._error or explain_exit(code, list(self._error_lines)))

    def _note(self, line: str) -> None:
        self.log_lines.append(line)
        self.log.emit(line)

    def _remove_folder(self) -> None:
        if self.folder is None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.exists():
            self._note(_("The temporary folder {folder} could not be removed.").format(folder=self.folder))


def time_left(seconds: float) -> str:
    """Rough remaining time in words; exact numbers would pretend to know."""
    if seconds < 90:
        return _("about {count} s left").format(count=max(round(seconds), 1))
    return _("about {count} min left").format(count=round(seconds / 60))
