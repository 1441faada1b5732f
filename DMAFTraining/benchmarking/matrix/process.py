"""A child process of a worker: started in a group of its own, asked to stop, or ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_OF_THE_WORKER = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")


class ChildProcess:
    """A running child.

    Args:
        arguments: of :mod:`DMAFTraining.benchmarking.matrix.child`.
        log: its output is added to this file.
        threads: CPU threads it may use.
    """

    def __init__(self, arguments: Sequence[str], log: Path, threads: int) -> None:
        command = [sys.executable, "-m", "DMAFTraining.benchmarking.matrix.child", *arguments]
        with log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(threads),
                process_group=0,  # a Ctrl-C reaches the worker only, which asks once
            )

    def poll(self) -> int | None:
        """Exit code (negative: the signal that ended it), None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Ask to save and leave; asking again changes nothing."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its own processes at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _environment(threads: int) -> dict[str, str]:
    """That of the worker, without what would make a training run join the workers as ranks."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_WORKER}
    return kept | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
