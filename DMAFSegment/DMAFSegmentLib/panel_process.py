"""Child processes and timers on Qt's event loop: what a job needs from its surroundings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import qt


def _ignore(_value: Any) -> None:
    """For callbacks nobody set, and for those of a process that ended."""


class QtWorkerProcess:
    """A child process on Qt's event loop; see :class:`DMAFSegmentLib.job.WorkerProcess`."""

    def __init__(self) -> None:
        self.on_output: Callable[[bytes], None] = _ignore
        self.on_error_output: Callable[[bytes], None] = _ignore
        self.on_exit: Callable[[int | None], None] = _ignore
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
        """Write to the child's standard input; ignored when it has ended."""
        if not self._ended:
            self._process.write(data)

    def kill(self) -> None:
        """End the child; closing its input first also reaches a worker behind a launcher."""
        if not self._ended:
            self._process.closeWriteChannel()
            self._process.kill()

    def wait(self, seconds: float) -> None:
        """Block until the child has ended."""
        if not self._ended:
            self._process.waitForFinished(int(1000 * seconds))

    def _read(self) -> None:
        self.on_output(self._process.readAllStandardOutput().data())
        self.on_error_output(self._process.readAllStandardError().data())

    def _finished(self, *_arguments: Any) -> None:
        self._read()
        code = self._process.exitCode()
        by_signal = os.name != "nt" and self._process.exitStatus() == qt.QProcess.CrashExit
        self._end(-code if by_signal else code)

    def _failed(self, error: Any) -> None:
        if error == qt.QProcess.FailedToStart:
            self._end(None)

    def _end(self, code: int | None) -> None:
        if not self._ended:
            self._ended = True
            on_exit = self.on_exit
            self.on_output = self.on_error_output = self.on_exit = _ignore  # lets go of the job
            on_exit(code)
            self._process.deleteLater()  # the connections to our methods would keep both alive


def call_later(seconds: float, function: Callable[[], None]) -> None:
    """Call a function once, from the event loop."""
    qt.QTimer.singleShot(int(1000 * seconds), function)


class Question:
    """A short command whose whole output is wanted; nobody waits for it.

    ``on_answer`` gets the standard output, whatever the exit code; a command that did not start or took too long has
    an empty or a broken one. It is not called after :meth:`stop`.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_answer: Callable[[str], None],
        timeout_s: float = 120.0,
    ) -> None:
        self._on_answer: Callable[[str], None] | None = on_answer
        self._output: list[bytes] = []
        self._process = QtWorkerProcess()
        self._process.on_output = self._output.append
        self._process.on_exit = self._on_exit
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._process.kill)
        self._timer.start(int(1000 * timeout_s))
        self._process.start(command, environment)

    @property
    def running(self) -> bool:
        """Is the answer still to come?"""
        return self._on_answer is not None

    def stop(self) -> None:
        """Do without the answer."""
        if self.running:
            self._on_answer = None
            self._process.kill()
            self._process.wait(1.0)

    def _on_exit(self, _code: int | None) -> None:
        on_answer, self._on_answer = self._on_answer, None
        self._timer.stop()
        self._timer.deleteLater()
        if on_answer is not None:
            on_answer(b"".join(self._output).decode("utf-8", "replace"))
