"""Keeps freed memory in the process, so that the next large array does not have to be mapped in again.

glibc gives every freed block above 128 kB (later above 32 MB at most) back to the system, and gets each new one as
pages that the kernel clears when they are first touched. With arrays of 20 to 200 MB, one after the other, as in the
segmentation of a case from all subsets, that took a third of the time (docs/inference.md).
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library not to return freed memory to the system before the process ends.

    For processes that compute and leave: how much they hold stays at their peak. Call it before large arrays exist.

    Returns:
        Whether this C library can do so; others than glibc are left as they are.
    """
    if sys.platform != "linux":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(_M_MMAP_MAX, 0)) and bool(set_option(_M_TRIM_THRESHOLD, _LARGEST))
