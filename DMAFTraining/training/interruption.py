"""Ctrl-C and a cluster's SIGTERM: finish the step, save, leave."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

import torch

from DMAFTraining.training import distributed

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - not an error
    """The run stopped on request after saving.

    Attributes:
        signal_number: what it was asked with; the exit code is 128 plus it.
    """

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped after step {step}, which is saved; run the same command to go on")
        self.signal_number = signal_number


class Interruption:
    """A context in which the first SIGINT or SIGTERM is remembered and a second one acts at once."""

    def __init__(self) -> None:
        self._received = 0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def wanted(self, step: int, every: int, device: torch.device) -> bool:
        """True if a rank was asked to stop; several ranks ask each other every so many steps only."""
        if distributed.world() == 1:
            return bool(self._received)
        return step % every == 0 and distributed.any_rank(bool(self._received), device)

    def stop(self, step: int) -> None:
        """Leave the run.

        Raises:
            Interrupted: always.
        """
        raise Interrupted(step, self._received or signal.SIGTERM)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()
