"""What a worker starts for each run: training or scoring, in a process that ends with its worker.

    python -m DMAFTraining.benchmarking.matrix.child train key=value ...
    python -m DMAFTraining.benchmarking.matrix.child score RUN_FOLDER CASES SPLIT EMPTY DEVICE

The processes that evaluation starts import this module again, so each kind of work imports what it needs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

_PROCESSES_ON_A_GPU = 4


def main(arguments: list[str]) -> int:
    """Do the work; returns the exit code."""
    threading.Thread(target=_end_with_worker, daemon=True).start()
    # A worker and its cluster may both ask to stop. Training takes the first signal and gives this handler back.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    work, *rest = arguments
    return train(rest) if work == "train" else score(*rest)


def train(arguments: list[str]) -> int:
    """Train as ``train.py`` does; returns its exit code."""
    from DMAFTraining.train import main as train_main

    return train_main(arguments)


def score(folder: str, cases: str, split: str, empty: str, device: str) -> int:
    """Write ``scores.csv`` of a run's model from all cases and subsets; returns the exit code of the evaluation."""
    import torch

    from DMAFTraining import evaluate
    from DMAFTraining.benchmarking.matrix.state import SCORES
    from DMAFTraining.data.files import write_atomically
    from DMAFTraining.training.export import BUNDLE

    run, place = Path(folder), Path(folder) / "evaluation"
    processes = torch.get_num_threads()
    if torch.cuda.is_available():
        processes = min(processes, _PROCESSES_ON_A_GPU)
    settings = ["--split", split, "--empty", empty, "--device", device, "--processes", str(processes)]
    files = ["--bundle", str(run / BUNDLE), "--cases", cases, "--output", str(place)]
    code = evaluate.main([*files, *settings])
    if code == 0:  # only then: scores without the cases that failed would count as done
        write_atomically(run / SCORES, (place / SCORES).read_bytes())
    return code


def _end_with_worker() -> None:
    """The worker holds the other end of the standard input; without it nobody would know of this process."""
    os.read(sys.stdin.fileno(), 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
