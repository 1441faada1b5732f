"""One rank of a strategy's steps, in a module of its own so that a new process can import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist

from DMAFTraining.balancing import STRATEGY_NAMES
from tiny_training import double_precision, part, tiny_backbone, tiny_sample

STEPS = (["1110", "0101"], ["0100", "1011"])
"""Sequences of the two cases of each global batch; a rank of two has one of them."""


def run_rank(rank: int, world: int, names: Sequence[str], folder: str) -> None:
    """Take the steps of each strategy as one of ``world`` ranks; writes what came out to files."""
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    for name in names:
        torch.save(_run(rank, world, name), Path(folder) / f"{name}-{rank}-of-{world}.pt")
    if world > 1:
        dist.destroy_process_group()


def _run(rank: int, world: int, name: str) -> dict[str, object]:
    network = tiny_backbone(dims=2)
    batches = [tiny_sample(rows, dims=2, seed=seed) for seed, rows in enumerate(STEPS)]
    strategy, batches = double_precision(STRATEGY_NAMES[name](), network, batches)
    parameters = [p for p in (*network.parameters(), *strategy.parameters()) if p.requires_grad]
    losses = []
    for sample in batches:
        loss = strategy(network, sample if world == 1 else part(sample, rank)).total
        loss.backward()
        losses.append(average(loss.detach().clone(), world))
        for p in parameters:
            p.grad = average(torch.zeros_like(p) if p.grad is None else p.grad, world)
        strategy.scale_gradients(network)
        gradients = [p.grad for p in parameters]
        with torch.no_grad():
            for p in parameters:
                p -= 1e-3 * p.grad
                p.grad = None
    strategy.end_epoch(0)
    return {"losses": torch.stack(losses), "gradients": gradients, "strategy": strategy.state_dict()}


def average(value: torch.Tensor, world: int) -> torch.Tensor:
    """Mean over the ranks, as data-parallel training takes of gradients."""
    if world > 1:
        dist.all_reduce(value)
        value /= world
    return value
