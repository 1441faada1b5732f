"""Logits at sampled voxels, before a temperature divides them.

Inference divides the logits of each window by the temperature and then blends the probabilities of all
windows over a voxel. So a voxel is kept with the logits and the blending share of every window over it, and its
probability can be computed for any temperature, exactly as inference does on the model's working grid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import softmax
from torch import Tensor

from DMAFTraining.evaluation.case_scores import EvaluationCase
from DMAFTraining.inference.precision import computing_in
from DMAFTraining.inference.preprocessing import PreparedCase
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.inference.tiles import cut_tiles, gaussian_weights
from DMAFTraining.modalities import Subset

Piece = tuple[int, NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Number of the subset; logits, shares and voxel numbers of one window."""


@dataclass(frozen=True)
class Samples:
    """V sampled voxels of one subset, with E >= V logits of windows.

    Attributes:
        logits: ``(E, K)``, of one window at one voxel.
        shares: ``(E,)``, weight of the window in the blend; those of a voxel sum to 1.
        voxels: ``(E,)``, number of the voxel, 0 to V - 1.
        truth: ``(V,)``, class of each voxel.
    """

    logits: NDArray[np.float32]
    shares: NDArray[np.float32]
    voxels: NDArray[np.int64]
    truth: NDArray[np.int64]

    def probabilities(self, temperature: float) -> NDArray[np.float64]:
        """Class probabilities ``(V, K)`` as inference blends them."""
        weighted = softmax(self.logits / temperature, axis=1) * self.shares[:, None]
        count = len(self.truth)
        columns = [np.bincount(self.voxels, weights=column, minlength=count) for column in weighted.T]
        return np.stack(columns, axis=1)

    def surprise(self, temperature: float) -> float:
        """Sum over voxels of the negative logarithm of the probability of the truth."""
        right = self.probabilities(temperature)[np.arange(len(self.truth)), self.truth]
        return float(-np.log(np.maximum(right, np.finfo(np.float64).tiny)).sum())


def joined(parts: list[Samples]) -> Samples:
    """The samples of several cases as one."""
    first = np.cumsum([0, *(len(part.truth) for part in parts[:-1])])
    return Samples(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.shares for part in parts]),
        np.concatenate([part.voxels + start for part, start in zip(parts, first, strict=True)]),
        np.concatenate([part.truth for part in parts]),
    )


def sample_case(
    segmenter: Segmenter, case: EvaluationCase, count: int, rng: np.random.Generator
) -> dict[Subset, Samples]:
    """Logits of every subset that a case has, at the same voxels.

    The voxels are drawn evenly from the brain (what any sequence shows) on the working grid. A subset keeps
    those of them that its own sequences show: elsewhere inference says background whatever the temperature.

    Args:
        segmenter: the model; its own temperatures are not used.
        case: with its truth, which is read at the nearest voxel of the working grid.
        count: voxels to draw; all of the brain if it has fewer.
        rng: draws them.
    """
    prepared = segmenter.prepare(case.volumes)
    modalities = segmenter.metadata.modalities
    subsets = modalities.subsets(prepared.available)
    flags = torch.tensor([modalities.flags(subset) for subset in subsets])
    numbers, truth = _draw(prepared, truth_on_working_grid(case, prepared), count, rng)
    pieces: dict[int, list[Piece]] = defaultdict(list)
    for piece in _pieces(segmenter, torch.from_numpy(prepared.images), numbers, flags):
        pieces[piece[0]].append(piece)
    return {subsets[row]: _samples(found, truth) for row, found in sorted(pieces.items())}


def truth_on_working_grid(case: EvaluationCase, prepared: PreparedCase) -> NDArray[np.uint8]:
    """Labels of the truth at the voxels of the working grid ``(X, Y, Z)``, the nearest; 0 outside."""
    to_native = np.linalg.inv(prepared.native.ijk_to_ras) @ prepared.grid.ijk_to_ras
    matrix, offset = to_native[:3, :3], to_native[:3, 3]
    labels: NDArray[np.uint8] = ndimage.affine_transform(
        case.labels, matrix, offset, output_shape=prepared.grid.size, order=0, mode="constant"
    )
    return labels


def _draw(
    prepared: PreparedCase, labels: NDArray[np.uint8], count: int, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64]]:
    """Numbers ``(*S)`` of the drawn voxels from 1 on, 0 elsewhere; and the class of each."""
    brain = np.flatnonzero((prepared.images != 0).any(axis=0))
    chosen = np.sort(rng.choice(brain, min(count, len(brain)), replace=False))
    numbers = np.zeros(labels.size, np.int64)
    numbers[chosen] = np.arange(1, len(chosen) + 1)
    return torch.from_numpy(numbers.reshape(labels.shape)), labels.ravel()[chosen].astype(np.int64)


def _pieces(segmenter: Segmenter, images: Tensor, numbers: Tensor, flags: Tensor) -> Iterator[Piece]:
    """Pieces of a volume, or of each of its slices for a network that sees slices."""
    if segmenter.metadata.preprocessing.slice_size is None:
        yield from _pieces_of(segmenter, images, numbers, flags)
        return
    for plane, own in zip(images.unbind(-1), numbers.unbind(-1), strict=True):
        yield from _pieces_of(segmenter, plane, own, flags)


@torch.inference_mode()
def _pieces_of(segmenter: Segmenter, images: Tensor, numbers: Tensor, flags: Tensor) -> Iterator[Piece]:
    """Pieces of ``images (M, *S)``; a subset is segmented from those of its sequences that show something."""
    if not bool(numbers.any()):
        return
    network, device, window = segmenter.bundle.network, segmenter.device, segmenter.metadata.window
    available = images.flatten(1).any(dim=1)
    tiles = cut_tiles(images, available, window.patch, window.overlap)
    drawn, weights = tiles.part(numbers[None])[0], gaussian_weights(window.patch)
    for place in tiles.places:
        part, own = tiles.images[(slice(None), *place)], drawn[place]
        with computing_in("fp32", device):
            features = network.encode(part[None].to(device), available[None])
        for row, flag in enumerate(flags & available):
            here = (own > 0) & (part[flag] != 0).any(dim=0)
            if not bool(here.any()):
                continue
            with computing_in("fp32", device):
                logits = network.decode(features, flag[None])[0].cpu()
            shares = weights[here] / tiles.mass[place][here]
            yield row, logits[:, here].T.float().numpy(), shares.numpy(), own[here].numpy() - 1


def _samples(pieces: list[Piece], truth: NDArray[np.int64]) -> Samples:
    _, logits, shares, numbers = zip(*pieces, strict=True)
    used, voxels = np.unique(np.concatenate(numbers), return_inverse=True)
    return Samples(np.concatenate(logits), np.concatenate(shares), voxels, truth[used])
