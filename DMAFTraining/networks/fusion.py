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

from DMAFTraining.networks import lean
from DMAFTraining.networks.blocks import (
    PatchPool,
    TransformerLayer,
    adaptive_pool,
    convolution,
    resize,
    subset_rows,
)
from DMAFTraining.networks.phases import dense

Tokens = dict[tuple[int, int], Tensor]
"""Tokens ``(1, cells, C)`` by case and sequence."""


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

    def forward(
        self, features: Tensor, present: Tensor, rows: Sequence[int], tokens: Tensor | None = None
    ) -> list[Tensor]:
        """Fuse the features of some cases, each through its own subset of sequences.

        Args:
            features: ``(B, M, C, *S)``.
            present: ``(R, M)`` bool on the CPU.
            rows: the case that each row of ``present`` looks at.
            tokens: those of the features, if they are there already, see :meth:`tokens`.

        Returns:
            Per row, fused features ``(1, C, *S)``; a lone sequence is passed on as it is, without attention.
        """
        entries = subset_rows(features, present, rows)
        several = [r for r, row in enumerate(entries) if len(row) > 1]
        fused = [row[0] for row in entries]
        if several:
            cases = [rows[r] for r in several]
            weights = self.weights([entries[r] for r in several], present[several], cases, tokens)
            for r, shares, flags in zip(several, weights.split(1), present[several].tolist(), strict=True):
                chosen = [a for a, there in zip(shares.split(1, dim=1), flags, strict=True) if there]
                fused[r] = _sum(chosen, entries[r])
        return fused

    def tokens(self, features: Tensor, present: Tensor) -> Tensor:
        """Tokens ``(B, M, cells, C)`` of ``features (B, M, C, *S)`` where ``present (B, M)``, zero elsewhere."""
        found = {(b, m): self._tokens(features[b, m][None], m) for b, m in present.nonzero().tolist()}
        absent = torch.zeros_like(next(iter(found.values())))
        places = ((b, m) for b in range(len(present)) for m in range(present.shape[1]))
        return torch.cat([found.get(place, absent) for place in places]).unflatten(0, present.shape)

    def weights(
        self,
        entries: Sequence[Sequence[Tensor]],
        present: Tensor,
        rows: Sequence[int],
        tokens: Tensor | None = None,
    ) -> Tensor:
        """Voxel-wise weight of each sequence ``(R, M, *S)``: zero if absent, 1 in sum.

        Args:
            entries: features ``(1, C, *S)`` of the present sequences of each row.
            present: ``(R, M)`` bool on the CPU.
            rows: the case of each row, by which equal entries are recognized.
            tokens: as in :meth:`forward`.
        """
        like, size = entries[0][0], entries[0][0].shape[2:]
        keys = present.to(like.device, non_blocking=True)
        made = self._made_tokens(entries, present, rows) if tokens is None else _by_place(tokens)
        if lean.is_lean(like):
            scores = lean.resize(self._scores_of_present(made, present, rows), size)
        else:
            scores = self._scores(_row_tokens(made, present, rows), keys)
            scores = resize(scores, size) if tuple(size) != self.grid else scores
        scores = scores.float().masked_fill(_spread(~keys, scores), float("-inf"))
        return F.softmax(scores, dim=1).to(like.dtype)

    def _scores(self, tokens: Tensor, keys: Tensor | None) -> Tensor:
        """Scores ``(R, M, *grid)`` of ``tokens (R, M * cells, C)``; none attends those with ``keys (R, M)`` False."""
        cells = math.prod(self.grid)
        heard = None if keys is None else keys.repeat_interleave(cells, dim=1)
        for layer in self.layers:  # Eq. (2), absent sequences masked as keys and values
            tokens = layer(tokens, heard)
        return self.score(self.norm(tokens)).view(len(tokens), -1, *self.grid)

    def _scores_of_present(self, tokens: Tokens, present: Tensor, rows: Sequence[int]) -> Tensor:
        """:meth:`_scores` that leaves absent sequences out: rows with equally many run together, without a mask."""
        subsets = [[m for m, there in enumerate(flags) if there] for flags in present.tolist()]
        like = next(iter(tokens.values()))
        scores = like.new_zeros(*present.shape, *self.grid, dtype=torch.float32)
        for count in sorted({len(subset) for subset in subsets}):
            these = [r for r, subset in enumerate(subsets) if len(subset) == count]
            batch = torch.cat([torch.cat([tokens[rows[r], m] for m in subsets[r]], dim=1) for r in these])
            for r, found in zip(these, self._scores(batch, None), strict=True):
                scores[r, subsets[r]] = found.float()
        return scores

    def _made_tokens(self, entries: Sequence[Sequence[Tensor]], present: Tensor, rows: Sequence[int]) -> Tokens:
        """Tokens of each case and sequence that a row shows, made once."""
        made: Tokens = {}
        for case, flags, row in zip(rows, present.tolist(), entries, strict=True):
            subset = (m for m, there in enumerate(flags) if there)
            for m, entry in zip(subset, row, strict=True):
                if (case, m) not in made:
                    made[case, m] = self._tokens(entry, m)
        return made

    def _tokens(self, features: Tensor, sequence: int) -> Tensor:
        """Tokens ``(1, cells, C)`` of one sequence's features, with place and sequence added."""
        pooled = adaptive_pool(self.gather(features), self.grid)
        return self.project(pooled).flatten(2).transpose(1, 2) + self.position[0] + self.identity[:, sequence]


def _by_place(tokens: Tensor) -> Tokens:
    return {(b, m): entry[None] for b, case in enumerate(tokens) for m, entry in enumerate(case)}


def _row_tokens(made: Tokens, present: Tensor, rows: Sequence[int]) -> Tensor:
    """Tokens ``(R, M * cells, C)`` of each row, zero where absent."""
    absent = torch.zeros_like(next(iter(made.values())))
    places = range(present.shape[1])
    shown = [
        [made[case, m] if flags[m] else absent for m in places]
        for case, flags in zip(rows, present.tolist(), strict=True)
    ]
    return torch.cat([torch.cat(row, dim=1) for row in shown])


def _sum(weights: Sequence[Tensor], entries: Sequence[Tensor]) -> Tensor:
    """Eq. (3): the entries ``(1, C, *S)``, each times its weights ``(1, 1, *S)``, added up."""
    if lean.is_lean(entries[0]):
        return lean.weighted_sum(weights, [dense(e) for e in entries])
    terms = [a * e for a, e in zip(weights, entries, strict=True)]
    return sum(terms[1:], terms[0])


def _spread(flags: Tensor, like: Tensor) -> Tensor:
    """Give ``flags (B, M)`` the trailing axes of ``like (B, M, *S)``."""
    return flags.view(*flags.shape, *(1 for _ in like.shape[2:]))
