"""Intervals that hold what they promise, and tests against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from DMAFTraining.evaluation.statistics import (
    Bootstrap,
    _expanded_tails,
    compare,
    holm,
    mean_of_defined,
    signed_rank_p,
)


@pytest.mark.parametrize("cases", [6, 12, 30])
def test_the_interval_covers_the_true_mean_in_95_of_100_experiments(cases: int) -> None:
    bootstrap, generator = Bootstrap(cases, resamples=1000), np.random.default_rng(1)
    experiments = 1000
    hits = sum(not bootstrap.interval(generator.normal(0.7, 0.1, cases)).excludes(0.7) for _ in range(experiments))
    # Four standard errors of a share of 0.95 are 0.028; the plain percentile interval of 6 cases reaches 0.87.
    assert 0.922 < hits / experiments < 0.978


def test_the_interval_is_the_percentile_interval_at_the_expanded_level() -> None:
    values = np.random.default_rng(2).gamma(2.0, 1.0, 40)
    tail = float(stats.norm.cdf(-np.sqrt(40 / 39) * stats.t.ppf(0.975, 39)))
    expected = stats.bootstrap(
        (values,), np.mean, confidence_level=1 - 2 * tail, n_resamples=20000, method="percentile", rng=3
    ).confidence_interval
    found = Bootstrap(40, resamples=20000).interval(values)
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.04 * width)
    assert found.high == pytest.approx(expected.high, abs=0.04 * width)


def test_tails_of_ten_cases() -> None:
    # t(0.975, 9) = 2.262157 (any table), times sqrt(10 / 9) = 2.384520; the normal tail beyond that is 0.008551.
    assert _expanded_tails(10) == pytest.approx((0.008551, 0.991449), abs=2e-6)


def test_methods_are_resampled_in_pairs() -> None:
    method = np.random.default_rng(4).uniform(size=15)
    interval = Bootstrap(15).interval((method + 0.25) - method)
    assert (interval.low, interval.high) == pytest.approx((0.25, 0.25))
    assert interval.excludes(0.0)
    assert not interval.excludes(interval.low)


def test_intervals_repeat_and_follow_the_seed() -> None:
    values = np.random.default_rng(5).uniform(size=20)
    assert Bootstrap(20).interval(values) == Bootstrap(20).interval(values)
    assert Bootstrap(20).interval(values) != Bootstrap(20, seed=1).interval(values)


def test_an_undefined_case_is_left_out() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan])
    interval = Bootstrap(4).interval(values)
    assert 1.0 <= interval.low < 2.0 < interval.high <= 3.0


def test_one_case_has_no_interval_and_excludes_nothing() -> None:
    interval = Bootstrap(2).interval(np.array([0.5, np.nan]))
    assert np.isnan([interval.low, interval.high]).all()
    assert not interval.excludes(0.0)


def test_signed_rank_by_hand() -> None:
    # All of five differences are positive: one of 2^5 sign patterns, two-sided 2 / 32.
    assert signed_rank_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(2 / 32)
    # The smallest is negative: rank sum 1 on that side, reached by 2 of 32 patterns, two-sided 4 / 32.
    assert signed_rank_p(np.array([-1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(4 / 32)


def test_equal_methods_have_p_one() -> None:
    assert signed_rank_p(np.zeros(6)) == 1.0


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04; the last may not fall below the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_comparison_uses_cases_that_both_have() -> None:
    method, reference = np.array([0.5, 0.7, 0.9, np.nan]), np.array([0.4, 0.5, 0.6, 0.1])
    found = compare(method, reference, Bootstrap(4))
    assert found.cases == 3
    assert found.difference == pytest.approx(0.2)
    assert found.p == pytest.approx(2 / 8)


def test_mean_of_defined_values() -> None:
    values = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_defined(values, axis=1), [2.0, np.nan])
