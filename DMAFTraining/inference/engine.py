"""Runs a network over the windows of a case for many subsets, in a given precision and within memory.

Each window is encoded for all subsets, the encoders of absent sequences never run, and a subset is
given out as soon as it is finished. When memory runs out the unfinished subsets are done again in a
more modest way (see :func:`~DMAFTraining.inference.memory.step_down`), to the same result.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from DMAFTraining.inference.errors import OutOfMemoryError
from DMAFTraining.inference.memory import Plan, case_need, free_bytes, is_out_of_memory, plan_work, step_down
from DMAFTraining.inference.precision import choose_precision, computing_in
from DMAFTraining.inference.tiles import Place, Tiles, cut_tiles, gaussian_weights
from DMAFTraining.networks.base import Features, SegmentationNetwork

OnWarning = Callable[[str, str], None]
"""Told a code and a sentence for the user."""


class Engine:
    """A network and how it is run; it remembers what it had to give up for lack of memory.

    Args:
        network: the model, in eval mode.
        device: where it runs; default where it is. The network is moved there.
        precision: ``"auto"``, ``"fp32"`` or ``"bf16"``; softmax and blending are always fp32.
        budget: bytes to use; default what :func:`~DMAFTraining.inference.memory.free_bytes` says.
        on_warning: told when memory ran out and what is done about it; default a Python warning.

    Raises:
        InputError: the precision does not exist, or not on this device.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        device: torch.device | None = None,
        precision: str = "fp32",
        budget: int | None = None,
        on_warning: OnWarning | None = None,
    ) -> None:
        self.network = network
        self.device = device or next(network.parameters()).device
        self.precision = choose_precision(precision, self.device)
        self.budget = budget
        self.on_warning = on_warning or (lambda _, message: warnings.warn(message, RuntimeWarning, stacklevel=2))
        self._steps_down = 0

    @torch.inference_mode()
    def probabilities(
        self,
        images: Tensor,
        subsets: Sequence[Sequence[bool]],
        window: Sequence[int],
        overlap: float,
        temperature: float | Sequence[float] = 1.0,
        on_tile: Callable[[float], None] | None = None,
    ) -> Iterator[Tensor]:
        """Class probabilities ``(K, *S)`` of one case for each subset, in their order, as they are finished.

        Args:
            images: ``(M, *S)`` on the working grid, zero where absent.
            subsets: presence flags, one row of M per subset.
            window: window size in voxels.
            overlap: share of the window that neighbors have in common.
            temperature: divides the logits, one number or one for each subset.
            on_tile: told the finished fraction after each piece of work; may raise to stop.

        Raises:
            ValueError: every voxel is zero.
            OutOfMemoryError: not even the smallest piece of work fits.
        """
        flags = torch.tensor(subsets, dtype=torch.bool)
        tiles = cut_tiles(images, flags.any(dim=0), window, overlap)
        temperatures = torch.as_tensor(temperature, dtype=torch.float32).expand(len(flags))
        work = _Work(self.network, tiles, flags.any(dim=0), gaussian_weights(window), self.precision)
        progress = _Progress(on_tile, len(flags) * len(tiles.places))
        plan = self._plan(tiles, window, len(flags))
        done = 0
        while done < len(flags):
            chosen = slice(done, done + (plan.group if done else plan.first))
            rows = flags[chosen]
            progress.restart(done * len(tiles.places))
            try:
                totals = work.group(plan, rows, temperatures[chosen], progress)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                totals = None
            if totals is None:  # outside of the handler, which would hold on to the memory of the failed attempt
                plan = self._step_down(plan)
                work.forget()
                continue
            done += len(rows)
            for total in totals:
                yield tiles.whole(total)

    def _plan(self, tiles: Tiles, window: Sequence[int], subsets: int) -> Plan:
        itemsize = 2 if self.precision == "bf16" else 4
        need = case_need(self.network.config, tiles.mass.shape, window, itemsize)
        budget = free_bytes(self.device) if self.budget is None else self.budget
        plan = plan_work(need, len(tiles.places), subsets, self.device, budget)
        for _ in range(self._steps_down):
            plan, _sentence = step_down(plan) or (plan, "")
        return plan

    def _step_down(self, plan: Plan) -> Plan:
        step = step_down(plan)
        if step is None:
            raise OutOfMemoryError("The memory of this computer is too small for this model; close other programs.")
        self._steps_down += 1
        self.on_warning("memory", step[1])
        return step[0]


class _Work:
    """One case: decodes groups of subsets, and keeps the features of windows where the plan says so."""

    def __init__(
        self,
        network: SegmentationNetwork,
        tiles: Tiles,
        available: Tensor,
        weights: Tensor,
        precision: str,
    ) -> None:
        self._network = network
        self._tiles = tiles
        self._available = available
        self._weights = weights
        self._precision = precision
        self._kept: dict[int, Features] = {}

    def forget(self) -> None:
        """Free what was kept."""
        self._kept.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def group(self, plan: Plan, rows: Tensor, temperatures: Tensor, progress: _Progress) -> Tensor:
        """Probabilities ``(n, K, *P)`` for each of ``rows (n, M)`` on the part of the case that has windows.

        ``temperatures (n,)`` divide their logits.
        """
        places, mass = self._tiles.places, self._tiles.mass.to(plan.blend_on)
        images, weights = self._tiles.images.to(plan.device), self._weights.to(plan.device)
        divisors = temperatures.to(plan.device).view(-1, 1, *(1,) * mass.dim())
        total = torch.zeros(len(rows), self._network.config.classes, *mass.shape, device=plan.blend_on)
        self._network.to(plan.device)
        with computing_in(self._precision, plan.device):
            for first in range(0, len(places), plan.rows):
                batch = places[first : first + plan.rows]
                features = self._features(plan, images, first)
                for chosen, place, logits in self._logits(plan, features, batch, rows):
                    shares = F.softmax(logits.float() / divisors[chosen], dim=1).mul_(weights)
                    total[(chosen, slice(None), *place)] += shares.to(plan.blend_on)
                    progress.advance(len(logits))
        total /= mass.clamp(min=torch.finfo(torch.float32).tiny)
        total[:, 0].masked_fill_(mass == 0, 1)
        return total

    def _features(self, plan: Plan, images: Tensor, first: int) -> Features:
        """Features of the windows from number ``first`` on, as many as go together."""
        if first in self._kept:
            return self._kept[first]
        batch = self._tiles.places[first : first + plan.rows]
        windows = torch.stack([images[(slice(None), *place)] for place in batch])
        features = self._network.encode(windows, self._available.expand(len(batch), -1))
        if plan.keep:
            self._kept[first] = features
        return features

    def _logits(
        self, plan: Plan, features: Features, batch: Sequence[Place], rows: Tensor
    ) -> Iterator[tuple[slice, Place, Tensor]]:
        """Which of ``rows``, where, and their logits: several subsets of one window, or one of several windows."""
        if len(batch) == 1:
            for first in range(0, len(rows), plan.rows):
                chosen = slice(first, min(first + plan.rows, len(rows)))
                yield chosen, batch[0], self._network.decode(features, rows[chosen])
            return
        for row in range(len(rows)):
            logits = self._network.decode(features, rows[row].expand(len(batch), -1))
            for place, own in zip(batch, logits.split(1), strict=True):
                yield slice(row, row + 1), place, own


class _Progress:
    """Tells how much of a known number of steps is done; never less than before."""

    def __init__(self, told: Callable[[float], None] | None, steps: int) -> None:
        self._told = told
        self._steps = steps
        self._done = 0
        self._most = 0.0

    def restart(self, done: int) -> None:
        """Go on from a number of finished steps."""
        self._done = done

    def advance(self, steps: int) -> None:
        """Some more steps are done."""
        self._done += steps
        self._most = max(self._most, self._done / self._steps)
        if self._told:
            self._told(self._most)
