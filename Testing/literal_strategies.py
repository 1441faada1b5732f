"""DMAF-Net's objective and PASSION as one would first write them down: loops, everything computed.

Case by case, sequence by sequence, class by class; state in plain Python numbers. Slow and simple, so
that the fast code in ``DMAFTraining.balancing`` has something to equal. Nothing of ``losses`` or
``balancing`` is used here, but for the trained weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from DMAFTraining.balancing.dmaf import DMAFStrategy
from DMAFTraining.data.batch import Batch
from DMAFTraining.networks.base import Decoded, Features, SegmentationNetwork
from tiny_training import part


def softmax_up(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Softmax of ``(K, *s)``, up-sampled linearly with corners aligned."""
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return F.interpolate(logits.softmax(0)[None], size=tuple(size), mode=mode, align_corners=True)[0]


def segmentation(p: Tensor, truth: Tensor) -> Tensor:
    """Weighted cross-entropy plus soft Dice of probabilities and one-hot truth, both ``(K, *S)``."""
    loss = torch.ones(())
    for pc, yc in zip(p, truth, strict=True):
        loss = loss - 2 / len(p) * (pc * yc).sum() / (pc.sum() + yc.sum() + 1e-7)
        loss = loss - ((1 - yc.mean()) * yc * pc.log()).mean()
    return loss


def fused_loss(decoded: Decoded, truth: Tensor) -> Tensor:
    """Main output plus 2^-l times each coarser one, of a batch of one."""
    loss = segmentation(decoded.logits[0].softmax(0), truth)
    for level, coarse in enumerate(decoded.deep, 1):
        loss = loss + 2.0**-level * segmentation(softmax_up(coarse[0], truth.shape[1:]), truth)
    return loss


def cases(network: SegmentationNetwork, sample: Batch) -> list[tuple[Batch, Features, Tensor, list[int]]]:
    """Each case alone: its batch of one, its features, its truth ``(K, *S)`` and its sequences."""
    rows = []
    for b in range(len(sample.images)):
        case = part(sample, b)
        truth = torch.stack([(case.labels[0] == k).to(case.images.dtype) for k in range(network.config.classes)])
        sequences = [m for m, exists in enumerate(case.available[0].tolist()) if exists]
        rows.append((case, network.encode(case.images, case.available), truth, sequences))
    return rows


def only(m: int, modalities: int) -> Tensor:
    """Presence ``(1, M)`` of one sequence."""
    return torch.tensor([[other == m for other in range(modalities)]])


def covariance(x: Tensor) -> Tensor:
    """Channel covariance of tokens ``(T, C)``."""
    x = x - x.mean(0)
    return x.T @ x / len(x)


def share_of_cells(truth: Tensor, size: Sequence[int]) -> Tensor:
    """Mean of ``(K, *S)`` over the voxels of each coarse cell, ``(K, *s)``."""
    for axis, n in enumerate(size, 1):
        truth = torch.stack([cell.mean(axis) for cell in truth.chunk(n, axis)], axis)
    return truth


def attend(module: torch.nn.Module, e: Tensor, f: Tensor) -> Tensor:
    """Multi-head attention of tokens ``e (T, C)`` to ``f (T, C)``, head by head."""
    q = module.queries(module.norm_queries(e))
    k, v = module.keys_values(module.norm_keys(f)).chunk(2, dim=1)
    width = q.shape[1] // module.heads
    heads = []
    for h in range(module.heads):
        own = slice(h * width, (h + 1) * width)
        heads.append((q[:, own] @ k[:, own].T / math.sqrt(width)).softmax(1) @ v[:, own])
    return module.projection(torch.cat(heads, 1))


def prototype_distances(e: Tensor, f: Tensor, weights: Tensor) -> list[Tensor]:
    """``1 - cos`` of the prototypes of tokens ``(T, C)`` for each class with ``weights (K, T)``."""
    distances = []
    for w in weights:
        if w.sum() > 0:
            student, teacher = ((w[:, None] * x).sum(0) / (w.sum() + 1e-5) for x in (e, f))
            distances.append(1 - student @ teacher / (student.norm() * teacher.norm()))
    return distances


class LiteralDMAF:
    """The published objective with its default readings; state is kept from step to step."""

    def __init__(self, modalities: int) -> None:
        self.modalities = modalities
        self.relation: dict[int, float] = {}
        self.prototype: dict[int, float] = {}
        self.slow: tuple[float, float] | None = None
        self.history: dict[int, Tensor] = {}

    def loss(self, network: SegmentationNetwork, strategy: DMAFStrategy, sample: Batch) -> Tensor:
        """The loss with the weights of ``network`` and the projections of ``strategy``."""
        distillation, total = strategy.distillation, torch.zeros(())
        alpha = 0.2 + 0.6 * torch.sigmoid(distillation.alpha)
        gaps: dict[int, list[tuple[float, float]]] = {}
        alone = []
        for case, features, truth, sequences in cases(network, sample):
            decoded = network.decode_training(features, case.present, [0])
            total = total + 2 * fused_loss(decoded, truth)
            f = decoded.bottleneck[0].detach()
            classes = share_of_cells(truth, f.shape[1:])
            f = f.flatten(1).T
            for m in sequences:
                alone.append((m, segmentation(network.decode_unimodal(features, [(0, m)])[0].softmax(0), truth)))
                e = network.bottleneck(features, [(0, m)])[0].flatten(1).T
                projected = e @ distillation.covariance.projections[m].T
                relation = alpha * (covariance(projected) - covariance(f)).square().mean()
                relation = relation + (1 - alpha) * (attend(distillation.attention, e, f) - f).square().mean()
                distances = prototype_distances(e, f, classes.flatten(1))
                total = total + 0.5 * relation / len(sequences) + 0.5 * sum(distances)
                if case.present.sum() >= 2:
                    gaps.setdefault(m, []).append((relation.item(), sum(distances).item() / len(distances)))
        self._observe(gaps)
        weights = self.weights()
        return (total + sum(weights[m] * loss for m, loss in alone)) / len(sample.images)

    def _observe(self, gaps: dict[int, list[tuple[float, float]]]) -> None:
        for m, values in gaps.items():
            g_r, g_p = (sum(v) / len(v) for v in zip(*values, strict=True))
            if m not in self.relation:
                self.relation[m], self.prototype[m] = g_r, g_p
                continue
            ratio = (self.relation[m] + 1e-6) / (self.prototype[m] + 1e-6)
            keep = 0.9 * (1 - 1 / (1 + math.exp(-ratio)))
            self.relation[m] = keep * self.relation[m] + (1 - keep) * g_r
            self.prototype[m] = keep * self.prototype[m] + (1 - keep) * g_p
        if gaps:
            now = [sum(state.values()) / len(state) for state in (self.relation, self.prototype)]
            before = self.slow or now
            kept = 0.99 if self.slow else 0.0
            self.slow = (kept * before[0] + (1 - kept) * now[0], kept * before[1] + (1 - kept) * now[1])

    def weights(self) -> list[float]:
        """w of every sequence."""
        if self.slow is None:
            return [1 / self.modalities] * self.modalities
        alpha = self.slow[0] / sum(self.slow)
        known = {m: alpha * self.relation[m] + (1 - alpha) * self.prototype[m] for m in self.relation}
        mean = sum(known.values()) / len(known)
        inverse = [1 / (known.get(m, mean) + 1e-6) for m in range(self.modalities)]
        return [value / sum(inverse) for value in inverse]

    def scale(self, network: SegmentationNetwork, sample: Batch) -> None:
        """Eq. (18) on the gradients of the encoders that the batch used."""
        for m, w in enumerate(self.weights()):
            if not sample.available[:, m].any():
                continue
            parameters = [p for p in network.encoders[m].parameters() if p.grad is not None]
            now = torch.cat([p.grad.flatten() for p in parameters])
            factor = min(max(1 / w, 0.1), 10.0)
            if m in self.history and F.cosine_similarity(now, self.history[m], dim=0) < -0.5:
                factor *= 0.7
            self.history[m] = now
            for p in parameters:
                p.grad = p.grad * factor


def pixel_distillation(student: Decoded, teacher: Decoded, size: Sequence[int], temperature: float = 4.0) -> Tensor:
    """PASSION's divergence over all heads, of two batches of one."""
    total = torch.zeros(())
    heads = zip((student.logits, *student.deep), (teacher.logits, *teacher.deep), strict=True)
    for level, (s, t) in enumerate(heads):
        q_s = softmax_up(s[0] / temperature, size).clamp(0.005, 1)
        q_t = softmax_up(t[0].detach() / temperature, size).clamp(0.005, 1)
        total = total + 2.0**-level * temperature**2 * (q_t * (q_t.log() - q_s.log())).mean()
    return total


def similarity_maps(embedding: Tensor, truth: Tensor) -> Tensor:
    """Cosine of every voxel with the prototype of each class in the patch, ``(classes there, *S)``."""
    maps = []
    for y in truth:
        if y.sum() > 0:
            prototype = (embedding * y).flatten(1).sum(1) / (y.sum() + 1e-5)
            spread = prototype.view(-1, *(1,) * y.dim()).expand_as(embedding)
            maps.append(F.cosine_similarity(embedding, spread, dim=0, eps=1e-8))
    return torch.stack(maps)


class LiteralPASSION:
    """PASSION with its published settings; beta and the distances of the epoch are kept."""

    def __init__(self, rate_weights: Sequence[float]) -> None:
        self.omega = list(rate_weights)
        self.beta = [1.0] * len(rate_weights)
        self.distances: dict[int, list[float]] = {}
        self.eta = 0.01

    def loss(self, network: SegmentationNetwork, sample: Batch) -> Tensor:
        """The loss with the weights of ``network``."""
        total = torch.zeros(())
        for case, features, truth, sequences in cases(network, sample):
            teacher = network.decode_training(features, case.present, [0])
            total = total + fused_loss(teacher, truth)
            teacher_maps = similarity_maps(teacher.embedding[0].detach(), truth)
            distances, semantic = {}, {}
            for m in sequences:
                student = network.decode_training(features, only(m, len(self.omega)), [0])
                pixel = pixel_distillation(student, teacher, truth.shape[1:])
                total = total + 0.5 * self.beta[m] * self.omega[m] * pixel
                difference = similarity_maps(student.embedding[0], truth) - teacher_maps
                semantic[m] = difference.square().mean()
                distances[m] = float(difference.detach().abs().mean())
                self.distances.setdefault(m, []).append(distances[m])
            mean = sum(distances.values()) / len(distances)
            for m in sequences:
                r = float(distances[m] / mean - 1 > 0) if len(sequences) > 1 else 0.0
                alone = segmentation(network.decode_unimodal(features, [(0, m)])[0].softmax(0), truth)
                total = total + r * self.omega[m] * (self.beta[m] * alone + 0.1 * semantic[m])
        return total / len(sample.images)

    def end_epoch(self, epoch: int) -> None:
        """The update of beta."""
        if epoch in (0, 100, 200):
            self.eta *= 1.5
        means = {m: sum(values) / len(values) for m, values in self.distances.items()}
        average = sum(means.values()) / len(means)
        for m, mean in means.items():
            self.beta[m] = self.beta[m] - self.eta * (average - mean) / average
        self.beta = [min(max(value, 0.1), 4.0) for value in self.beta]
        norm = math.sqrt(sum(value**2 for value in self.beta))
        self.beta = [value * math.sqrt(len(self.beta)) / norm for value in self.beta]
        self.distances = {}
