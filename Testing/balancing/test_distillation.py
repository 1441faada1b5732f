"""Distances of students and teacher: what is chosen, masked, balanced and detached."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from DMAFTraining.balancing.distillation import Distances, Distillation, DistillationSettings, PlainAlignment
from DMAFTraining.balancing.pairs import PairTable
from DMAFTraining.losses.segmentation import one_hot
from tiny_training import tiny_sample

CHANNELS = 16
SAMPLE = tiny_sample(["110", "101"], dims=2)
TABLE = PairTable(SAMPLE)
TARGET = one_hot(SAMPLE.labels, 4)


def features(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, CHANNELS, 2, 2, generator=torch.Generator().manual_seed(seed))


def build(settings: DistillationSettings | None = None, trained: bool = True) -> Distillation:
    torch.manual_seed(0)
    return Distillation(settings or DistillationSettings(), 3, CHANNELS, trained)


def distances(covariance: float, attention: float) -> Distances:
    return Distances(torch.tensor([covariance]), torch.tensor([attention]), torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize("mode", ["learnable", "fixed", "balance"])
def test_alpha1_starts_where_it_is_told(mode: str) -> None:
    distillation = build(DistillationSettings(alpha1_mode=mode))
    assert distillation.alpha1().item() == pytest.approx(0.6)
    assert distillation.relation(distances(1.0, 2.0)).item() == pytest.approx(0.6 * 1 + 0.4 * 2)  # Eq. (8)


def test_a_learned_alpha1_stays_in_its_bounds() -> None:
    distillation = build()
    for value, bound in ((50.0, 0.8), (-50.0, 0.2)):
        with torch.no_grad():
            distillation.alpha.fill_(value)
        assert distillation.alpha1().item() == pytest.approx(bound)


def test_a_learned_alpha1_moves_to_the_smaller_term_and_does_not_decay() -> None:
    distillation = build()
    distillation.relation(distances(1.0, 2.0)).backward()
    # d/da (lo + (hi - lo) s(a)) (1 - 2) with s(a) = 2/3: -0.6 * 2/9
    assert distillation.alpha.grad.item() == pytest.approx(-0.6 * 2 / 9)
    (rest, decayed), (alpha, undecayed) = distillation.parameter_groups()
    assert (decayed, undecayed) == (1.0, 0.0)
    assert [id(p) for p in alpha] == [id(distillation.alpha)]
    assert len(rest) == len(list(distillation.parameters())) - 1


def test_a_balanced_alpha1_follows_the_other_term() -> None:
    distillation = build(DistillationSettings(alpha1_mode="balance", alpha1_decay=0.9))
    distillation.follow(distances(3.0, 1.0))
    assert distillation.alpha1().item() == pytest.approx(0.9 * 0.6 + 0.1 * 0.25)
    distillation.follow(distances(float("nan"), 1.0))
    assert torch.isfinite(distillation.alpha1())
    assert all(decay == 1.0 for _, decay in distillation.parameter_groups())


def test_equal_features_have_no_distance_but_for_attention() -> None:
    teacher = features(2)
    result = build()(teacher[TABLE.case], teacher, TARGET, TABLE)
    assert result.covariance.tolist() == [0.0] * 4  # the projections start as identities
    assert result.prototype.tolist() == result.prototype_mean.tolist() == [0.0] * 4


@pytest.mark.parametrize("keys", ["fused", "sequences"])
def test_normalized_relation_terms_do_not_see_the_scale_of_the_teacher(keys: str) -> None:
    normalized = DistillationSettings(
        covariance_normalize="correlation", attention_normalize="layer", attention_keys=keys
    )
    for settings, same in ((normalized, True), (DistillationSettings(attention_keys=keys), False)):
        module = build(settings)
        small, large = (module(features(4), factor * features(2, seed=1), TARGET, TABLE) for factor in (1, 10))
        for name in ("covariance", "attention"):
            a, b = getattr(small, name), getattr(large, name)
            assert torch.allclose(a, b, rtol=1e-3) == same, name


def test_the_gap_is_the_mean_and_the_loss_the_sum_over_classes() -> None:
    result = build()(features(4), features(2, seed=1), TARGET, TABLE)
    assert result.prototype.tolist() == pytest.approx((4 * result.prototype_mean).tolist())
    labels = SAMPLE.labels.clamp(max=1)  # two classes only
    result = build()(features(4), features(2, seed=1), one_hot(labels, 4), TABLE)
    assert result.prototype.tolist() == pytest.approx((2 * result.prototype_mean).tolist())


def test_the_background_can_be_left_out() -> None:
    settings = DistillationSettings(background=False)
    whole = build()(features(4), features(2, seed=1), TARGET, TABLE)
    tumor = build(settings)(features(4), features(2, seed=1), TARGET, TABLE)
    background = build()(features(4), features(2, seed=1), one_hot(SAMPLE.labels * 0, 4), TABLE)
    assert (tumor.prototype < whole.prototype).all()
    empty = build(settings)(features(4), features(2, seed=1), one_hot(SAMPLE.labels * 0, 4), TABLE)
    assert empty.prototype.tolist() == [0.0] * 4
    assert empty.prototype_mean.isnan().all()  # no class, no gap: the monitor ignores it
    assert background.prototype_mean.isfinite().all()


def test_keys_are_the_sequences_of_the_same_case() -> None:
    """Changing a sequence changes the attention of its case's pairs only; absent ones never count."""
    distillation = build(DistillationSettings(attention_keys="sequences"))
    students, teachers = features(4), features(2, seed=1)
    before = distillation(students, teachers, TARGET, TABLE).attention
    other = students.clone()
    other[3] *= -1  # sequence 2 of case 1
    after = distillation(other, teachers, TARGET, TABLE).attention
    assert torch.equal(before[:2], after[:2])
    assert (before[2:] != after[2:]).all()
    everything = replace(SAMPLE, available=torch.ones(2, 3, dtype=torch.bool))
    table = PairTable(everything)
    kept = [table.pairs.index(pair) for pair in TABLE.pairs]
    filled = torch.zeros(6, CHANNELS, 2, 2).index_copy(0, torch.tensor(kept), students)
    unmasked = distillation(filled, teachers, TARGET, table).attention[kept]
    assert not torch.allclose(before, unmasked)  # zeros that count as keys do change the result


def test_without_training_nothing_is_learned() -> None:
    distillation = build(trained=False)
    result = distillation(features(4).requires_grad_(), features(2, seed=1), TARGET, TABLE)
    assert distillation.parameter_groups() == []
    assert not any(value.requires_grad for value in (result.covariance, result.attention, result.prototype))
    assert all(bool((value > 0).all()) for value in (result.covariance, result.attention, result.prototype_mean))


def test_plain_alignment_by_hand() -> None:
    """Two places, two channels: each normalized query finds the key of its own direction."""
    f = torch.tensor([[[4.0, 0.0], [0.0, 2.0]]])  # tokens (4, 0) and (0, 2), normalized (1, -1) and (-1, 1)
    share = torch.tensor(2 * 2 / 2**0.5).sigmoid().item()  # softmax of (2, -2) / sqrt(2)
    looked_up = [[4 * share, 2 * (1 - share)], [4 * (1 - share), 2 * share]]
    error = (torch.tensor(looked_up) - torch.tensor([[4.0, 0.0], [0.0, 2.0]])).square().mean()
    assert PlainAlignment()(f, f).item() == pytest.approx(error.item(), rel=1e-3)
    masked = PlainAlignment()(f, f, f.mT, torch.tensor([[True, False]]))
    assert masked.item() == pytest.approx((4.0**2 + 2.0**2) / 4)  # both tokens find (4, 0)


@pytest.mark.parametrize("settings", [{"alpha1": 0.9}, {"alpha1_bounds": (0.5, 0.4)}, {"tau": 0.0}])
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="should"):
        DistillationSettings(**settings)
