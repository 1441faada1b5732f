"""Segmentation loss: soft Dice plus cross-entropy, with deep supervision (DMAF-Net Eq. 1).

Every loss gives one value per row ``(R,)``; callers take means and weights. Targets are float one-hot
``(R, K, *S)``: multiplying by them is faster on a CPU than gathering by integer labels, forward and back.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from DMAFTraining.losses.eager import at_least_float32, eager_rows
from DMAFTraining.losses.interpolation import LinearUpsampling
from DMAFTraining.networks.blocks import adaptive_pool

_EPSILON = 1e-7


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """``labels (B, *S)`` of integers below ``classes`` to float one-hot ``(B, K, *S)``."""
    values = torch.arange(classes, device=labels.device, dtype=labels.dtype)
    return (labels[:, None] == values.view(-1, *(1,) * (labels.dim() - 1))).float()


def dice_loss(overlap: Tensor, predicted: Tensor, true: Tensor) -> Tensor:
    """``1 - 1/K sum_c 2 sum_x p_c y_c / (sum_x p_c + sum_x y_c)``, background included.

    A class that is absent in the patch contributes the constant 1/K: a perfect prediction of
    background only (K = 4) costs 0.75.

    Args:
        overlap: ``sum_x p_c y_c`` per class ``(K,)``.
        predicted: ``sum_x p_c``.
        true: ``sum_x y_c``.
    """
    return 1 - (2 * overlap / (predicted + true + _EPSILON)).mean()


def cross_entropy_weights(counts: Tensor, voxels: int, weighted: bool = True) -> Tensor:
    """Weight of each class ``(K,)``: one minus its share of the patch, or 1 if not ``weighted``.

    A patch of background only has no weighted cross-entropy.
    """
    return 1 - counts / voxels if weighted else torch.ones_like(counts)


def segmentation_loss(logits: Tensor, target: Tensor, weighted: bool = True) -> Tensor:
    """Cross-entropy plus soft Dice of each row ``(R,)``.

    The cross-entropy is ``-1/N sum_x sum_c w_c y_c log p_c``, by log-softmax: it has a gradient
    however wrong the prediction is.

    Args:
        logits: ``(R, K, *S)``.
        target: one-hot, or shares of the classes, ``(R, K, *S)``.
        weighted: the papers' class weights, or the plain mean.

    Raises:
        ValueError: shapes differ.
    """
    if logits.shape != target.shape:
        raise ValueError(f"Target {tuple(target.shape)} and logits {tuple(logits.shape)} should have one shape.")

    def loss(row: int, z: Tensor) -> Tensor:
        y = target[row].flatten(1)
        counts, voxels = y.sum(1), y.shape[1]
        log_p = z.flatten(1).log_softmax(0)
        p = log_p.exp()
        weights = cross_entropy_weights(counts, voxels, weighted)
        cross_entropy = -torch.dot(weights, torch.linalg.vecdot(log_p, y)) / voxels
        return cross_entropy + dice_loss(torch.linalg.vecdot(p, y), p.sum(1), counts)

    return eager_rows(loss, logits)


def upsampled_segmentation_loss(logits: Tensor, target: Tensor, weighted: bool = True) -> Tensor:
    """The same loss of coarse logits, whose softmax is up-sampled linearly to the target's grid.

    Cross-entropy and Dice overlap need the up-sampled probability of the true class only; the sum of
    an up-sampled map follows from the coarse one.

    Args:
        logits: ``(R, K, *s)``.
        target: one-hot ``(R, K, *S)``.
        weighted: the papers' class weights, or the plain mean.

    Raises:
        ValueError: rows, classes or the number of axes differ.
    """
    if logits.shape[:2] != target.shape[:2] or logits.dim() != target.dim():
        raise ValueError(f"Target {tuple(target.shape)} and logits {tuple(logits.shape)} should have the same rows.")
    upsample = LinearUpsampling(logits.shape[2:], target.shape[2:], at_least_float32(logits))
    smallest = torch.finfo(torch.float32).tiny

    def loss(row: int, z: Tensor) -> Tensor:
        y = target[row].flatten(1)
        counts, voxels = y.sum(1), y.shape[1]
        p = z.softmax(0)
        p_true = (upsample(p).flatten(1) * y).sum(0)
        weights = cross_entropy_weights(counts, voxels, weighted)
        cross_entropy = -torch.dot(weights @ y, p_true.clamp(min=smallest).log()) / voxels
        return cross_entropy + dice_loss(y @ p_true, p.flatten(1) @ upsample.shares.flatten(), counts)

    return eager_rows(loss, logits)


def deep_supervision_loss(
    logits: Tensor, deep: Sequence[Tensor], target: Tensor, weighted: bool = True, upsample: bool = True
) -> Tensor:
    """Loss of the fused prediction: the main output plus ``2^-l`` times each coarser one ``(R,)``.

    The equation counts from l = 1 at the final output, which is at full resolution; l = 1 is read as
    the first coarse output, as in the code the paper builds on.

    Args:
        logits: ``(R, K, *S)``.
        deep: logits at ``S/2, S/4, ...``.
        target: one-hot ``(R, K, *S)``.
        weighted: the papers' class weights, or the plain mean.
        upsample: compare at full resolution, as published; otherwise the target is average-pooled to
            the coarse grid, which keeps small regions as soft labels and costs less.
    """
    loss = segmentation_loss(logits, target, weighted)  # Eq. (1)
    for level, coarse in enumerate(deep, start=1):
        if upsample:
            part = upsampled_segmentation_loss(coarse, target, weighted)
        else:
            part = segmentation_loss(coarse, adaptive_pool(target, coarse.shape[2:]), weighted)
        loss = loss + 2.0**-level * part
    return loss
