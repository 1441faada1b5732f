"""Errors a user can act on. Each message is a sentence: what, where, what to do."""

from __future__ import annotations


class InputError(ValueError):
    """An input that cannot be segmented; ``hint`` says what to do about it."""

    kind = "bad-input"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class GeometryError(InputError):
    """Images that do not fit together in space."""

    kind = "geometry"


class OutOfMemoryError(MemoryError):
    """The smallest piece of work does not fit in the memory of any device that may be used."""

    kind = "memory"


class Cancelled(Exception):  # noqa: N818 - not an error
    """The user asked to stop."""
