"""What a run folder says of its run: the resolved configuration and the machine."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from DMAFTraining.data.files import write_atomically
from DMAFTraining.training import distributed

CONFIG = "config.yaml"
_HOW_NOT_WHAT = ("device", "log_every", "checkpoint_every")


def claim(folder: Path, resolved: str) -> None:
    """Write the configuration into a new run folder, or check that the folder belongs to it.

    Args:
        folder: of the run; made if missing.
        resolved: the whole configuration as YAML text.

    Raises:
        ValueError: the folder holds a run with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CONFIG
    if path.exists():
        before, now = (_flatten(yaml.safe_load(text)) for text in (path.read_text(encoding="utf-8"), resolved))
        changed = sorted(k for k in before | now if before.get(k) != now.get(k) and k not in _HOW_NOT_WHAT)
        if changed:
            raise ValueError(
                f"{folder} holds a run with other settings ({', '.join(changed)}); "
                "give another --output, or the settings of its config.yaml to resume it."
            )
    write_atomically(path, resolved.encode())


def record_environment(folder: Path, device: torch.device) -> None:
    """Write versions and hardware to ``environment.json``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    facts: dict[str, Any] = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "processes": distributed.world(),
    }
    write_atomically(folder / "environment.json", (json.dumps(facts, indent=1) + "\n").encode())


def _flatten(tree: object, prefix: str = "") -> dict[str, object]:
    """Leaves of nested mappings by dotted name."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, part in tree.items() for k, v in _flatten(part, f"{prefix}.{name}".lstrip(".")).items()}
