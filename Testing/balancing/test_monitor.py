"""Dynamic training monitoring: Eq. (11) to (17) by hand."""

from __future__ import annotations

import pytest
import torch

from DMAFTraining.balancing.monitor import MonitorSettings, TrainingMonitor, adaptive_decay, gap_weights
from DMAFTraining.balancing.pairs import PairTable
from tiny_training import tiny_sample

EVERY = torch.ones(2, dtype=torch.bool)


@pytest.mark.parametrize(
    ("ratio", "decay"), [(0, 0.45), (1, 0.2420473), (2, 0.1072826), (5, 0.0060236), (10, 4.0858e-5)]
)
def test_decay_of_the_paper(ratio: float, decay: float) -> None:
    assert adaptive_decay(torch.tensor(float(ratio)), MonitorSettings()).item() == pytest.approx(decay, rel=1e-5)


def test_other_decays() -> None:
    ratio = torch.tensor([0.5, 2.0])
    symmetric = adaptive_decay(ratio, MonitorSettings(decay_mode="symmetric"))
    assert symmetric.tolist() == pytest.approx([0.10728, 0.10728], abs=1e-5)  # .9 (1 - sigmoid(2))
    assert adaptive_decay(ratio, MonitorSettings(decay_mode="fixed")).tolist() == pytest.approx([0.9, 0.9])


def test_weights_are_inverse_to_the_gaps() -> None:
    gaps = torch.tensor([0.05, 0.1, 0.2, 0.4])
    weights = gap_weights(gaps, MonitorSettings())
    assert weights.tolist() == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15], rel=1e-4)
    average = gap_weights(gaps, MonitorSettings(weights_sum_to="modalities"))
    assert average.tolist() == pytest.approx([32 / 15, 16 / 15, 8 / 15, 4 / 15], rel=1e-4)
    favoring = gap_weights(gaps, MonitorSettings(weight_mode="proportional_gap"))
    assert favoring.tolist() == pytest.approx([1 / 15, 2 / 15, 4 / 15, 8 / 15], rel=1e-4)


def test_two_updates_by_hand() -> None:
    monitor = TrainingMonitor(MonitorSettings(epsilon=0.0), 2)
    monitor.update(torch.tensor([[0.2, 0.4], [0.2, 0.4]]), EVERY)
    assert monitor.gaps.tolist() == [pytest.approx([0.2, 0.4])] * 2  # the first observation is taken as it is
    assert monitor.slow.tolist() == pytest.approx([0.3, 0.3])
    monitor.update(torch.tensor([[1.2, 0.4], [0.2, 1.4]]), EVERY)
    kept = 0.9 * (1 - 0.7310586)  # Eq. (13) at ratio 1
    relation, prototype = [1.2 - kept * 1.0, 0.4], [0.2, 1.4 - kept * 1.0]
    assert monitor.gaps.tolist() == [pytest.approx(relation), pytest.approx(prototype)]
    slow_r = 0.99 * 0.3 + 0.01 * sum(relation) / 2
    slow_p = 0.99 * 0.3 + 0.01 * sum(prototype) / 2
    assert monitor.alpha2().item() == pytest.approx(slow_r / (slow_r + slow_p))
    alpha = slow_r / (slow_r + slow_p)
    total = [alpha * r + (1 - alpha) * p for r, p in zip(relation, prototype, strict=True)]
    assert monitor.total().tolist() == pytest.approx(total)
    assert monitor.weights().tolist() == pytest.approx([total[1] / sum(total), total[0] / sum(total)])


def test_what_was_not_observed_is_frozen() -> None:
    monitor = TrainingMonitor(MonitorSettings(), 2)
    monitor.update(torch.tensor([[0.2, 0.4], [0.1, 0.3]]), EVERY)
    before = {name: value.clone() for name, value in monitor.state_dict().items()}
    monitor.update(torch.full((2, 2), float("nan")), ~EVERY)
    assert all(torch.equal(value, before[name]) for name, value in monitor.state_dict().items())
    monitor.update(torch.tensor([[0.5, 0.0], [0.5, 0.0]]), torch.tensor([True, False]))
    assert monitor.gaps[:, 1].tolist() == before["gaps"][:, 1].tolist()
    assert monitor.gaps[0, 0] > before["gaps"][0, 0]


def test_a_sequence_never_seen_counts_as_the_mean_of_the_others() -> None:
    monitor = TrainingMonitor(MonitorSettings(), 3)
    assert monitor.weights().tolist() == pytest.approx([1 / 3] * 3)
    monitor.update(torch.tensor([[0.1, 0.3, 9.0], [0.1, 0.3, 9.0]]), torch.tensor([True, True, False]))
    assert monitor.total().tolist() == pytest.approx([0.1, 0.3, 0.2])
    assert monitor.weights().tolist() == pytest.approx([6 / 11, 2 / 11, 3 / 11], rel=1e-4)


def test_gaps_are_averaged_over_cases_that_count() -> None:
    table = PairTable(tiny_sample(["110", "100", "101"], dims=2))
    assert table.pairs == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 2)]
    relation = torch.tensor([0.2, 0.5, 99.0, 0.4, float("nan")])
    monitor = TrainingMonitor(MonitorSettings(), 3)
    monitor.observe(table, relation, torch.ones(5))
    # case 1 has one sequence, which is its own teacher; the gap of the last pair is not a number
    assert monitor.gaps.tolist() == [pytest.approx([0.3, 0.5, 0.0]), [1.0, 1.0, 0.0]]
    assert monitor.seen.tolist() == [True, True, False]
    assert monitor.present.tolist() == [True, True, True]
    lenient = TrainingMonitor(MonitorSettings(min_modalities=1), 3)
    lenient.observe(table, relation, torch.ones(5))
    assert lenient.gaps[0].tolist() == pytest.approx([33.2, 0.5, 0.0])


def test_presence_adds_up_until_the_step_is_taken() -> None:
    monitor = TrainingMonitor(MonitorSettings(), 3)
    for rows in (["110"], ["010"]):
        table = PairTable(tiny_sample(rows, dims=2))
        monitor.observe(table, torch.ones(len(table.pairs)), torch.ones(len(table.pairs)))
    assert monitor.present.tolist() == [True, True, False]
    monitor.forget_presence()
    assert not monitor.present.any()


def test_curves_show_the_state() -> None:
    monitor = TrainingMonitor(MonitorSettings(), 2)
    monitor.update(torch.tensor([[0.2, 0.4], [0.2, 0.4]]), EVERY)
    monitor.update(torch.tensor([[0.2, 0.4], [0.2, 0.4]]), EVERY)
    curves = monitor.curves()
    assert curves["decay"].tolist() == pytest.approx([0.24204] * 2, abs=1e-4)
    assert curves["gap_relation"].tolist() == pytest.approx([0.2, 0.4])
    assert curves["w"].tolist() == pytest.approx([2 / 3, 1 / 3], rel=1e-4)
    assert curves["alpha2"].item() == pytest.approx(0.5)
