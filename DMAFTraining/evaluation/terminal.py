"""A live progress bar for a person at a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class RichBar:
    """One bar for a whole command; use as a context manager."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._task = self._bar.add_task("Starting", total=1.0)

    def __enter__(self) -> RichBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def at(self, fraction: float, message: str) -> None:
        """Show the finished fraction (0 to 1) and what is being done."""
        self._bar.update(self._task, completed=fraction, description=message)
