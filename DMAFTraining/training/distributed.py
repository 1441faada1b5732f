"""One process or many: what ``torchrun`` says, and the few sums that ranks share."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.segmenter import choose_device

_TIMEOUT = timedelta(hours=2)  # rank 0 may prepare a whole data set while the others wait


def start(device: str) -> torch.device:
    """Join the process group if ``torchrun`` started this process; returns the device of this rank.

    Raises:
        ValueError: the device does not exist here.
    """
    cuda = torch.cuda.is_available() and device in ("auto", "cuda")
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo", timeout=_TIMEOUT)
    if cuda:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(chosen)
        return chosen
    try:
        return choose_device(device)
    except InputError as error:
        raise ValueError(f"{error} {error.hint}") from error


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 if it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def wait() -> None:
    """Wait until every rank is here."""
    if dist.is_initialized():
        dist.barrier()


def mean(values: Tensor) -> Tensor:
    """Mean of a tensor over the ranks."""
    if dist.is_initialized():
        values = values.clone()
        dist.all_reduce(values)
        values /= dist.get_world_size()
    return values


def any_rank(flag: bool, device: torch.device) -> bool:
    """True on every rank if it is True on one."""
    if not dist.is_initialized():
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value)


def gather(states: dict[str, Tensor], device: torch.device) -> list[dict[str, Tensor]]:
    """The same named tensors of every rank, in order of rank, on the CPU."""
    if not dist.is_initialized():
        return [states]
    ranks: list[dict[str, Tensor]] = [{} for _ in range(world())]
    for name, tensor in states.items():
        everyone = [torch.empty_like(tensor, device=device) for _ in ranks]
        dist.all_gather(everyone, tensor.to(device))
        for state, value in zip(ranks, everyone, strict=True):
            state[name] = value.cpu()
    return ranks
