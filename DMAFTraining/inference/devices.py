"""Where a model can run on this computer: processors and graphics cards, their free memory, and whether they work."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from DMAFTraining.inference.job import PROTOCOL


def describe_devices() -> dict[str, Any]:
    """The devices of this computer, the processor last; a card that is there and does not work is listed too.

    Returns:
        ``schema``, ``python``, ``torch`` (versions) and ``devices``: for each the ``value`` that ``--device`` takes,
        ``kind`` (cuda, mps, cpu), ``index``, ``name``, ``total_bytes`` and ``free_bytes`` (None when unknown),
        ``threads`` (processor only), ``precisions``, ``works`` and, when it does not, ``problem``.
    """
    cards = [_cuda(index) for index in range(torch.cuda.device_count())]
    apple = [_mps()] if torch.backends.mps.is_available() else []
    return {
        "schema": PROTOCOL,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "devices": [*cards, *apple, _cpu()],
    }


def self_test(device: str) -> str:
    """Run one small convolution there; returns the problem, or "" when the result is right."""
    try:
        ones = torch.ones((1, 1, 3, 3, 3), device=device)
        result = float(torch.nn.functional.conv3d(ones, ones).item())
    except (RuntimeError, AssertionError) as error:  # torch raises these for missing kernels, drivers and memory
        return str(error).strip().split("\n")[0] or type(error).__name__
    return "" if result == 27 else f"A test convolution gave {result} instead of 27."


def _cuda(index: int) -> dict[str, Any]:
    value = f"cuda:{index}"
    problem = self_test(value)
    free, total = (None, None) if problem else torch.cuda.mem_get_info(index)
    half = ["bfloat16"] if not problem and torch.cuda.get_device_capability(index) >= (8, 0) else []
    entry = {"value": value, "kind": "cuda", "index": index, "name": torch.cuda.get_device_name(index)}
    return entry | _state(free, total, ["float32", "float16", *half], problem)


def _mps() -> dict[str, Any]:
    entry = {"value": "mps", "kind": "mps", "index": 0, "name": "Apple graphics"}
    free, total = memory()  # shared with the processor
    return entry | _state(free, total, ["float32", "float16"], self_test("mps"))


def _cpu() -> dict[str, Any]:
    entry = {"value": "cpu", "kind": "cpu", "index": 0, "name": platform.processor() or platform.machine()}
    free, total = memory()
    return entry | _state(free, total, ["float32", "bfloat16"], self_test("cpu")) | {"threads": torch.get_num_threads()}


def _state(free: int | None, total: int | None, precisions: list[str], problem: str) -> dict[str, Any]:
    state = {"free_bytes": free, "total_bytes": total, "precisions": precisions, "works": not problem}
    return state | ({"problem": problem} if problem else {})


def memory() -> tuple[int | None, int | None]:
    """Free and total memory of the computer in bytes; None for what the system does not tell."""
    readers: dict[str, Callable[[], tuple[int | None, int | None]]] = {"linux": _linux_memory, "win32": _windows_memory}
    try:
        return readers.get(sys.platform, _posix_memory)()
    except (OSError, ValueError, AttributeError, KeyError):
        return None, None


def _linux_memory() -> tuple[int, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines}
    return 1024 * kilobytes["MemAvailable:"], 1024 * kilobytes["MemTotal:"]


def _posix_memory() -> tuple[None, int]:
    return None, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    )


def _windows_memory() -> tuple[int, int]:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # type: ignore[attr-defined]
        raise OSError("GlobalMemoryStatusEx failed")
    return status.free, status.total
