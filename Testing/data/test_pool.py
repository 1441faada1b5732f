"""Processes that do tasks: outcomes come as they are finished, and no process outlives its use."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from DMAFTraining.data.pool import ProcessDiedError, in_processes, run_all


def test_closing_ends_processes_in_the_middle_of_their_tasks() -> None:
    outcomes = in_processes(time.sleep, [0.0, 100_000.0], 1)
    assert next(outcomes) is None
    (process,) = multiprocessing.active_children()
    outcomes.close()  # would wait for more than a day if the task went on
    assert not process.is_alive()


def test_a_process_that_dies_is_reported() -> None:
    with pytest.raises(ProcessDiedError, match="ended by itself"):
        list(in_processes(os._exit, [7], 1))


@pytest.mark.parametrize("processes", [1, 2])
def test_every_task_is_done_once(processes: int) -> None:
    assert sorted(run_all(abs, [-3, 1, -2, 0], processes)) == [0, 1, 2, 3]
