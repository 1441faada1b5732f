"""A module list whose members have a known type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

Member = TypeVar("Member", bound=nn.Module)


class Modules(nn.ModuleList, Generic[Member]):
    """``nn.ModuleList`` of one class, so that its members' own methods can be type-checked."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Member]: ...

        def __reversed__(self) -> Iterator[Member]: ...

        def __getitem__(self, index: int) -> Member: ...  # type: ignore[override]
