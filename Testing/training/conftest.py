"""A prepared tiny cohort for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from DMAFTraining.data.opening import open_or_prepare
from tiny_cohort import write_tiny_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three cases."""
    folder = tmp_path_factory.mktemp("cohort")
    return open_or_prepare(write_tiny_cohort(folder / "raw"), folder / "store", processes=1).path
