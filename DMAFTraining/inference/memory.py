"""What a case needs in memory, how its work is cut to fit, and what to give up when memory runs out all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from DMAFTraining.inference.devices import memory
from DMAFTraining.networks.base import NetworkConfig

HOST = torch.device("cpu")

_FULL_MAPS_ENCODE = 8
"""Maps of the full resolution, ``width`` channels each, that encoding one sequence needs at its peak (measured)."""
_FULL_MAPS_DECODE = 16
"""The same for one row of a decoder."""
_FULL_MAPS_KEPT = 3
"""The same for the features of one sequence, all levels together."""
_HOST_BYTES = 3 * 2**29
_DEVICE_SHARE = 0.8
_MOST_ROWS = 8
_SMALL_WORK = 2**25
"""Bytes of decoding up to which rows together are faster on a CPU: above, maps are worked on one by one in any case."""
_FEW_SUBSETS = 4


@dataclass(frozen=True)
class Need:
    """Bytes of the parts of a case.

    Attributes:
        encode: for one window, at the peak.
        decode: for one window and one subset, at the peak.
        features: of one window, to keep for later subsets.
        total: probabilities of one subset on the whole grid.
    """

    encode: int
    decode: int
    features: int
    total: int


@dataclass(frozen=True)
class Plan:
    """How the work on a case is cut; it changes the order of the work, not the results.

    Attributes:
        device: where the network runs.
        blend_on: where probabilities of windows are added up.
        rows: windows encoded together, or subsets of one window decoded together.
        keep: features of all windows stay in memory, so that each is encoded once.
        first: subsets in the first group; a group is finished before the next one begins.
        group: subsets in every later group.
    """

    device: torch.device
    blend_on: torch.device
    rows: int
    keep: bool
    first: int
    group: int


def case_need(config: NetworkConfig, grid: Sequence[int], window: Sequence[int], itemsize: int) -> Need:
    """Estimate of what a case needs.

    Args:
        config: of the network.
        grid: size of the part of the case that is segmented, in voxels.
        window: size of a window in voxels.
        itemsize: bytes per number inside the network.
    """
    full_map = config.width * math.prod(window) * itemsize
    return Need(
        _FULL_MAPS_ENCODE * full_map * config.modalities,
        _FULL_MAPS_DECODE * full_map,
        _FULL_MAPS_KEPT * full_map * config.modalities,
        4 * config.classes * math.prod(grid),
    )


def plan_work(need: Need, windows: int, subsets: int, device: torch.device, budget: int) -> Plan:
    """Cut the work on a case so that it stays within ``budget`` bytes, as far as that can be.

    With the features kept, subsets come one after the other, the first as soon as it can be. Without,
    all windows are encoded again for every group of subsets, so groups are as large as memory allows.

    Args:
        need: see :func:`case_need`.
        windows: how many windows the case has.
        subsets: how many subsets are asked for.
        device: where the network runs.
        budget: see :func:`free_bytes`.
    """
    rows = max(1, min(_MOST_ROWS, budget // 2 // max(need.encode, need.decode)))
    if device.type == "cpu":
        rows = max(1, min(rows, _SMALL_WORK // need.decode))
    left = budget - max(rows * need.encode, need.encode + rows * need.decode)
    blend_on = device if need.total <= left else HOST
    if subsets > 1 and windows * need.features + rows * need.total <= left:
        return Plan(device, blend_on, rows, keep=True, first=1, group=rows)
    group = max(1, min(subsets, left // need.total if blend_on == device else _HOST_BYTES // need.total))
    alone = subsets > _FEW_SUBSETS  # then encoding twice costs little beside decoding
    return Plan(device, blend_on, rows, keep=False, first=1 if alone else group, group=group)


def free_bytes(device: torch.device) -> int:
    """What a case may use on a device: most of a free GPU, or a fixed amount of the computer's memory."""
    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(_DEVICE_SHARE * (torch.cuda.mem_get_info(device)[0] + reusable))
    free, _ = memory()
    return _HOST_BYTES if free is None else min(_HOST_BYTES, free // 2)


def step_down(plan: Plan) -> tuple[Plan, str] | None:
    """The next plan to try when memory ran out, with a sentence for the user; None if nothing is left to give up."""
    smallest = replace(plan, rows=1, keep=False, first=1, group=1)
    if plan != smallest:
        return smallest, "Memory ran out; the work goes on in smaller pieces and takes longer."
    if plan.blend_on != HOST:
        return replace(plan, blend_on=HOST), f"The memory of {plan.device} ran out; results are collected elsewhere."
    if plan.device != HOST:
        return replace(plan, device=HOST), f"The memory of {plan.device} ran out; the processor goes on, more slowly."
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device; PyTorch has a type for it only on some."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
