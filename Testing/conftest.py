"""Shared by all tests: the Slicer stand-in, started by the first test that asks for it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from host import Host

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@functools.cache
def _shared_host() -> Host:
    """Return the one host of this process; imported here so that tests without Qt stay fast."""
    from host import Host

    return Host()


@pytest.fixture
def host() -> Iterator[Host]:
    """A running Slicer stand-in with an empty scene; panels, scene, layout and settings are reset afterwards.

    The test fails when a slot or an observer raised and the test did not take the error (``host.errors``).
    """
    shared = _shared_host()
    yield shared
    shared.reset()


@pytest.fixture
def rendering(host: Host) -> Host:
    """The host, for tests that render slice views; skipped with the reason where that is impossible."""
    from host import rendering_problem

    problem = rendering_problem()
    if problem:
        pytest.skip(problem)
    return host
