"""Which sequences of a case exist for training, and which of them a training sample shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from DMAFTraining.data.manifest import Rows, look_up
from DMAFTraining.data.missing import (
    PUBLISHED_SEED,
    Presence,
    check_rates,
    draw_by_rates,
    draw_manifest,
    draw_subset,
    published_myops,
)
from DMAFTraining.data.splits import myops_2020_number
from DMAFTraining.data.store import PatchStore

Setting = Literal["idt", "pdt", "rates"]


@dataclass(frozen=True)
class PresenceRule:
    """How ``available`` and ``present`` of a sample come about.

    Attributes:
        setting: ``idt``: a case shows what ``exists`` says, in every epoch; ``pdt``: all of that is
            available, and the fused path sees a part drawn at each access; ``rates``: each sequence is
            hidden with its own rate at each access.
        exists: ``(N, M)``, the content that may be read at all.
        rates: of ``rates``.
        drop: use only a non-empty part, drawn uniformly at each access (ModDrop).
    """

    setting: Setting
    exists: Presence
    rates: tuple[float, ...] = ()
    drop: bool = False

    def draw(self, case: int, rng: np.random.Generator) -> tuple[Presence, Presence]:
        """``available`` and ``present`` of a sample, each ``(M,)`` bool; never empty."""
        available = self.exists[case]
        if self.setting == "rates":
            available = draw_by_rates(self.rates, rng, available)
        if self.drop:
            available = draw_subset(available, rng)
        return available, draw_subset(available, rng) if self.setting == "pdt" else available

    def weights(self) -> tuple[float, ...]:
        """Cases over (expected) cases that show each sequence, N / n_m; ModDrop is not counted."""
        shown = self.exists.astype(float)
        if self.setting == "rates":
            hidden = np.where(self.exists, np.asarray(self.rates), 1.0)
            shown = (1 - hidden) / (1 - hidden.prod(axis=1, keepdims=True))
        return tuple(float(len(shown) / count) for count in shown.sum(axis=0))


def presence_rule(
    store: PatchStore,
    setting: Setting,
    rates: Sequence[float] = (),
    manifest: Rows | None = None,
    drop: bool = False,
    seed: int = PUBLISHED_SEED,
) -> PresenceRule:
    """The rule for the cases of a store.

    Args:
        store: training cases.
        setting: see :class:`PresenceRule`.
        rates: missing rates in channel order; none means that nothing is hidden.
        manifest: ``idt`` with given rows instead of drawn ones.
        drop: ModDrop.
        seed: of a drawn manifest.

    Raises:
        ValueError: rates that do not fit, a case the manifest does not list, or a sequence that no
            case would show.
    """
    count = len(store.spec.modalities)
    if rates:
        check_rates(rates)
        if len(rates) != count:
            raise ValueError(f"{len(rates)} missing rates were given for {count} sequences.")
    exists = store.available
    if setting == "idt" and (manifest is not None or rates):
        table = look_up(manifest, store.names) if manifest is not None else patient_manifest(store, rates, seed)
        exists = _both(table, exists, store)
    unseen = [name for channel, name in enumerate(store.spec.modalities.names) if not exists[:, channel].any()]
    if unseen:
        raise ValueError(f"No training case shows {', '.join(unseen)}; give more cases, other rates or another seed.")
    return PresenceRule(setting, exists, tuple(rates) or (0.0,) * count, drop)


def patient_manifest(store: PatchStore, rates: Sequence[float], seed: int = PUBLISHED_SEED) -> Presence:
    """A drawn row per patient, for each case ``(N, M)``; of MyoPS 2020 the published one, if there is one."""
    patients = sorted(set(store.patients))
    numbers = [number for patient in patients if (number := myops_2020_number(patient)) is not None]
    known = seed == PUBLISHED_SEED and len(numbers) == len(patients)
    published = published_myops(numbers, rates) if known else None
    table = draw_manifest(patients, rates, seed) if published is None else published
    return table[[patients.index(patient) for patient in store.patients]]


def _both(table: Presence, available: Presence, store: PatchStore) -> Presence:
    """What the manifest shows and the case has; a case that would be left with nothing keeps what it has."""
    exists = table & available
    return np.where(exists.any(axis=1, keepdims=True), exists, available)
