"""Two ranks with half a batch each do what one does with all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from DMAFTraining.balancing.reduce import all_reduce_sum
from two_ranks import run_rank

NAMES = ["dmaf", "passion", "pmr"]


def test_a_sum_over_one_process_is_the_value() -> None:
    value = torch.ones(3)
    assert all_reduce_sum(value) is value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of all strategies with one rank and with two."""
    folder = tmp_path_factory.mktemp("ranks")
    run_rank(0, 1, NAMES, str(folder))
    multiprocessing.spawn(run_rank, args=(2, NAMES, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_equal_one(name: str, folder: Path) -> None:
    one, *two = (torch.load(folder / f"{name}-{rank}.pt", weights_only=True) for rank in ("0-of-1", "0-of-2", "1-of-2"))
    for rank in two:
        torch.testing.assert_close(rank["losses"], one["losses"], rtol=1e-5, atol=0)
        for mine, theirs in zip(rank["gradients"], one["gradients"], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
        for key, value in one["strategy"].items():
            torch.testing.assert_close(rank["strategy"][key], value, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(two[1]["strategy"][key], value) for key, value in two[0]["strategy"].items())
