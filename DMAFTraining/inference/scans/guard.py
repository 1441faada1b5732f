"""Stands between this program and a slow tool, so that the tool never outlives who asked for it.

    python -m DMAFTraining.inference.scans.guard FOLDER COMMAND ARGUMENTS...

Runs the command and exits with its code (128 + signal when a signal ended it). When standard input
ends, which it also does when the parent is killed, the command is ended with all its children, and
the folder, which holds a patient's images, is removed. Standard library only: it starts in
milliseconds and can end a tool that is stuck in compiled code.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading


def main(folder: str, *command: str) -> int:
    """Run a command until it ends or standard input does; returns its exit code."""
    tool = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our caller's
    alone = threading.Event()
    threading.Thread(target=_end_with_stdin, args=(tool, alone), daemon=True).start()
    try:
        code = tool.wait()
    finally:
        _end(tool)
    if alone.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


def _end_with_stdin(tool: subprocess.Popen[bytes], alone: threading.Event) -> None:
    # Not sys.stdin: its lock would still be held here while the interpreter shuts down.
    while os.read(0, 1):
        pass
    alone.set()
    _end(tool)


def _end(tool: subprocess.Popen[bytes]) -> None:
    """End the tool and, where the system has process groups, everything that it started."""
    if sys.platform == "win32":
        tool.kill()
        return
    try:
        os.killpg(tool.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # nothing of the group is left
        return


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
