"""Run here what is written for Slicer: each test gets the stand-in, with the module loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE_FILE = Path(__file__).resolve().parents[2] / "DMAFSegment" / "DMAFSegment.py"


@pytest.fixture(autouse=True)
def slicer_with_module(host) -> Iterator[None]:
    """What Slicer has done before it runs a test."""
    host.load_module(MODULE_FILE)
    yield
    host.raise_errors()
