"""Training samples from a store, and the order they come in.

A sample is named by ``(step, slot, case)``: the step of the run, its place in the global batch and
the case. Everything random about it comes from the run's seed, step and slot, so samples depend
neither on the number of workers or ranks nor on where a run was interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from DMAFTraining.data.augmentation import Augmentation
from DMAFTraining.data.batch import Batch
from DMAFTraining.data.presence import PresenceRule
from DMAFTraining.data.store import PatchStore
from DMAFTraining.data.warping import source_size, warp

Key = tuple[int, int, int]
"""(step, slot in the global batch, number of the case)."""


class Sample(NamedTuple):
    """One item of a batch, without the batch axis."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]
    available: NDArray[np.bool_]
    present: NDArray[np.bool_]


class PatchDataset(Dataset[Sample]):
    """Random patches. Only the patch is read, and only of sequences that the sample may show.

    Args:
        store: training cases.
        rule: which sequences each may show.
        patch: size in voxels.
        augmentation: recipe.
        foreground_share: share of patches around a random labeled voxel (of a random class of the
            case); the others lie anywhere in the case.
        seed: of the run.

    Raises:
        ValueError: the patch has another number of axes than the cases.
    """

    def __init__(
        self,
        store: PatchStore,
        rule: PresenceRule,
        patch: Sequence[int],
        augmentation: Augmentation,
        foreground_share: float,
        seed: int,
    ) -> None:
        if len(patch) != store.spec.dims:
            raise ValueError(f"A patch {tuple(patch)} does not fit cases with {store.spec.dims} axes.")
        self.store = store
        self.rule = rule
        self.patch = tuple(patch)
        self.augmentation = augmentation
        self.foreground_share = foreground_share
        self.seed = seed

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, key: Key) -> Sample:
        step, slot, case = key
        rng = np.random.default_rng([self.seed, step, slot])
        available, present = self.rule.draw(case, rng)
        channels = np.flatnonzero(available).tolist()
        start = self._draw_start(case, rng)
        matrix = self.augmentation.draw_matrix(self.store.spacing, rng)
        background = self.store.background(case, channels)
        if matrix is None:
            shown, labels = self.store.read_patch(case, start, self.patch, channels)
        else:
            size = source_size(self.patch, matrix)
            outer = [low - (whole - part) // 2 for low, whole, part in zip(start, size, self.patch, strict=True)]
            shown, labels = self.store.read_patch(case, outer, size, channels)
            shown, labels = warp(shown, labels, matrix, self.patch, background)
        images = np.zeros((len(available), *self.patch), np.float32)
        images[channels], labels = self.augmentation.apply(shown, labels, background, rng)
        return Sample(images, labels, available, present)

    def _draw_start(self, case: int, rng: np.random.Generator) -> list[int]:
        """First voxel of a patch; negative where the case is smaller than the patch."""
        center = self._draw_center(case, rng) if rng.random() < self.foreground_share else None
        start = []
        for axis, (whole, part) in enumerate(zip(self.store.cases[case].shape, self.patch, strict=True)):
            low, high = min(0, whole - part), max(0, whole - part)
            if center is None:
                start.append(int(rng.integers(low, high + 1)))
            else:
                # The voxel lies in the middle half of the patch, not always at its center.
                inside = rng.integers(part // 4, part - part // 4)
                start.append(int(np.clip(center[axis] - inside, low, high)))
        return start

    def _draw_center(self, case: int, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """A labeled voxel, each class with equal probability; None in a case without labels."""
        rows = self.store.foreground(case)
        if not len(rows):
            return None
        of_class = rows[rows[:, 0] == rng.choice(np.unique(rows[:, 0]))]
        return of_class[rng.integers(len(of_class)), 1:].astype(np.int64)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples stacked to a batch."""
    images, labels, available, present = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
    return Batch(images, labels, available, present)


class EpochSampler(Sampler[list[Key]]):
    """Batches of keys, from ``start_step`` to before ``steps``; a DataLoader's ``batch_sampler``.

    The cases come in one permutation after the other, drawn from seed and epoch; a batch that the
    end of one leaves unfinished is filled from the next, so every batch is full and every case
    comes once before any comes again. A rank gets a contiguous part of each global batch.

    Args:
        cases: number of training cases.
        batch: size of the global batch.
        seed: of the run.
        steps: of the whole run.
        start_step: first step, when resuming.
        rank: this process.
        world: number of processes.

    Raises:
        ValueError: the ranks cannot share a batch equally.
    """

    def __init__(
        self, cases: int, batch: int, seed: int, steps: int, start_step: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if batch < 1 or batch % world:
            raise ValueError(f"A batch of {batch} cannot be shared equally by {world} processes.")
        self.cases = cases
        self.batch = batch
        self.seed = seed
        self.steps = steps
        self.start_step = start_step
        share = batch // world
        self.slots = range(rank * share, (rank + 1) * share)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every case comes once."""
        return -(-self.cases // self.batch)

    def __len__(self) -> int:
        return max(0, self.steps - self.start_step)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, order = -1, np.empty(0, int)
        for step in range(self.start_step, self.steps):
            keys = []
            for slot in self.slots:
                wanted, place = divmod(step * self.batch + slot, self.cases)
                if wanted != epoch:
                    epoch, order = wanted, np.random.default_rng([self.seed, wanted]).permutation(self.cases)
                keys.append((step, slot, int(order[place])))
            yield keys
