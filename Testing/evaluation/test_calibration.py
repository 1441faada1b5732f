"""Calibration of region probabilities: values computed by hand, and a literal loop over bins."""

from __future__ import annotations

import numpy as np
import pytest

from DMAFTraining.evaluation.calibration import Calibration, calibration, class_shares


def test_hand_computed() -> None:
    # Bins of 1/15: 0.81 and 0.85 share bin 12 (0.8 to 0.867), 0.1 is in bin 1, 1.0 in the last one.
    found = calibration(np.array([0.81, 0.85, 0.1, 1.0]), np.array([True, False, False, True]))
    assert found.ece == pytest.approx((abs(0.81 + 0.85 - 1) + 0.1 + 0) / 4)
    assert found.brier == pytest.approx((0.19**2 + 0.85**2 + 0.1**2 + 0) / 4)


def test_perfect_and_perfectly_wrong() -> None:
    truth = np.array([True, False, False])
    assert calibration(truth.astype(float), truth) == Calibration(0, 0)
    assert calibration((~truth).astype(float), truth) == Calibration(1, 1)


def test_honest_probabilities_have_no_calibration_error_but_a_brier_score() -> None:
    found = calibration(np.full(10, 0.3), np.arange(10) < 3)
    assert found.ece == pytest.approx(0, abs=1e-12)
    assert found.brier == pytest.approx(0.3 * 0.7)


def test_no_voxel_no_number() -> None:
    assert calibration(np.empty(0), np.empty(0, bool)) == Calibration(None, None)


def test_equals_a_loop_over_15_bins() -> None:
    rng = np.random.default_rng(3)
    probability = rng.beta(0.3, 1.0, 5000)
    truth = rng.uniform(size=5000) < probability**2
    error = 0.0
    for number in range(15):
        last = number == 14
        chosen = (probability >= number / 15) & ((probability < (number + 1) / 15) | last)
        if chosen.any():
            error += chosen.mean() * abs(probability[chosen].mean() - truth[chosen].mean())
    found = calibration(probability, truth)
    assert found.ece == pytest.approx(error, abs=1e-12)
    assert found.brier == pytest.approx(np.mean([(p - t) ** 2 for p, t in zip(probability, truth, strict=True)]))


def test_shares_sum_to_1_and_nothing_means_background() -> None:
    # Three voxels: inside, at the rim where probabilities sum to 0.5, and outside the brain.
    classes = np.array([[0.4, 0.3, 0.0], [0.1, 0.05, 0.0], [0.5, 0.15, 0.0]], np.float32)
    assert class_shares(classes) == pytest.approx(np.array([[0.4, 0.6, 1.0], [0.1, 0.1, 0.0], [0.5, 0.3, 0.0]]))
