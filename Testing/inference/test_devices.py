"""The list of devices, and the worker's first words and last resort."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from DMAFTraining.inference import devices
from DMAFTraining.inference.devices import describe_devices, memory, self_test

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def _run(code_or_option: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *code_or_option]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False, **options)


def test_command_lists_the_processor_last() -> None:
    done = _run(["-m", "DMAFTraining.predict", "--devices"])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["torch"] == torch.__version__
    cpu = document["devices"][-1]
    assert (cpu["value"], cpu["kind"], cpu["works"]) == ("cpu", "cpu", True)
    assert cpu["threads"] == 1
    assert "float32" in cpu["precisions"]
    assert 0 < cpu["free_bytes"] <= cpu["total_bytes"]


def test_command_without_torch_says_so() -> None:
    code = "import sys; sys.modules['torch'] = None; import DMAFTraining.predict as p; sys.exit(p.main(['--devices']))"
    done = _run(["-c", code])
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["devices"] == []
    assert document["problem"].startswith("PyTorch cannot be loaded (")


def test_self_test_finds_a_right_and_a_missing_device() -> None:
    assert self_test("cpu") == ""
    assert self_test("cuda:99") != ""


def test_self_test_finds_wrong_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "conv3d", lambda a, b: torch.tensor(26.0))
    assert self_test("cpu") == "A test convolution gave 26.0 instead of 27."


def test_card_that_fails_its_test_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (3_000, 8_000))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (7, 5))
    monkeypatch.setattr(devices, "self_test", lambda value: "no kernel image" if value == "cuda:1" else "")
    good, bad, _cpu = describe_devices()["devices"]
    assert (good["name"], good["free_bytes"], good["total_bytes"], good["works"]) == ("Card 0", 3_000, 8_000, True)
    assert good["precisions"] == ["float32", "float16"], "bfloat16 needs compute capability 8"
    assert (bad["value"], bad["works"], bad["problem"]) == ("cuda:1", False, "no kernel image")
    assert bad["free_bytes"] is None


def test_memory_of_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> tuple[int, int]:
        raise OSError

    monkeypatch.setattr(devices, "_linux_memory", fail)
    monkeypatch.setattr(devices, "_posix_memory", fail)
    assert memory() == (None, None)


def test_worker_says_hello_before_it_reads_the_job() -> None:
    done = _run(["-m", "DMAFTraining.predict", "--job", "no-such-job.json"], stdin=subprocess.DEVNULL)
    hello = json.loads(done.stdout.splitlines()[0])
    assert (hello["event"], hello["protocol"]) == ("hello", 1)
    assert hello["pid"] > 0
    assert hello["versions"]["torch"] == importlib.metadata.version("torch")
    assert hello["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_worker_without_a_parent_ends_itself_even_when_it_hangs() -> None:
    code = (
        "import time, DMAFTraining.predict as predict\n"
        "predict._ORPHAN_SECONDS = 0.1\n"
        "cancel = predict._cancel_on_stdin()\n"
        "time.sleep(100)\n"
    )
    assert _run(["-c", code], stdin=subprocess.DEVNULL).returncode == 3
