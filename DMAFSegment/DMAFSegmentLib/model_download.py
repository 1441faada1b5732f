"""One download in a child process, seen from the panel: signals in, cancel out. No Qt here."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.catalogue import CatalogueEntry, file_stem
from DMAFSegmentLib.job import KILL_AFTER_S, State, WorkerProcess
from DMAFSegmentLib.model_files import check_installed
from DMAFSegmentLib.protocol import JobError, LineReader, parse_line
from DMAFSegmentLib.signal import Signal

_SCRIPT = Path(__file__).with_name("download.py")


class ModelDownload:
    """Downloads a model of a catalogue into a folder.

    Signals: ``progress(fraction, text, seconds_left or None)``, and exactly one of ``finished(path)``,
    ``failed(JobError)``, ``cancelled()`` at the end.
    """

    def __init__(
        self,
        offer: CatalogueEntry,
        folder: Path,
        interpreter: str,
        process: WorkerProcess,
        call_later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.progress, self.finished, self.failed, self.cancelled = Signal(), Signal(), Signal(), Signal()
        self.state = State.NEW
        self.offer = offer
        self.path = folder / f"{file_stem(offer.name, offer.version)}.safetensors"
        self._interpreter, self._process, self._call_later = interpreter, process, call_later
        self._output, self._error_output = LineReader(), LineReader()
        self._error_lines: deque[str] = deque(maxlen=12)
        self._error: JobError | None = None
        self._pid = 0
        process.on_output = self._on_output
        process.on_error_output = lambda data: self._error_lines.extend(self._error_output.feed(data))
        process.on_exit = self._on_exit

    @property
    def running(self) -> bool:
        """True from start until the final signal."""
        return self.state in (State.RUNNING, State.CANCELLING)

    def start(self) -> None:
        """Start the child process; everything else arrives by signals."""
        offer = self.offer
        # -P: the script's own folder, where a file is called signal.py, stays off the module path.
        command = [self._interpreter, "-P", str(_SCRIPT), "--url", offer.url, "--sha256", offer.sha256]
        self.state = State.RUNNING
        self._process.start([*command, "--size", str(offer.size), "--output", str(self.path)], {"PYTHONUTF8": "1"})

    def cancel(self) -> None:
        """Ask the child to stop, and end it after 2 s if it does not; ``cancelled`` follows."""
        if self.state is State.RUNNING:
            self.state = State.CANCELLING
            self._process.write(b"cancel\n")
            self._call_later(KILL_AFTER_S, self._kill_if_running)

    def shutdown(self) -> None:
        """Stop now and wait for it: for closing the application or reloading the module."""
        if self.running:
            self.state = State.CANCELLING
            self._kill()
            self._process.wait(KILL_AFTER_S)
            self._on_exit(None)

    def _kill_if_running(self) -> None:
        if self.running:
            self._kill()

    def _kill(self) -> None:
        # Slicer's Python is started through a launcher: ending the launcher alone would leave the child.
        if self._pid:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self._process.kill()

    def _on_output(self, data: bytes) -> None:
        for line in self._output.feed(data):
            event = parse_line(line) or {}
            kind = event.get("event")
            if kind == "started" and isinstance(event.get("pid"), int):
                self._pid = event["pid"]
            elif kind == "progress" and self.state is State.RUNNING and isinstance(event.get("fraction"), float):
                self.progress.emit(event["fraction"], str(event.get("message", "")), event.get("eta_s"))
            elif kind == "error":
                self._error = JobError.read(event)

    def _on_exit(self, code: int | None) -> None:
        if self.state is State.ENDED:
            return
        cancelled = self.state is State.CANCELLING
        self.state = State.ENDED
        if code == 0:
            self._check()
        if cancelled and code != 0:
            self._remove_parts()
            self.cancelled.emit()
        elif self._error is None and code == 0:
            self.finished.emit(self.path)
        else:
            self.failed.emit(self._error or self._unexplained())

    def _check(self) -> None:
        try:
            check_installed(self.path, self.offer)
        except (ValueError, OSError) as error:
            self._error = JobError(str(error))

    def _unexplained(self) -> JobError:
        hint = _("Try again, or install the model from a file.")
        return JobError(_("The download stopped unexpectedly."), hint, "\n".join(self._error_lines))

    def _remove_parts(self) -> None:
        """A child that had to be ended could not clean up itself."""
        for part in self.path.parent.glob(f"{self.path.name}.*.part"):
            with contextlib.suppress(OSError):
                part.unlink()
