"""Self-distillation of PASSION: the prediction from one sequence follows that from all present ones.

The student is the fused decoder on a single sequence, the teacher the same decoder on the case's
sequences, without gradient. Student rows of one case should follow each other: what is computed of a
teacher is kept until the next case.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from DMAFTraining.losses.directions import inverse_length, unit
from DMAFTraining.losses.eager import at_least_float32, eager_rows
from DMAFTraining.losses.interpolation import LinearUpsampling
from DMAFTraining.networks.base import Decoded

_LEAST_PROBABILITY = 0.005


def pixel_distillation(student: Decoded, teacher: Decoded, rows: Sequence[int], temperature: float) -> Tensor:
    """Divergence of student and teacher of the main output plus ``2^-j`` times that of coarse output j ``(P,)``.

    Args:
        student: P rows.
        teacher: B rows; receive no gradient.
        rows: teacher row of each student row.
        temperature: divides the logits.
    """
    size = student.logits.shape[2:]
    loss = divergence(student.logits, teacher.logits, rows, temperature, size)
    for level, (s, t) in enumerate(zip(student.deep, teacher.deep, strict=True), start=1):
        loss = loss + 2.0**-level * divergence(s, t, rows, temperature, size)
    return loss


def divergence(
    student: Tensor, teacher: Tensor, rows: Sequence[int], temperature: float, size: Sequence[int]
) -> Tensor:
    """``T^2 mean_{c,x} q_t (log q_t - log q_s)`` of softened predictions on the grid ``size``, ``(P,)``.

    ``q`` is the softmax of the logits over T, up-sampled linearly, at least 0.005 (not normalized again).

    Args:
        student: logits ``(P, K, *s)``.
        teacher: logits ``(B, K, *s)``; receive no gradient.
        rows: teacher row of each student row.
        temperature: T.
        size: grid of the comparison, at least as fine as ``s``.
    """
    upsample = LinearUpsampling(student.shape[2:], size, at_least_float32(student))

    def log_soft(logits: Tensor) -> Tensor:
        soft = (logits / temperature).softmax(0)
        return upsample(soft).clamp(min=_LEAST_PROBABILITY).log().flatten()

    @lru_cache(maxsize=1)
    def guide(row: int) -> tuple[Tensor, Tensor]:
        log_q = log_soft(at_least_float32(teacher[row].detach()))
        return log_q.exp(), log_q

    def loss(row: int, logits: Tensor) -> Tensor:
        q, log_q = guide(rows[row])
        return -(temperature**2) / len(q) * torch.dot(q, log_soft(logits).sub_(log_q))

    return eager_rows(loss, student)


def semantic_distillation(
    student_embedding: Tensor, teacher_embedding: Tensor, target: Tensor, rows: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Difference of the similarity maps of student and teacher, over voxels and the classes in the case.

    Args:
        student_embedding: last decoder features ``(P, C, *S)``.
        teacher_embedding: ``(B, C, *S)``; receive no gradient.
        target: one-hot truth of each case ``(B, K, *S)``.
        rows: case of each student row.

    Returns:
        The mean squared difference ``(P,)``; and the mean absolute difference ``(P,)`` without gradient,
        by which PASSION ranks the sequences of a case.
    """
    distances = at_least_float32(student_embedding.new_empty(len(rows)))

    @lru_cache(maxsize=1)
    def guide(case: int) -> tuple[Tensor, Tensor, Tensor]:
        truth = target[case].flatten(1)
        maps = similarity_maps(at_least_float32(teacher_embedding[case].detach()).flatten(1), truth)
        present = (truth.sum(1) > 0).sum()
        return truth, maps, 1 / (present * truth.shape[1])

    def loss(row: int, features: Tensor) -> Tensor:
        truth, maps, scale = guide(rows[row])
        difference = similarity_maps(features.flatten(1), truth) - maps
        distances[row] = difference.detach().abs().sum() * scale
        return difference.square().sum() * scale

    return eager_rows(loss, student_embedding), distances


def similarity_maps(features: Tensor, truth: Tensor) -> Tensor:
    """Cosine ``(K, N)`` of every voxel's features ``(C, N)`` with the mean over each class of ``truth (K, N)``.

    A class's sum has the direction of its mean, so nothing is divided. A class that is absent, or a
    voxel without features, has similarity 0.
    """
    prototypes = unit(truth @ features.T, 1)
    return (prototypes @ features) * inverse_length(features, 0)
