"""Which sequences a training case is allowed to show: drawn once per patient, or at each access.

Published experiments fix the missing sequences of every patient before training, by expected
counts of each combination, shuffled. :func:`draw_manifest` is that algorithm (PASSION, ACM MM 2024)
and reproduces the eight published BraTS 2020 tables row by row from the names and the seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.data.splits import patient_order

Presence = NDArray[np.bool_]
"""``(N, M)`` or ``(M,)``: does the case have the sequence?"""

PUBLISHED_SEED = 1037
"""The published tables were drawn with it."""

_FOUR = "tttt ttft tttf ttff tftt tftf tfft tfff fttt ftft fttf ftff fftt fftf ffft"  # t: present, f: missing
_MYOPS_RATES = (0.3, 0.5, 0.7)
_MYOPS_PATIENTS = (101, 102, 103, 104, 105, 106, 108, 109, 110, 112, 113, 114, 116, 118, 119, 121, 122, 123, 124, 125)
_MYOPS_357 = "111 001 101 100 100 100 101 010 010 100 101 100 110 111 110 111 110 011 110 110"


def draw_manifest(names: Sequence[str], rates: Sequence[float], seed: int = PUBLISHED_SEED) -> Presence:
    """Presence of each sequence for each patient, by the published algorithm; nobody is left with none.

    Each combination of sequences gets consecutive rows by its expected count, at least one; the
    columns are shuffled together; rows that have nothing are drawn again one by one. Where the
    cohort is too small to give every combination a row, every row is drawn on its own instead.
    The result belongs to the sorted names, so the order they are given in does not matter.

    The seeded stream of NumPy's legacy ``RandomState`` is part of the definition: it is what the
    published tables were drawn with, and NumPy guarantees that it never changes. The global random
    state is not touched.

    Args:
        names: one per patient, each once.
        rates: probability that each sequence is missing, in channel order, each in [0, 1).
        seed: of the draw.

    Returns:
        ``(N, M)`` bool, row n for ``names[n]``.

    Raises:
        ValueError: a name twice, or a rate outside [0, 1).
    """
    check_rates(rates)
    if len(set(names)) != len(names):
        raise ValueError("A patient is listed twice; a manifest has one row per patient.")
    random = np.random.RandomState(seed)
    # The published program draws these and throws them away, which moves the stream.
    for _ in rates:
        random.rand(len(names))
    table = _expected_rows(len(names), rates)
    state = random.get_state()
    for column in table.T:
        random.set_state(state)
        random.shuffle(column)
    for row in table:
        while not row.any():
            row[:] = [random.rand(1)[0] > rate for rate in rates]
    result = np.empty_like(table)
    result[sorted(range(len(names)), key=lambda n: patient_order(names[n]))] = table
    return result


def published_myops(numbers: Sequence[int], rates: Sequence[float]) -> Presence | None:
    """Published presence of MyoPS patients, or None for rates or patients it does not list.

    The six published tables are one base table with its columns exchanged. The program that drew it
    is not public and :func:`draw_manifest` does not give it, so the table is written down here.
    (Source: split files ``MyoPS2020_longtail_split_*`` of the PASSION authors' extension.)
    """
    if sorted(rates) != list(_MYOPS_RATES) or not set(numbers) <= set(_MYOPS_PATIENTS):
        return None
    base = np.array([[flag == "1" for flag in row] for row in _MYOPS_357.split()])
    rows = [_MYOPS_PATIENTS.index(number) for number in numbers]
    return base[rows][:, [_MYOPS_RATES.index(rate) for rate in rates]]


def draw_subset(available: Presence, rng: np.random.Generator) -> Presence:
    """A non-empty part of what is available, each part with equal probability; ``(M,)`` bool."""
    while True:
        drawn = available & (rng.random(len(available)) < 0.5)
        if drawn.any():
            return drawn


def draw_by_rates(rates: Sequence[float], rng: np.random.Generator, available: Presence | None = None) -> Presence:
    """What a case shows if each sequence is missing with its own rate, never nothing; ``(M,)`` bool."""
    exists = np.ones(len(rates), bool) if available is None else available
    while True:
        drawn = exists & (rng.random(len(rates)) >= np.asarray(rates))
        if drawn.any():
            return drawn


def rate_weights(present: Presence) -> tuple[float, ...]:
    """N / n_m: cases over cases that have the sequence, for each sequence of ``present (N, M)``.

    Raises:
        ValueError: a sequence that no case has.
    """
    counts = present.sum(axis=0)
    if not counts.all():
        raise ValueError(f"No training case has the sequence in channel {int(np.argmin(counts))}.")
    return tuple(float(len(present) / count) for count in counts)


def check_rates(rates: Sequence[float]) -> None:
    """Refuse missing rates outside [0, 1): at 1 a sequence would never be seen."""
    if not rates or not all(0 <= rate < 1 for rate in rates):
        raise ValueError(f"Missing rates should lie in [0, 1), not {tuple(rates)}.")


def _expected_rows(count: int, rates: Sequence[float]) -> Presence:
    """Rows by expected count of each combination; what is left over has nothing yet."""
    table = np.zeros((count, len(rates)), bool)
    start = 0
    for pattern in _patterns(len(rates)):
        factors = [1 - rate if shown else rate for shown, rate in zip(pattern, rates, strict=True)]
        expected = math.prod(factors, start=count)  # from left to right, as published: rounding decides counts
        rows = max(1, int(expected)) if expected > 0 else 0
        table[start : start + rows] = pattern
        start += rows
    return table if start <= count else np.zeros_like(table)


def _patterns(modalities: int) -> list[tuple[bool, ...]]:
    """Every non-empty combination; for four sequences in the order of the published program."""
    if modalities == 4:
        return [tuple(flag == "t" for flag in word) for word in _FOUR.split()]
    return list(itertools.product((True, False), repeat=modalities))[:-1]
