"""Segmentation loss: soft Dice plus cross-entropy, with deep supervision (DMAF-Net Eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

_EPSILON = 1e-7


def soft_dice(probabilities: Tensor, target: Tensor) -> Tensor:
    """One minus the mean soft Dice over classes, background included, averaged over the batch.

    ``1 - 1/K sum_c 2 sum_x p_c y_c / (sum_x p_c + sum_x y_c)``. A class that is absent in the patch
    contributes the constant 1/K: a perfect prediction of background only (K = 4) costs 0.75.

    Args:
        probabilities: ``(B, K, *S)``.
        target: one-hot ``(B, K, *S)``.
    """
    overlap = (probabilities * target).flatten(2).sum(-1)
    total = (probabilities.flatten(2).sum(-1) + target.flatten(2).sum(-1)) + _EPSILON
    return 1 - (2 * overlap / total).mean()


def cross_entropy(log_probabilities: Tensor, target: Tensor, weighted: bool = True) -> Tensor:
    """Mean cross-entropy over voxels; ``weighted`` multiplies class c by one minus its share.

    The share of a class is counted per sample: ``w_c = 1 - n_c / n``, so a patch of background only
    costs nothing.

    Args:
        log_probabilities: ``(B, K, *S)``.
        target: one-hot ``(B, K, *S)``.
        weighted: the papers' class weights, or the plain mean.
    """
    per_class = -(log_probabilities * target).flatten(2).mean(-1)  # (B, K)
    if weighted:
        per_class = per_class * (1 - target.flatten(2).mean(-1))
    return per_class.sum(1).mean()


def segmentation_loss(logits: Tensor, target: Tensor, weighted: bool = True) -> Tensor:
    """Cross-entropy plus soft Dice of ``logits (B, K, *S)`` against one-hot ``target``, in fp32."""
    log_probabilities = F.log_softmax(logits.float(), dim=1)
    return cross_entropy(log_probabilities, target, weighted) + soft_dice(log_probabilities.exp(), target)


def deep_supervision_loss(logits: Tensor, deep: Sequence[Tensor], target: Tensor, weighted: bool = True) -> Tensor:
    """Fused loss: the main output plus ``2^-l`` times each coarser one (Eq. 1).

    The paper up-samples coarse predictions; with l = 1 for the first coarse output, as in the code
    it builds on. Here the one-hot target is average-pooled to the coarse grid instead, which
    keeps small regions as soft labels and costs 8^l times less; the weights are the paper's.

    Args:
        logits: ``(B, K, *S)``.
        deep: logits at ``S/2, S/4, ...``.
        target: one-hot ``(B, K, *S)``, float.
    """
    loss = segmentation_loss(logits, target, weighted)
    for level, coarse in enumerate(deep, start=1):
        pool = F.avg_pool3d if target.dim() == 5 else F.avg_pool2d
        loss = loss + 2.0**-level * segmentation_loss(coarse, pool(target, 2**level), weighted)
    return loss


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """``labels (B, *S)`` of integers to float one-hot ``(B, K, *S)``."""
    return F.one_hot(labels.long(), classes).movedim(-1, 1).float()
