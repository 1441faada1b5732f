"""The same work on many things, in several processes that no end of the program leaves behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_WORK: list[Callable[[Any], Any]] = []  # of this process, given once when it starts: it may be large


class ProcessDiedError(ValueError):
    """A process was ended from outside, most often for lack of memory."""


def run_all(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int | None = None) -> Iterator[Result]:
    """Results of ``work`` for every task, in the order they are done.

    Args:
        work: a function that other processes can be sent; each gets it once.
        tasks: one argument each.
        processes: how many at once; default all cores. One works in this process.

    Raises:
        ProcessDiedError: a process was ended from outside.
        Exception: whatever ``work`` raises.
    """
    count = min(processes or os.cpu_count() or 1, len(tasks))
    yield from map(work, tasks) if count <= 1 else in_processes(work, tasks, count)


def in_processes(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Iterator[Result]:
    """The same, never in this process: when the iterator is closed, what is in work is ended at once."""
    # Fork would copy threads of torch and ITK in an unknown state.
    context = multiprocessing.get_context("spawn")
    line, open_end = context.Pipe(duplex=False)
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(work, line)) as pool:
        try:
            for future in as_completed([pool.submit(_do, task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ProcessDiedError(
                "A process ended by itself, probably for lack of memory; run the same command again with fewer"
                " processes (finished cases are kept)."
            ) from error
        finally:
            open_end.close()
            pool.shutdown(cancel_futures=True)
            line.close()


def _begin(work: Callable[[Any], Any], line: Connection) -> None:
    """Set up a process; it ends when the other end of the line is closed, by hand or with its owner."""
    _WORK.append(work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the owner ends us

    def watch() -> None:
        line.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _do(task: Any) -> Any:
    return _WORK[0](task)
