"""In which numbers a network computes. What is summed over voxels or windows is always fp32."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from DMAFTraining.inference.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")
_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


def choose_precision(asked: str, device: torch.device) -> str:
    """``"fp32"`` or ``"bf16"``, from what the user asks for.

    ``"auto"`` is bf16 on a GPU that computes in it, and fp32 elsewhere: on a CPU the gain was measured
    and does not outweigh the small differences (docs/inference.md).

    Raises:
        InputError: an unknown name, or bf16 on a device that would only imitate it, slowly.
    """
    if asked not in PRECISIONS:
        raise InputError(f"The precision {asked!r} does not exist.", f"Choose one of {', '.join(PRECISIONS)}.")
    native = has_bf16(device)
    if asked == "bf16" and not native:
        raise InputError(f"This computer ({device}) does not compute in bf16.", "Choose the precision auto or fp32.")
    return "bf16" if asked == "bf16" or (asked == "auto" and native and device.type == "cuda") else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # an older PyTorch does not tell
        return any(known.get(name) for name in _CPU_INSTRUCTIONS)
    return False


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """A context in which networks on ``device`` compute in ``precision``."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
