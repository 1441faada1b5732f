"""Each loss written down as its formula: loops over rows and classes, full resolution, plain autograd.

Slow and wasteful on purpose; tests compare the real losses with these.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Deep = Sequence[Tensor]


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return F.interpolate(x, size=tuple(size), mode=mode, align_corners=True)


def dice(p: Tensor, y: Tensor) -> Tensor:
    classes = range(len(p))
    return 1 - sum(2 * (p[c] * y[c]).sum() / (p[c].sum() + y[c].sum() + 1e-7) for c in classes) / len(p)


def cross_entropy(p: Tensor, y: Tensor, weighted: bool) -> Tensor:
    weights = [1 - y[c].sum() / y[0].numel() if weighted else 1.0 for c in range(len(y))]
    return sum((-w * y[c] * p[c].log()).mean() for c, w in enumerate(weights))


def segmentation(p: Tensor, target: Tensor, weighted: bool = True) -> Tensor:
    """Of probabilities ``(R, K, *S)``."""
    return torch.stack([cross_entropy(q, y, weighted) + dice(q, y) for q, y in zip(p, target, strict=True)])


def deep_supervision(logits: Tensor, deep: Deep, target: Tensor, weighted: bool = True) -> Tensor:
    loss = segmentation(logits.softmax(1), target, weighted)
    for level, z in enumerate(deep, start=1):
        loss = loss + segmentation(upsample(z.softmax(1), target.shape[2:]), target, weighted) / 2**level
    return loss


def covariance(x: Tensor, axis: str = "channel") -> Tensor:
    """Of features ``(C, T)``: ``(C, C)`` of the channels, or ``(T, T)`` of the places."""
    x = torch.stack([channel - channel.mean() for channel in x])
    variables = x if axis == "channel" else x.T
    return torch.stack([torch.stack([(a * b).sum() for b in variables]) for a in variables]) / x.shape[1]


def correlation(covariances: Tensor) -> Tensor:
    deviation = covariances.diag().sqrt()
    return covariances / deviation[:, None] / deviation[None, :]


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Of projected tokens ``q (T, C)``, ``k (N, C)``, ``v (N, C)``."""
    parts = []
    for qh, kh, vh in zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1), strict=True):
        scores = qh @ kh.T / qh.shape[1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        parts.append(scores.softmax(1) @ vh)
    return torch.cat(parts, 1)


def prototype(features: Tensor, weights: Tensor) -> Tensor:
    """Mean ``(C,)`` of ``features (C, *S)`` with ``weights (*S)``."""
    return torch.stack([(channel * weights).sum() for channel in features]) / (weights.sum() + 1e-5)


def prototype_distance(e: Tensor, f: Tensor, weights: Tensor, tau: float) -> Tensor:
    """``(P, K)``; every class must have weight."""
    rows = [
        torch.stack([1 - F.cosine_similarity(prototype(a, w), prototype(b, w), dim=0) for w in of_row]) / tau
        for a, b, of_row in zip(e, f.detach(), weights, strict=True)
    ]
    return torch.stack(rows)


def divergence(student: Tensor, teacher: Tensor, temperature: float, size: Sequence[int]) -> Tensor:
    """Of logits of one row ``(K, *s)``."""
    q_s, q_t = (upsample((z / temperature).softmax(0)[None], size).clamp(0.005, 1) for z in (student, teacher.detach()))
    return temperature**2 * (q_t * (q_t.log() - q_s.log())).mean()


def pixel_distillation(
    student: Tensor, deep: Deep, teacher: Tensor, teacher_deep: Deep, rows: Sequence[int], temperature: float
) -> Tensor:
    size = student.shape[2:]
    losses = []
    for p, b in enumerate(rows):
        loss = divergence(student[p], teacher[b], temperature, size)
        for level, (s, t) in enumerate(zip(deep, teacher_deep, strict=True), start=1):
            loss = loss + divergence(s[p], t[b], temperature, size) / 2**level
        losses.append(loss)
    return torch.stack(losses)


def similarity(features: Tensor, truth: Tensor) -> Tensor:
    """Map ``(*S)`` of ``features (C, *S)`` with their mean over the class whose voxels are ``truth (*S)``."""
    mean = prototype(features, truth).view(-1, *(1,) * truth.dim())
    return F.cosine_similarity(features, mean.expand_as(features), dim=0)


def semantic_distillation(
    student: Tensor, teacher: Tensor, target: Tensor, rows: Sequence[int]
) -> tuple[Tensor, Tensor]:
    losses, distances = [], []
    for features, b in zip(student, rows, strict=True):
        classes = [truth for truth in target[b] if truth.sum() > 0]
        differences = [similarity(features, y) - similarity(teacher[b].detach(), y) for y in classes]
        losses.append(torch.stack(differences).square().mean())
        distances.append(torch.stack(differences).detach().abs().mean())
    return torch.stack(losses), torch.stack(distances)
