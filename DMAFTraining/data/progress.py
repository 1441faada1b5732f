"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Report = Callable[[int, int], None]
"""Told how much is done, of how much."""

_EVERY_SECONDS = 10.0


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """Give a function to report to while something runs; writes to stderr."""
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:  # rich comes with the train extra; plain lines do without it
            pass
        else:
            columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Progress(*columns, console=Console(stderr=True)) as bar:
                task = bar.add_task("", total=None)
                yield lambda done, total: bar.update(task, completed=done, total=total)
            return
    yield _plain_lines(title)


def track(items: Iterable[Item], title: str) -> Iterator[Item]:
    """The items, with progress."""
    wanted = list(items)
    with progress(title) as report:
        for number, item in enumerate(wanted, 1):
            yield item
            report(number, len(wanted))


def _plain_lines(title: str) -> Report:
    start = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _EVERY_SECONDS:
            last = now
            print(f"{title} {done}/{total}, {now - start:.0f} s", file=sys.stderr, flush=True)

    return report
