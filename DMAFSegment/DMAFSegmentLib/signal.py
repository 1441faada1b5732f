"""A signal in plain Python: custom Qt signals crash in PythonQt, and the job must not know Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Slot = Callable[..., Any]


class Signal:
    """Calls its slots in the order they were connected."""

    def __init__(self) -> None:
        self._slots: list[Slot] = []

    def connect(self, slot: Slot) -> None:
        """Add a slot; the same slot connected twice is called twice."""
        self._slots.append(slot)

    def disconnect(self, slot: Slot) -> None:
        """Remove a slot.

        Raises:
            ValueError: the slot is not connected.
        """
        self._slots.remove(slot)

    def emit(self, *arguments: Any) -> None:
        """Call every slot that is connected now; what a slot raises reaches the caller."""
        for slot in tuple(self._slots):
            slot(*arguments)
