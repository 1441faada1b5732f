"""Devices the worker can use, as its ``--devices`` command lists them, and how the panel names them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from DMAFSegmentLib import tr as _

AUTOMATIC = "auto"
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Device:
    """An entry of the device list. ``value`` is what the worker takes; ``problem`` says why it cannot be used."""

    value: str
    title: str
    problem: str = ""


def unknown_devices() -> list[Device]:
    """What can be offered before the worker was asked."""
    return [Device(AUTOMATIC, _("Automatic")), Device("cpu", _("CPU"))]


def read_devices(text: str) -> tuple[list[Device], str]:
    """Devices in the answer of ``--devices``, "Automatic" first, and why none of them works ("" when one does).

    Raises:
        ValueError: there is no answer in the text.
    """
    lines = [line for line in text.splitlines() if line.startswith("{")]
    try:
        document = json.loads(lines[-1])
        entries = [_device(entry) for entry in document["devices"]]
    except (IndexError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(_("The worker did not say which devices there are.")) from error
    problem = ""
    if all(entry.problem for entry in entries):
        problem = str(document.get("problem") or " ".join(entry.problem for entry in entries))
    return [Device(AUTOMATIC, _("Automatic")), *entries], problem


def with_choice(devices: list[Device], value: str, known: bool) -> list[Device]:
    """The list, with a stored choice added that is not in it; once the list is ``known``, with the reason."""
    if any(device.value == value for device in devices):
        return devices
    if not known:
        return [*devices, Device(value, _plain_name(value))]
    title = _("{device} (not found; Automatic is used)").format(device=_plain_name(value))
    return [*devices, Device(value, title, _("This device was not found on this computer. Automatic is used instead."))]


def usable(devices: list[Device], value: str) -> str:
    """What the worker is told for a choice: the choice itself, or Automatic when it cannot be used."""
    found = next((device for device in devices if device.value == value), None)
    return value if found is not None and not found.problem else AUTOMATIC


def _device(entry: Mapping[str, Any]) -> Device:
    value, problem = str(entry["value"]), str(entry.get("problem") or "")
    details = [str(entry["name"])] if entry["kind"] != "cpu" else []
    if entry.get("threads"):
        details.append(_("{count} threads").format(count=entry["threads"]))
    if entry.get("free_bytes"):
        details.append(_("{size} GB free").format(size=f"{entry['free_bytes'] / _GIGABYTE:.1f}"))
    if problem:
        details.append(_("does not work"))
    name = _plain_name(value)
    reason = _("{device} does not work: {problem}").format(device=name, problem=problem) if problem else ""
    return Device(value, f"{name} ({', '.join(details)})" if details else name, reason)


def _plain_name(value: str) -> str:
    kind, _colon, index = value.partition(":")
    return " ".join(part for part in (kind.upper(), index) if part)
