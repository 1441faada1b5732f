"""What can be said about a mean over patients: bootstrap intervals, paired tests, spread of seeds.

The unit is the case. The subsets of one patient are not independent observations, so every number
here starts from one value per case, which is itself a mean over subsets, regions or seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
"""One value per case, ``(N,)``; NaN where it is undefined."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A confidence interval; both ends are NaN where fewer than two cases are defined."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside; False for an undefined interval."""
        return value < self.low or value > self.high


class Bootstrap:
    """Confidence intervals of a mean by drawing cases with replacement.

    All intervals of one object use the same draws, so methods are resampled in pairs. Ends are
    percentiles of the drawn means, moved outward so that the interval of few cases is as wide as
    that of Student's t: the expanded percentile interval of Hesterberg (2015), "What teachers should
    know about the bootstrap", The American Statistician 69, section 4.2.

    Args:
        cases: number of cases N.
        resamples: how often N cases are drawn.
        seed: of the draws.
    """

    def __init__(self, cases: int, resamples: int = 5000, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        # A draw of N cases with replacement is how often each case was drawn.
        self._counts = generator.multinomial(cases, np.full(cases, 1 / cases), size=resamples).astype(float)

    def interval(self, values: Values) -> Interval:
        """Interval of the mean over the defined cases of ``values (N,)``."""
        defined = np.isfinite(values)
        number = int(defined.sum())
        if number < 2:
            return Interval(np.nan, np.nan)
        counts = self._counts[:, defined]
        total = counts.sum(axis=1)
        means = (counts @ values[defined])[total > 0] / total[total > 0]
        low, high = np.quantile(means, _expanded_tails(number))
        return Interval(float(low), float(high))


def _expanded_tails(cases: int) -> tuple[float, float]:
    """Percentiles to read off: the tails of Student's t, with the bootstrap's missing N/(N-1) put back."""
    reach = np.sqrt(cases / (cases - 1)) * stats.t.ppf(0.5 + CONFIDENCE / 2, cases - 1)
    tail = float(stats.norm.cdf(-reach))
    return tail, 1 - tail


@dataclass(frozen=True)
class Comparison:
    """Method against reference, case by case.

    Attributes:
        difference: mean of method minus reference.
        interval: bootstrap interval of that mean.
        p: of the Wilcoxon signed-rank test, two-sided.
        cases: number of cases in which both are defined.
    """

    difference: float
    interval: Interval
    p: float
    cases: int


def compare(method: Values, reference: Values, bootstrap: Bootstrap) -> Comparison:
    """Paired comparison of two methods on the same cases ``(N,)``."""
    differences = method - reference
    defined = differences[np.isfinite(differences)]
    mean = float(defined.mean()) if defined.size else np.nan
    return Comparison(mean, bootstrap.interval(differences), signed_rank_p(defined), defined.size)


def signed_rank_p(differences: Values) -> float:
    """Two-sided p of the Wilcoxon signed-rank test; 1 if no case differs (scipy leaves that undefined)."""
    if not np.any(differences):
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure: the k-th smallest
    of m is multiplied by m - k + 1; none may fall below a smaller one's, nor exceed 1.
    """
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(np.asarray(p_values, float)[order] * factors))
    corrected = np.empty(len(p_values))
    corrected[order] = stepped
    return [float(value) for value in corrected]


def mean_of_defined(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Mean over the values that are not NaN; NaN where there is none."""
    defined = np.isfinite(values)
    number = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.divide(total, number, out=np.full(np.shape(total), np.nan), where=number > 0)
