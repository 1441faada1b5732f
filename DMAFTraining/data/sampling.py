"""Random training crops with randomly hidden sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from DMAFTraining.data.cases import TrainingCase

_FOREGROUND_SHARE = 0.67


@dataclass(frozen=True)
class Batch:
    """``images (B, M, *S)``, ``present (B, M)`` bool, ``labels (B, *S)`` uint8."""

    images: Tensor
    present: Tensor
    labels: Tensor


def draw_presence(rates: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Which sequences a sample keeps, ``(M,)`` bool, never none."""
    while True:
        present = rng.random(len(rates)) >= np.asarray(rates)
        if present.any():
            return present


def draw_batch(
    cases: Sequence[TrainingCase], size: int, patch: Sequence[int], rates: Sequence[float], rng: np.random.Generator
) -> Batch:
    """A batch of augmented crops from random cases; hidden sequences are zero."""
    samples = [_draw_sample(cases[int(rng.integers(len(cases)))], patch, rng) for _ in range(size)]
    present = torch.from_numpy(np.stack([draw_presence(rates, rng) for _ in samples]))
    images = torch.from_numpy(np.stack([image for image, _ in samples]))
    images = images * present.view(*present.shape, *(1,) * len(patch))
    return Batch(images, present, torch.from_numpy(np.stack([labels for _, labels in samples])))


def _draw_sample(case: TrainingCase, patch: Sequence[int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    where = _crop_start(case.labels, patch, rng)
    images = np.stack([_crop(image, where, patch) for image in case.images]).astype(np.float32)
    labels = _crop(case.labels, where, patch)
    if rng.random() < 0.5:  # left-right, the only mirror image that anatomy knows
        images, labels = images[:, ::-1], labels[::-1]
    return _shift_intensity(images, rng), np.ascontiguousarray(labels)


def _crop_start(labels: np.ndarray, patch: Sequence[int], rng: np.random.Generator) -> list[int]:
    """First voxel of a crop: around a tumor voxel for most samples, else anywhere.

    Where the case is smaller than the crop, the start is negative and the rest is padded.
    """
    inside = np.argwhere(labels) if rng.random() < _FOREGROUND_SHARE else np.empty((0, labels.ndim))
    center = inside[rng.integers(len(inside))] if len(inside) else None
    start = []
    for axis, (whole, part) in enumerate(zip(labels.shape, patch, strict=True)):
        low, high = min(0, whole - part), max(0, whole - part)
        if center is None:
            start.append(int(rng.integers(low, high + 1)))
        else:
            start.append(int(np.clip(center[axis] - rng.integers(part // 4, part - part // 4), low, high)))
    return start


def _crop(volume: np.ndarray, start: Sequence[int], patch: Sequence[int]) -> np.ndarray:
    """Part of a volume, padded with zero where the crop leaves it."""
    out = np.zeros(tuple(patch), volume.dtype)
    source = tuple(slice(max(0, s), s + p) for s, p in zip(start, patch, strict=True))
    piece = volume[source]
    target = tuple(slice(max(0, -s), max(0, -s) + n) for s, n in zip(start, piece.shape, strict=True))
    out[target] = piece
    return out


def _shift_intensity(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale, shift and add noise to each sequence inside the brain; background stays 0."""
    count = len(images)
    shape = (count, *(1,) * (images.ndim - 1))
    scaled = images * rng.uniform(0.85, 1.15, shape) + rng.uniform(-0.15, 0.15, shape)
    noise = rng.standard_normal(images.shape, dtype=np.float32) * rng.uniform(0, 0.1, shape)
    return np.where(images != 0, scaled + noise, 0).astype(np.float32)
