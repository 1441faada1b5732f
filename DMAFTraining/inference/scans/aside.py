"""Runs a slow program in a process of its own, with progress and prompt cancel."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from DMAFTraining.inference.errors import InputError

_POLL_SECONDS = 0.2
_END_SECONDS = 5.0
_PROJECT = Path(__file__).resolve().parents[3]
_KILLED = 128 + 9  # exit code after a signal that only the system sends unasked
_MEMORY_WORDS = ("out of memory", "not enough memory", "memoryerror", "can't allocate memory")


def run_aside(
    tool: str, command: Sequence[str], folder: Path, on_progress: Callable[[float], None], usual_seconds: float
) -> None:
    """Run a command to its end in a child process that ends when this process does.

    Args:
        tool: name for messages.
        command: program and arguments; it gets no input.
        folder: the files it works on; removed with all content when the command is ended before its time.
        on_progress: told 0..1, estimated from the time that passed; 1 only at the end. Raising in it ends the command.
        usual_seconds: time that the command usually takes.

    Raises:
        InputError: the command failed; the last line of its error output is the reason.
    """
    on_progress(0.0)
    with tempfile.TemporaryFile() as errors:
        guard = subprocess.Popen(  # noqa: S603 - the caller's own command
            [sys.executable, "-m", "DMAFTraining.inference.scans.guard", str(folder), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=_environment(),
        )
        try:
            code = _wait(guard, on_progress, usual_seconds)
        finally:
            _end(guard)
        if code:
            errors.seek(0)
            raise _failure(tool, code, errors.read().decode(errors="replace"))
    on_progress(1.0)


def _environment() -> dict[str, str]:
    """Our own environment, in which the child finds this package wherever it is run from."""
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path}


def _wait(guard: subprocess.Popen[bytes], on_progress: Callable[[float], None], usual_seconds: float) -> int:
    """Exit code of the guard, waited for with reports."""
    start = time.monotonic()
    while True:
        try:
            return guard.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            # Half way at 70 % of the usual time, and ever slower: it never stands still and never gets there.
            on_progress(1 - math.exp((start - time.monotonic()) / usual_seconds))


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Close the guard's input, on which it ends the command, and wait for it."""
    if guard.stdin:
        guard.stdin.close()
    try:
        guard.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


def _failure(tool: str, code: int, errors: str) -> InputError:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else f"exit code {code}"
    if code == _KILLED or any(word in reason.lower() for word in _MEMORY_WORDS):
        return InputError(
            f"{tool} could not extract the brain: the computer ran out of memory.",
            "Close other programs, give a brain mask, or switch brain extraction off.",
        )
    return InputError(
        f"{tool} could not extract the brain: {reason}.",
        "Give a brain mask, or switch brain extraction off if the images show the brain alone.",
    )
