"""PASSION's distillation: by hand, against the formula, and who learns from whom."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import literal_losses as literal
from DMAFTraining.losses import passion
from DMAFTraining.losses.passion import divergence, pixel_distillation, semantic_distillation, similarity_maps
from DMAFTraining.losses.segmentation import one_hot
from DMAFTraining.networks.base import Decoded

SIZES = [(8, 4), (8, 4, 4)]
ROWS = [0, 0, 1, 0]


def decoded(rows: int, size: tuple[int, ...], seed: int) -> Decoded:
    """Random outputs of 3 classes with two coarse heads and embeddings of 5 channels, which ask for gradients."""
    generator = torch.Generator().manual_seed(seed)

    def random(channels: int, factor: int) -> Tensor:
        grid = [n // factor for n in size]
        return (3 * torch.randn(rows, channels, *grid, generator=generator)).requires_grad_()

    return Decoded(random(3, 1), (random(3, 2), random(3, 4)), random(5, 1), random(6, 4))


def truth(size: tuple[int, ...]) -> Tensor:
    """Two cases of 3 classes; the second lacks class 1."""
    labels = torch.randint(0, 3, (2, *size), generator=torch.Generator().manual_seed(5))
    labels[1][labels[1] == 1] = 2
    return one_hot(labels, 3)


def assert_same(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    """Values and gradients, with another weight for each row, agree to 1e-5 (of the largest gradient)."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.arange(1.0, len(found) + 1)
    gradients = [torch.autograd.grad((loss * weights).sum(), inputs) for loss in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def test_divergence_by_hand() -> None:
    # Two pixels, two classes, T = 4: logits 4 log 3 and 0 give q = (3/4, 1/4); equal logits give (1/2, 1/2).
    sharp, flat = 4 * math.log(3), 0.0
    teacher = torch.tensor([[[[sharp, flat]], [[0.0, 0.0]]]])
    student = torch.tensor([[[[flat, flat]], [[0.0, 0.0]]]])
    # Pixel 1: 3/4 log(3/2) + 1/4 log(1/2); pixel 2: 0. Mean over 2 classes x 2 pixels, times 16.
    expected = 16 / 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert divergence(student, teacher, [0], 4.0, (1, 2)).item() == pytest.approx(expected, abs=1e-6)


def test_probabilities_are_at_least_half_a_percent() -> None:
    # The teacher is sure, the student sure of the opposite: q = (1, .005) against (.005, 1).
    teacher = torch.tensor([[[100.0], [-100.0]]])
    expected = (1 * math.log(1 / 0.005) + 0.005 * math.log(0.005)) / 2
    student = -teacher.clone().requires_grad_()
    found = divergence(student, teacher, [0], 1.0, (1,))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_probabilities_not_logits_are_up_sampled() -> None:
    # Student 0.9 and 0.3 along four voxels is 0.9, 0.7, 0.5, 0.3; the teacher says 1/2 everywhere.
    student = torch.tensor([[[0.9, 0.3], [0.1, 0.7]]]).log()
    expected = -sum(math.log(2 * p) / 2 for p in (0.9, 0.7, 0.5, 0.3, 0.1, 0.3, 0.5, 0.7)) / 8
    assert divergence(student, torch.zeros(1, 2, 2), [0], 1.0, (4,)).item() == pytest.approx(expected, abs=1e-6)


def test_coarse_outputs_count_by_powers_of_one_half() -> None:
    # Teacher and student are constant in space, so every output has the same divergence d.
    def constant(value: float) -> Decoded:
        logits = torch.tensor([value, 0.0]).view(1, 2, 1, 1)
        return Decoded(logits.expand(1, 2, 8, 8), tuple(logits.expand(1, 2, n, n) for n in (4, 2)), logits, logits)

    single = divergence(constant(1.0).logits, constant(3.0).logits, [0], 4.0, (8, 8)).item()
    assert single > 0.01
    found = pixel_distillation(constant(1.0), constant(3.0), [0], 4.0)
    assert found.item() == pytest.approx(1.75 * single, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("size", SIZES)
def test_pixel_distillation_equals_the_formula(size: tuple[int, ...], temperature: float) -> None:
    s, t = decoded(4, size, 0), decoded(2, size, 1)
    expected = literal.pixel_distillation(s.logits, s.deep, t.logits, t.deep, ROWS, temperature)
    assert_same(pixel_distillation(s, t, ROWS, temperature), expected, [s.logits, *s.deep])


@pytest.mark.parametrize("size", SIZES)
def test_semantic_distillation_equals_the_formula(size: tuple[int, ...]) -> None:
    s, t, target = decoded(4, size, 0).embedding, decoded(2, size, 1).embedding, truth(size)
    loss, distance = semantic_distillation(s, t, target, ROWS)
    expected, expected_distance = literal.semantic_distillation(s, t, target, ROWS)
    assert_same(loss, expected, [s])
    torch.testing.assert_close(distance, expected_distance, rtol=1e-5, atol=1e-5)


def test_gradients() -> None:
    s, t, target = decoded(2, (4, 4), 0), decoded(2, (4, 4), 1), truth((4, 4)).double()
    logits, other = s.deep[0].detach().double().requires_grad_(), t.deep[0].detach().double()
    assert torch.autograd.gradcheck(lambda x: divergence(x, other, [1, 0], 4.0, (4, 4)), logits)
    features, teacher = s.embedding.detach().double().requires_grad_(), t.embedding.detach().double()
    assert torch.autograd.gradcheck(lambda x: semantic_distillation(x, teacher, target, [1, 0])[0], features)


def test_similarity_by_hand() -> None:
    # Three voxels (1, 0), (0, 2), (1, 1); class 0 is the first, class 1 the other two with sum (1, 3), class 2 none.
    features = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    ten, two = math.sqrt(10), math.sqrt(2)
    expected = [[1, 0, 1 / two], [1 / ten, 3 / ten, 4 / (ten * two)], [0, 0, 0]]
    torch.testing.assert_close(similarity_maps(features, target), torch.tensor(expected))


def test_semantic_distillation_by_hand() -> None:
    # One channel: every similarity is a sign. Both classes are positive on average, so the student's maps are
    # (1, 1, 1, 1) and the teacher's (1, 1, 1, -1): one voxel in four differs by 2, in both maps.
    student = torch.tensor([[[1.0, 1.0, 1.0, 1.0]]])
    teacher = torch.tensor([[[2.0, 1.0, 3.0, -1.0]]])
    target = one_hot(torch.tensor([[0, 0, 1, 1]]), 4)  # classes 2 and 3 are absent and do not count
    loss, distance = semantic_distillation(student, teacher, target, [0])
    assert loss.item() == pytest.approx(1)
    assert distance.item() == pytest.approx(0.5)


def test_a_class_missing_in_one_case_still_counts_in_the_other() -> None:
    size = (8, 4)
    s, t, target = decoded(2, size, 0).embedding, decoded(2, size, 1).embedding, truth(size)
    together = semantic_distillation(s, t, target, [0, 1])
    for case in range(2):
        alone = semantic_distillation(s[case : case + 1], t[case : case + 1], target[case : case + 1], [0])
        assert [x[case].item() for x in together] == [x.item() for x in alone]


@pytest.mark.parametrize("size", SIZES)
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(size: tuple[int, ...]) -> None:
    same = decoded(2, size, 0)
    assert pixel_distillation(same, same, [0, 1], 4.0).tolist() == [0, 0]
    loss, distance = semantic_distillation(same.embedding, same.embedding, truth(size), [0, 1])
    assert loss.tolist() == distance.tolist() == [0, 0]
    scaled = semantic_distillation(3 * same.embedding, same.embedding, truth(size), [0, 1])
    torch.testing.assert_close(scaled[1], torch.zeros(2), atol=1e-6, rtol=0)  # a cosine does not see the length


def test_only_the_student_learns() -> None:
    s, t = decoded(2, (8, 4), 0), decoded(2, (8, 4), 1)
    loss, distance = semantic_distillation(s.embedding, t.embedding, truth((8, 4)), [0, 1])
    assert not distance.requires_grad
    (pixel_distillation(s, t, [0, 1], 4.0) + loss).sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in (s.logits, *s.deep, s.embedding))
    assert all(x.grad is None for x in (t.logits, *t.deep, t.embedding))


def test_the_order_of_students_does_not_matter() -> None:
    s, t, target = decoded(4, (8, 4), 0), decoded(2, (8, 4), 1), truth((8, 4))
    rows, order = [0, 1, 0, 1], [0, 2, 1, 3]
    moved = Decoded(s.logits[order], tuple(z[order] for z in s.deep), s.embedding[order], s.bottleneck[order])
    grouped = [rows[i] for i in order]
    assert pixel_distillation(moved, t, grouped, 4.0).equal(pixel_distillation(s, t, rows, 4.0)[order])
    for a, b in zip(
        semantic_distillation(moved.embedding, t.embedding, target, grouped),
        semantic_distillation(s.embedding, t.embedding, target, rows),
        strict=True,
    ):
        assert a.equal(b[order])


def test_voxels_without_features_break_nothing() -> None:
    s, t, target = decoded(2, (8, 4), 0), decoded(2, (8, 4), 1), truth((8, 4))
    features = s.embedding.detach().clone()
    features[0, :, 0] = 0
    features[1] = 0
    features.requires_grad_()
    loss, distance = semantic_distillation(features, t.embedding, target, [0, 1])
    loss.sum().backward()
    assert torch.cat([loss, distance]).isfinite().all()
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()


def test_half_precision_under_autocast_and_no_grad() -> None:
    s, t, target = decoded(2, (8, 4), 0), decoded(2, (8, 4), 1), truth((8, 4))

    def cast(d: Decoded, dtype: torch.dtype) -> Decoded:
        low = [x.detach().bfloat16().to(dtype) for x in (d.logits, d.embedding, d.bottleneck, *d.deep)]
        return Decoded(low[0], tuple(low[3:]), low[1], low[2])

    def losses(dtype: torch.dtype) -> list[Tensor]:
        a, b = cast(s, dtype), cast(t, dtype)
        semantic = semantic_distillation(a.embedding, b.embedding, target, [0, 1])
        return [pixel_distillation(a, b, [0, 1], 4.0), *semantic]

    expected = losses(torch.float32)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        found = losses(torch.bfloat16)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b)


def test_a_teacher_is_computed_once_per_case(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    up_sample = passion.LinearUpsampling.__call__
    maps = passion.similarity_maps
    monkeypatch.setattr(passion.LinearUpsampling, "__call__", lambda *a: calls.append("pixel") or up_sample(*a))
    monkeypatch.setattr(passion, "similarity_maps", lambda *a: calls.append("semantic") or maps(*a))
    s, t, target = decoded(4, (8, 4), 0), decoded(2, (8, 4), 1), truth((8, 4))
    rows = [0, 0, 0, 1]
    pixel_distillation(s, t, rows, 4.0)
    semantic_distillation(s.embedding, t.embedding, target, rows)
    assert calls.count("pixel") == 3 * (4 + 2)  # three outputs, four students, two teachers
    assert calls.count("semantic") == 4 + 2
