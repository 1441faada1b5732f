"""Maps beside the labels: how sure a model is, voxel by voxel."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray


def normalized_entropy(probabilities: torch.Tensor) -> NDArray[np.float32]:
    """Shannon entropy of the classes over its highest value: ``-sum_k p_k log p_k / log K``, from 0 to 1.

    0 means all probability is on one class, 1 that all classes are equally probable. It measures
    how undecided the model is, not how often it is wrong.

    Args:
        probabilities: ``(K, *S)``, not negative. Each voxel is divided by its sum, as next to the
            brain interpolation leaves less than 1; where all are 0 the entropy is 0.

    Returns:
        ``(*S)`` float32.
    """
    total = probabilities.sum(dim=0)
    shares = probabilities / total.clamp_min(torch.finfo(total.dtype).tiny)
    entropy = torch.special.entr(shares).sum(dim=0) / math.log(len(probabilities))
    result: NDArray[np.float32] = entropy.clamp(0, 1).to(torch.float32).cpu().numpy()
    return result
