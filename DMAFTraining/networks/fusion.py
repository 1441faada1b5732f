"""Dynamic modality-aware fusion (DMAF) of one feature level.

Source: DMAF-Net (arXiv:2506.11691), Eq. (2) and (3). The paper leaves token grid, width, heads and
position codes open; the defaults here are the project's reading, listed in docs/dmafnet.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.networks.blocks import PatchPool, TransformerLayer, adaptive_pool, convolution, resize


class DMAF(nn.Module):
    """Weigh the sequences against each other at every voxel and add them up.

    Each sequence's features are pooled to a small grid of tokens; tokens of all present sequences
    attend to each other; each token then says how much its sequence counts at its place. Weights
    are a softmax over the present sequences, so they sum to 1 and a lone sequence passes unchanged.

    Args:
        dims: 2 or 3.
        channels: feature width C of this level.
        modalities: number of sequences M.
        grid: token grid, one size per axis.
        stride: side of the patch that one token summarizes before pooling to the grid.
        layers: transformer layers.
        heads: attention heads.
        mlp_ratio: hidden width of the feed-forward part over C.
        dropout: dropout of the transformer.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        modalities: int,
        grid: Sequence[int],
        stride: int,
        layers: int,
        heads: int,
        mlp_ratio: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.grid = tuple(grid)
        cells = math.prod(self.grid)
        self.gather = PatchPool(dims, channels, stride)
        self.project = convolution(dims, channels, channels, 1)
        self.position = nn.Parameter(torch.zeros(1, 1, cells, channels))
        self.identity = nn.Parameter(torch.zeros(1, modalities, 1, channels))
        self.layers = nn.ModuleList(TransformerLayer(channels, heads, mlp_ratio, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.score = nn.Linear(channels, 1)
        nn.init.zeros_(self.score.weight)  # start as the plain mean of the present sequences
        nn.init.zeros_(self.score.bias)

    def forward(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse ``features (B or 1, M, C, *S)`` for each row of ``present (B, M)``.

        Returns:
            The fused features ``(B, C, *S)`` and the weights ``a_m (B, M, *S)``.
        """
        weights = self.weights(features, present)
        terms = [w.unsqueeze(1) * e for w, e in zip(weights.unbind(1), features.unbind(1), strict=True)]
        return sum(terms[1:], terms[0]), weights  # Eq. (3)

    def weights(self, features: Tensor, present: Tensor) -> Tensor:
        """Voxel-wise weight of each sequence ``(B, M, *S)``: zero if absent, 1 in sum."""
        size = features.shape[3:]
        scores = self._scores(features, present)  # (B, M, *grid)
        scores = resize(scores, size) if tuple(size) != self.grid else scores
        scores = scores.float().masked_fill(_spread(~present, scores), float("-inf"))
        return F.softmax(scores, dim=1).to(features.dtype)

    def _scores(self, features: Tensor, present: Tensor) -> Tensor:
        batch, modalities = present.shape
        tokens = self._tokens(features).expand(batch, -1, -1, -1).flatten(1, 2)  # (B, M * cells, C)
        keys = present.repeat_interleave(tokens.shape[1] // modalities, dim=1)
        for layer in self.layers:  # Eq. (2), absent sequences masked as keys and values
            tokens = layer(tokens, keys)
        return self.score(self.norm(tokens)).view(batch, modalities, *self.grid)

    def _tokens(self, features: Tensor) -> Tensor:
        """Tokens ``(B, M, cells, C)`` of the features, with place and sequence added."""
        batch, modalities = features.shape[:2]
        pooled = adaptive_pool(self.gather(features.flatten(0, 1)), self.grid)
        tokens = self.project(pooled).flatten(2).transpose(1, 2)
        return tokens.unflatten(0, (batch, modalities)) + self.position + self.identity


def _spread(flags: Tensor, like: Tensor) -> Tensor:
    """Give ``flags (B, M)`` the trailing axes of ``like (B, M, *S)``."""
    return flags.view(*flags.shape, *(1 for _ in like.shape[2:]))
