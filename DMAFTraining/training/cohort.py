"""The cases of a run: training patches, validation cases, and which sequences exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from DMAFTraining.data.batch import Batch
from DMAFTraining.data.datasets import DatasetSpec
from DMAFTraining.data.index import Preparation
from DMAFTraining.data.manifest import read_manifest
from DMAFTraining.data.opening import open_or_prepare
from DMAFTraining.data.patches import EpochSampler, PatchDataset, collate
from DMAFTraining.data.presence import PresenceRule, presence_rule
from DMAFTraining.data.splits import split_names
from DMAFTraining.data.store import PatchStore
from DMAFTraining.training import distributed
from DMAFTraining.training.config import TrainingConfig


@dataclass(frozen=True)
class TrainingCohort:
    """Opened data of a run.

    Attributes:
        training: cases that patches come from.
        validation: cases to validate on; empty if the data has none.
        rule: which sequences a training case may show.
    """

    training: PatchStore
    validation: PatchStore
    rule: PresenceRule

    @property
    def spec(self) -> DatasetSpec:
        """The data set."""
        return self.training.spec

    def __len__(self) -> int:
        return len(self.training)

    def batches(self, config: TrainingConfig, start: int, stop: int) -> Iterator[Batch]:
        """This rank's share of the batches of passes ``start`` to before ``stop``."""
        data = config.data
        patches = PatchDataset(
            self.training, self.rule, data.patch, data.augmentation, data.foreground_share, config.seed
        )
        sampler = EpochSampler(
            len(self), config.batch, config.seed, stop, start, distributed.rank(), distributed.world()
        )
        return iter(
            DataLoader(
                patches,
                batch_sampler=sampler,
                collate_fn=collate,
                num_workers=data.workers,
                pin_memory=torch.cuda.is_available(),
                generator=torch.Generator(),  # else the loader would draw from the one that dropout uses
                multiprocessing_context="spawn" if data.workers else None,
            )
        )


def open_cohort(config: TrainingConfig) -> TrainingCohort:
    """Open the data of a run; raw folders are prepared first, once.

    Raises:
        ValueError: data that cannot be used, or a run that validates without validation cases.
    """
    data = config.data
    store = _open(config, data.root, data.store)
    split = split_names(store.names, data.split)
    training = store.select(split.train)
    if data.validation is not None:
        validation = _open(config, data.validation, data.validation_store)
    else:
        validation = store.select(split.validation)
    if not len(training):
        raise ValueError(f"The split {data.split!r} leaves no training case of {data.root}.")
    if config.validation.every and not len(validation):
        raise ValueError("There are no validation cases: give data.validation, or a data.split that has some.")
    manifest = read_manifest(data.manifest, store.spec.modalities) if data.manifest else None
    drop = config.strategy.drops_existing
    rule = presence_rule(training, data.setting, data.missing_rates, manifest, drop, data.manifest_seed)
    return TrainingCohort(training, validation, rule)


def _open(config: TrainingConfig, root: Path, store: Path | None) -> PatchStore:
    """Open a store, or prepare one beside the run folder; the first rank does so while the others wait."""
    data = config.data
    place = store or config.output.parent / "stores" / root.stem
    if distributed.rank() > 0:
        distributed.wait()
    opened = open_or_prepare(
        root,
        place,
        preparation=Preparation(data.normalization, data.background),
        processes=data.prepare_processes,
        in_memory=data.in_memory,
    )
    if distributed.rank() == 0:
        distributed.wait()
    return opened
