"""The same work on many things, in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_WORK: list[Callable[[Any], Any]] = []  # of this process, given once when it starts: it may be large


def run_all(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int | None = None) -> Iterator[Result]:
    """Results of ``work`` for every task, in the order they are done.

    Args:
        work: a function that other processes can be sent; each gets it once.
        tasks: one argument each.
        processes: how many at once; default all cores. One works in this process.

    Raises:
        ValueError: a process died; and whatever ``work`` raises.
    """
    count = min(processes or os.cpu_count() or 1, len(tasks))
    if count <= 1:
        yield from map(work, tasks)
        return
    # Fork would copy threads of torch and ITK in an unknown state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(work,)) as pool:
        waiting = [pool.submit(_do, task) for task in tasks]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BrokenProcessPool as error:
            raise ValueError(
                "One of the processes ended by itself, probably for lack of memory; use fewer processes."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(work: Callable[[Any], Any]) -> None:
    _WORK.append(work)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends the others
    _end_with_parent()


def _do(task: Any) -> Any:
    return _WORK[0](task)


def _end_with_parent() -> None:
    """Without this, the processes would wait forever if the one that feeds them is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
