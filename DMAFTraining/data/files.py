"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it to the disk, then move it there."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def place_folder(ready: Path, path: Path) -> None:
    """Flush the files of a finished folder to the disk, then move it to its place, over an older one."""
    for file in ready.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    if path.exists():
        shutil.rmtree(path)
    os.replace(ready, path)
