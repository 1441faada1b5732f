"""Means of device scalars between two log lines, fetched once."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from DMAFTraining.training import distributed


class Meter:
    """Collects scalars that live on the device; reading them is the only time the host waits."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._patches = 0
        self._start = time.perf_counter()

    def add(self, values: dict[str, Tensor], patches: int = 0) -> None:
        """Add one observation of each scalar, made on so many patches."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1
        self._patches += patches

    def take(self) -> dict[str, float]:
        """Means since the last call, over ranks too, and patches per second; then starts anew."""
        names = sorted(self._sums)
        means = torch.stack([self._sums[name] / self._counts[name] for name in names])
        values = dict(zip(names, distributed.mean(means).tolist(), strict=True))
        rate = self._patches * distributed.world() / (time.perf_counter() - self._start)
        self._reset()
        return {**values, "patches_per_second": rate}
