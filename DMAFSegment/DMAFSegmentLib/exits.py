"""Why a worker process ended without saying so: exit codes and last words, put into sentences."""

from __future__ import annotations

import re

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.protocol import JobError

LOG_HINT = _('The log is under Advanced; "Copy report" makes a copy without patient data.')
_SIGNAL_BASE = 128  # launchers and shells answer 128 + signal for a child that a signal ended
_LAST_SIGNAL = 64
_BAD_INPUT_CODE = 2
_WORDS = (  # (pattern in the last words, kind, hint)
    (r"ModuleNotFoundError|ImportError|DLL load failed", "packages"),
    (r"MemoryError|out of memory|bad_alloc|not enough memory", "memory"),
    (r"No space left on device", "disk"),
)


def explain_exit(code: int | None, last_lines: list[str]) -> JobError:
    """The error for a worker that ended without saying why.

    ``code`` is the exit code; ``-N`` when signal N ended the process; the 32-bit status on Windows; None when the
    process could not be started.
    """
    details = "\n".join(last_lines)
    kind, message = _by_code(code)
    for pattern, likely in _WORDS:
        if re.search(pattern, details, re.IGNORECASE):
            kind = likely
            break
    return JobError(message, hint(kind), details, kind)


def hint(kind: str) -> str:
    """What to do about an error of this kind, and where the log is."""
    advice = {
        "start": _("Check the Python interpreter under Advanced; antivirus software may also block it."),
        "memory": _("Close other programs, or choose another device."),
        "packages": _("A Python package is missing or damaged: install again."),
        "disk": _("Free some space on the disk of the temporary folder."),
        "processor": _("This build of PyTorch does not fit the processor; install an older or a CPU build."),
        "bad-input": _("Check the input volumes."),
        "crash": _("Try the CPU as device; a graphics driver that is too old is the most frequent cause."),
    }.get(kind, "")
    return f"{advice} {LOG_HINT}".strip()


def _by_code(code: int | None) -> tuple[str, str]:
    """(kind, sentence) of an exit code."""
    if code is None:
        return "start", _("The worker process could not be started.")
    if code == 0:
        return "internal", _("The worker ended without a result.")
    if code == _BAD_INPUT_CODE:
        return "bad-input", _("The worker refused its input (exit code 2).")
    number = code & 0xFFFFFFFF
    if number >= 0xC0000000 and (code > 0 or code < -_LAST_SIGNAL):
        return _windows_status(number)
    signal = -code if code < 0 else code - _SIGNAL_BASE
    if 0 < signal <= _LAST_SIGNAL:
        return _signal(signal)
    if code == 9:  # a launcher may pass the bare signal number on
        return _signal(code)
    return "internal", _("The worker stopped unexpectedly (exit code {code}).").format(code=code)


def _signal(number: int) -> tuple[str, str]:
    known = {
        2: ("ended", _("The worker was interrupted (signal 2).")),
        4: ("processor", _("The worker used a processor instruction this computer does not have (signal 4).")),
        6: ("crash", _("The worker crashed: it ended itself after an internal check failed (signal 6).")),
        7: ("memory", _("The worker could not reach its memory (signal 7): memory or disk may be full.")),
        9: ("memory", _("The system ended the worker (signal 9), probably because the computer ran out of memory.")),
        11: ("crash", _("The worker crashed: it reached for memory that is not its own (signal 11).")),
        15: ("ended", _("Another program ended the worker (signal 15).")),
    }
    text = _("The worker crashed (signal {number}).").format(number=number)
    return known.get(number, ("crash", text))


def _windows_status(number: int) -> tuple[str, str]:
    known = {
        0xC0000005: ("crash", _("The worker crashed: it reached for memory that is not its own (access violation).")),
        0xC0000017: ("memory", _("The worker did not get the memory it needs.")),
        0xC000001D: ("processor", _("The worker used a processor instruction this computer does not have.")),
        0xC00000FD: ("crash", _("The worker crashed: its stack is full.")),
        0xC000012D: ("memory", _("Windows has no memory left for the worker: the page file is too small.")),
        0xC0000135: ("packages", _("The worker could not start: a library (DLL) is missing.")),
        0xC000013A: ("ended", _("The worker was interrupted.")),
        0xC0000142: ("packages", _("The worker could not start: a library (DLL) did not load.")),
        0xC0000409: ("crash", _("The worker crashed: it ended itself after an internal check failed.")),
    }
    kind, text = known.get(number, ("crash", _("The worker crashed.")))
    return kind, f"{text} (0x{number:08X})"
