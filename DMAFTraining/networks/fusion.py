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

from DMAFTraining.networks.blocks import (
    PatchPool,
    TransformerLayer,
    adaptive_pool,
    convolution,
    resize,
    subset_rows,
)


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

    def forward(self, features: Tensor, present: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """Fuse the features of some cases, each through its own subset of sequences.

        Args:
            features: ``(B, M, C, *S)``.
            present: ``(R, M)`` bool on the CPU.
            rows: the case that each row of ``present`` looks at.

        Returns:
            Per row, fused features ``(1, C, *S)``; a lone sequence is passed on as it is, without attention.
        """
        entries = subset_rows(features, present, rows)
        several = [r for r, row in enumerate(entries) if len(row) > 1]
        fused = [row[0] for row in entries]
        if several:
            weights = self.weights([entries[r] for r in several], present[several], [rows[r] for r in several])
            for r, shares, flags in zip(several, weights.split(1), present[several].tolist(), strict=True):
                chosen = [a for a, there in zip(shares.split(1, dim=1), flags, strict=True) if there]
                terms = [a * e for a, e in zip(chosen, entries[r], strict=True)]
                fused[r] = sum(terms[1:], terms[0])  # Eq. (3)
        return fused

    def weights(self, entries: Sequence[Sequence[Tensor]], present: Tensor, rows: Sequence[int]) -> Tensor:
        """Voxel-wise weight of each sequence ``(R, M, *S)``: zero if absent, 1 in sum.

        Args:
            entries: features ``(1, C, *S)`` of the present sequences of each row.
            present: ``(R, M)`` bool on the CPU.
            rows: the case of each row, by which equal entries are recognized.
        """
        like = entries[0][0]
        keys = present.to(like.device, non_blocking=True)
        scores = self._scores(self._row_tokens(entries, present, rows), keys)
        scores = resize(scores, like.shape[2:]) if tuple(like.shape[2:]) != self.grid else scores
        scores = scores.float().masked_fill(_spread(~keys, scores), float("-inf"))
        return F.softmax(scores, dim=1).to(like.dtype)

    def _scores(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Scores ``(R, M, *grid)`` of ``tokens (R, M * cells, C)``."""
        keys = present.repeat_interleave(tokens.shape[1] // present.shape[1], dim=1)
        for layer in self.layers:  # Eq. (2), absent sequences masked as keys and values
            tokens = layer(tokens, keys)
        return self.score(self.norm(tokens)).view(*present.shape, *self.grid)

    def _row_tokens(self, entries: Sequence[Sequence[Tensor]], present: Tensor, rows: Sequence[int]) -> Tensor:
        """Tokens ``(R, M * cells, C)``, zero where absent; those of one case and sequence are made once."""
        made: dict[tuple[int, int], Tensor] = {}
        for case, flags, row in zip(rows, present.tolist(), entries, strict=True):
            subset = (m for m, there in enumerate(flags) if there)
            for m, entry in zip(subset, row, strict=True):
                if (case, m) not in made:
                    made[case, m] = self._tokens(entry, m)
        absent = torch.zeros_like(next(iter(made.values())))
        places = range(present.shape[1])
        shown = [
            [made[case, m] if flags[m] else absent for m in places]
            for case, flags in zip(rows, present.tolist(), strict=True)
        ]
        return torch.cat([torch.cat(row, dim=1) for row in shown])

    def _tokens(self, features: Tensor, sequence: int) -> Tensor:
        """Tokens ``(1, cells, C)`` of one sequence's features, with place and sequence added."""
        pooled = adaptive_pool(self.gather(features), self.grid)
        return self.project(pooled).flatten(2).transpose(1, 2) + self.position[0] + self.identity[:, sequence]


def _spread(flags: Tensor, like: Tensor) -> Tensor:
    """Give ``flags (B, M)`` the trailing axes of ``like (B, M, *S)``."""
    return flags.view(*flags.shape, *(1 for _ in like.shape[2:]))
