"""Exit codes of workers that said nothing."""

from __future__ import annotations

import pytest

from DMAFSegmentLib.exits import LOG_HINT, explain_exit


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (None, "start", "could not be started"),
        (0, "internal", "ended without a result"),
        (1, "internal", "exit code 1"),
        (2, "bad-input", "refused its input"),
        (-9, "memory", "probably because the computer ran out of memory"),
        (137, "memory", "signal 9"),
        (9, "memory", "signal 9"),
        (-11, "crash", "memory that is not its own (signal 11)"),
        (139, "crash", "signal 11"),
        (-4, "processor", "processor instruction"),
        (-15, "ended", "Another program ended"),
        (-33, "crash", "crashed (signal 33)"),
        (0xC0000005, "crash", "access violation). (0xC0000005)"),
        (0xC0000005 - 2**32, "crash", "access violation). (0xC0000005)"),
        (0xC0000135, "packages", "a library (DLL) is missing"),
        (0xC000012D, "memory", "page file is too small"),
        (0xC0001234, "crash", "The worker crashed. (0xC0001234)"),
        (3221, "internal", "exit code 3221"),
    ],
)
def test_exit_codes_in_words(code, kind, words):
    error = explain_exit(code, [])
    assert error.kind == kind
    assert words in error.message
    assert error.hint.endswith(LOG_HINT)


@pytest.mark.parametrize(
    ("last_words", "kind"),
    [
        ("ModuleNotFoundError: No module named 'torch'", "packages"),
        ("ImportError: DLL load failed while importing _C", "packages"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "memory"),
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("something else", "internal"),
    ],
)
def test_last_words_tell_more_than_the_code(last_words, kind):
    error = explain_exit(1, ["Traceback", last_words])
    assert error.kind == kind
    assert error.details == f"Traceback\n{last_words}"
