"""Processes that do one task after the other, and that no end of the program leaves behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import TypeVar

import torch

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def in_processes(work: Callable[[Task], Outcome], tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    """Outcomes of all tasks, in the order they are finished.

    Every process computes with one thread, so that outcomes do not depend on how many there are.
    When the iterator is closed, or this program ends in whatever way, the processes end at once.

    Args:
        work: a function of a module; it should not raise.
        tasks: what it is called with.
        processes: how many at once.

    Raises:
        ChildProcessError: a process was ended from outside.
    """
    # Fork would copy threads of torch and ITK in an unknown state.
    context = multiprocessing.get_context("spawn")
    line, open_end = context.Pipe(duplex=False)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(line,)) as pool:
        try:
            for future in as_completed([pool.submit(work, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "A process ended by itself, probably for lack of memory; run the same command again with fewer"
                " processes (finished cases are kept)."
            ) from error
        finally:
            open_end.close()
            pool.shutdown(cancel_futures=True)
            line.close()


def _begin(line: Connection) -> None:
    """Set up a process; it ends when the other end of the line is closed, by hand or with its owner."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the owner, who ends us
    torch.set_num_threads(1)

    def watch() -> None:
        line.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
