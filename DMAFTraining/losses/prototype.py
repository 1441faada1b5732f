"""Prototype alignment: class means of single sequences follow those of the fused features (Eq. 9-10)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from DMAFTraining.losses.directions import unit
from DMAFTraining.networks.blocks import adaptive_pool


def class_weights(target: Tensor, size: Sequence[int]) -> Tensor:
    """Share of each class in each cell of a coarse grid: ``target (B, K, *S)`` one-hot to ``(B, K, *s)``.

    Averaging features with these weights is the same as up-sampling them to full resolution (nearest
    neighbor) and averaging over the voxels of the class: no small region is lost.
    """
    return adaptive_pool(target, size)


def prototypes(features: Tensor, weights: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Weighted mean ``(P, K, C)`` of ``features (P, C, *s)`` for each class of ``weights (P, K, *s)``."""
    weights = weights.flatten(2)
    return weights @ features.flatten(2).mT / (weights.sum(-1, keepdim=True) + epsilon)  # Eq. (9)


def prototype_distance(
    e: Tensor, f: Tensor, weights: Tensor, tau: float, epsilon: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """``(1 - cos(p_e, p_f)) / tau`` between the class prototypes of two feature maps, in fp32.

    As printed, Eq. (10) divides the cosine alone by tau, which is negative for tau < 1; at tau = 1 both
    readings agree. One minus the cosine is computed as half the squared distance of the directions:
    never negative, exactly 0 for equal features. A prototype of length zero, as that of a class
    without weight, has no direction: it counts as a zero vector and has no gradient.

    Args:
        e: student features ``(P, C, *s)``.
        f: teacher features ``(P, C, *s)``; detach them to keep the teacher still.
        weights: share of each class ``(P, K, *s)``, see :func:`class_weights`.
        tau: temperature above 0.
        epsilon: keeps a class without weight from dividing by zero.

    Returns:
        Distances ``(P, K)``, between 0 and 2 / tau, 0 where a class has no weight; and where it has
        some, ``(P, K)`` bool.

    Raises:
        ValueError: tau is not above 0.
    """
    if not tau > 0:
        raise ValueError(f"The temperature of the prototype distance should be above 0, not {tau}.")
    with torch.autocast(e.device.type, enabled=False):
        weights = weights.float()
        student = unit(prototypes(e.float(), weights, epsilon), -1)
        teacher = unit(prototypes(f.float(), weights, epsilon), -1)
        distance = (student - teacher).square().sum(-1) / (2 * tau)  # Eq. (10)
        return distance, weights.flatten(2).sum(-1) > 0
