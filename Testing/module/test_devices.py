"""The device list: what the worker says, what the panel shows, what the worker is told."""

from __future__ import annotations

import json
import subprocess

import pytest

from DMAFSegmentLib.devices import Device, read_devices, unknown_devices, usable, with_choice


@pytest.fixture(scope="module")
def listed(worker_command):
    """Devices of the stand-in worker: two cards, one of which does not work, and the processor."""
    answer = subprocess.run([*worker_command(""), "--devices"], capture_output=True, text=True, check=True)
    devices, problem = read_devices(answer.stdout)
    assert problem == ""
    return devices


def test_titles_tell_name_and_free_memory(listed):
    assert [(device.value, device.title) for device in listed] == [
        ("auto", "Automatic"),
        ("cuda:0", "CUDA 0 (Card A, 7.5 GB free)"),
        ("cuda:1", "CUDA 1 (Card B, does not work)"),
        ("cpu", "CPU (8 threads, 12.0 GB free)"),
    ]


def test_device_that_does_not_work_is_explained_and_not_used(listed):
    assert listed[2].problem == "CUDA 1 does not work: no kernel image is available"
    assert usable(listed, "cuda:1") == "auto"
    assert usable(listed, "cuda:0") == "cuda:0"


def test_lost_device_stays_visible_with_the_reason(listed):
    devices = with_choice(listed, "cuda:3", known=True)
    assert devices[:-1] == listed
    assert devices[-1].title == "CUDA 3 (not found; Automatic is used)"
    assert "not found on this computer" in devices[-1].problem
    assert usable(devices, "cuda:3") == "auto"


def test_choice_is_kept_while_nobody_knows():
    devices = with_choice(unknown_devices(), "mps", known=False)
    assert devices[-1] == Device("mps", "MPS")
    assert usable(devices, "mps") == "mps"


def test_other_output_and_damage_are_survived():
    text = 'Warning: old driver\n{"devices": [{"value": "cpu", "kind": "cpu", "name": "x", "works": true}]}\n'
    assert [device.title for device in read_devices(text)[0]] == ["Automatic", "CPU"]


@pytest.mark.parametrize("nonsense", ["", "no JSON", "{}", '{"devices": [{"value": "cpu"}]}', '{"devices": 5}'])
def test_nonsense_is_no_answer(nonsense):
    with pytest.raises(ValueError, match="did not say which devices"):
        read_devices(nonsense)


def test_worker_without_any_device_says_why():
    problem = "PyTorch cannot be loaded (libc.so)."
    assert read_devices(json.dumps({"devices": [], "problem": problem}))[1] == problem
    cpu = {"value": "cpu", "kind": "cpu", "name": "x", "works": False, "problem": "gave 26"}
    assert read_devices(json.dumps({"devices": [cpu]}))[1] == "CPU does not work: gave 26"
