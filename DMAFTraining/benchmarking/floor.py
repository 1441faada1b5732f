"""What this machine can do at best: multiply-adds per second of a matrix product, bytes per second of a copy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_GEMM_SIDE = 2048
_COPY_BYTES = 2**28
_ROUNDS = 5


@dataclass(frozen=True)
class Machine:
    """Measured peaks: ``flops`` per second of a square matrix product, ``bytes`` per second of a copy."""

    flops: float
    bytes: float

    def floor(self, flops: float, moved: float = 0.0) -> float:
        """Seconds below which no program can do so many operations and move so many bytes."""
        return max(flops / self.flops, moved / self.bytes)


def measure_machine(device: torch.device, dtype: torch.dtype) -> Machine:
    """Best of several rounds of a matrix product in ``dtype`` and of a copy, on ``device``."""
    side = _GEMM_SIDE
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source = torch.zeros(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    product = min(_time(lambda: a @ b, device) for _ in range(_ROUNDS))
    copy = min(_time(lambda: target.copy_(source), device) for _ in range(_ROUNDS))
    return Machine(2 * side**3 / product, 2 * _COPY_BYTES / copy)


def synchronize(device: torch.device) -> None:
    """Wait for the device's queue, if it has one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _time(work: Callable[[], object], device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - start
