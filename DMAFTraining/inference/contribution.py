"""How much each sequence counted in the fusion, voxel by voxel: the weights of DMAF as shares of 1.

The weights say what the network mixed, not why it decided: a sequence with a small weight may have
decided, and one with a large weight may have added nothing. What a sequence changes is told by
leaving it out (:mod:`DMAFTraining.inference.attribution`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.preprocessing import PreparedCase
from DMAFTraining.inference.segmenter import Segmenter, on_native_part
from DMAFTraining.inference.slices import segment_slices
from DMAFTraining.networks.base import Features, SegmentationNetwork
from DMAFTraining.networks.dmafnet import DMAFNet

_BRAIN = 0.5  # sum of the interpolated shares from which a voxel counts as brain


class FusionShares(nn.Module):
    """A network whose classes are the sequences and whose answer is their weights in the fusion of another network.

    It has what the :class:`~DMAFTraining.inference.engine.Engine` asks of a segmentation network and nothing more.

    Args:
        network: a network that weighs sequences against each other.

    Raises:
        InputError: it does not.
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        if not isinstance(network, DMAFNet):
            raise InputError(
                "Contribution maps are the fusion weights of DMAF-Net, which this model does not have.",
                "Leave the map 'contribution' out, or choose a DMAF-Net model.",
            )
        self.network = network
        self.config = replace(network.config, classes=network.config.modalities)

    def encode(self, images: Tensor, present: Tensor) -> Features:
        """See :meth:`SegmentationNetwork.encode`."""
        return self.network.encode(images, present)

    def decode(self, features: Features, present: Tensor) -> Tensor:
        """Logarithm of the weights ``(R, M, *S)``: the softmax that follows gives the weights back."""
        return self.network.fusion_weights(features, present).log()


def brain_shares(weights: Tensor, sequences: Sequence[int]) -> NDArray[np.float32]:
    """Shares ``(n, *S)`` of some sequences that are 1 in sum in the brain and 0 around it.

    Args:
        weights: ``(M, *S)`` of all sequences, interpolated; less than 1 in sum where the brain ends.
        sequences: those that exist.
    """
    chosen = weights[list(sequences)]
    total = chosen.sum(dim=0)
    shares: NDArray[np.float32] = torch.where(total > _BRAIN, chosen / total, 0).to(torch.float32).cpu().numpy()
    return shares


def sequence_shares(
    segmenter: Segmenter, case: PreparedCase, on_progress: Callable[[float], None] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Share of each sequence of a case in the fusion of all of them, ``(I, J, K)`` on the reference grid, by name.

    At every voxel of the brain they are 1 in sum; around it they are 0. They come from the finest level
    of the network and are smooth: each window has a few weights along an axis, interpolated in between.

    Raises:
        InputError: see :class:`FusionShares`.
    """
    metadata = segmenter.metadata
    network = cast(SegmentationNetwork, FusionShares(segmenter.bundle.network))
    engine = Engine(network, segmenter.device, segmenter.precision)
    run = partial(segment_slices, engine) if metadata.preprocessing.slice_size else engine.probabilities
    flags = metadata.modalities.flags(case.available)
    window = metadata.window
    (weights,) = run(torch.from_numpy(case.images), [flags], window.patch, window.overlap, on_tile=on_progress)
    brain = torch.from_numpy((case.images != 0).any(axis=0)).to(weights)
    order = [metadata.modalities.index(name) for name in case.available.names]
    part = brain_shares(on_native_part(weights * brain, case), order)
    whole = np.zeros((len(order), *case.native.size), np.float32)
    whole[(slice(None), *(slice(start, stop) for start, stop in case.native_box))] = part
    return dict(zip(case.available.names, whole, strict=True))
