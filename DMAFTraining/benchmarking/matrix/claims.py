"""Who works on what: a claim on a folder that ends with the process that holds it.

Claims are files ``claim-0001``, ``claim-0002``, ... in the folder; the last one counts. A new one is made
by a hard link, which succeeds for one of several workers, also on a network drive. Whoever holds a claim
keeps it locked and touches it every few seconds. On one machine a free lock tells at once that the holder
is gone; from other machines, where locks may not be seen, a claim counts as dead after some minutes
without a touch.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from pathlib import Path

_PREFIX = "claim-"
_TOUCH_EVERY_S = 20.0
_DEAD_AFTER_S = 300.0


class Claim:
    """A claim that this process holds; :meth:`take` makes one."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.lost = False
        self._descriptor = descriptor
        self._released = threading.Event()
        threading.Thread(target=self._keep, daemon=True).start()

    @classmethod
    def take(cls, folder: Path) -> Claim | None:
        """Claim a folder (made if missing); None if another worker holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        last = _last(folder)
        if last and not _is_dead(last):
            return None
        path = folder / f"{_PREFIX}{_number(last) + 1:04d}"
        draft = folder / f".{_PREFIX}{socket.gethostname()}-{os.getpid()}"
        descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, f"{socket.gethostname()}\n{os.getpid()}\n".encode())
        try:
            os.link(draft, path)  # appears locked and with its text, or not at all
        except FileExistsError:
            os.close(descriptor)
            return None
        finally:
            draft.unlink()
        return cls(path, descriptor)

    def release(self, finished: bool = False) -> None:
        """Give the folder up; where the work on it is finished, the files of all claims go away."""
        self._released.set()
        if finished and not self.lost:
            for path in self.path.parent.glob(f"{_PREFIX}*"):
                path.unlink(missing_ok=True)
        elif self.path.exists():
            os.utime(self.path, (0, 0))
        os.close(self._descriptor)

    def _keep(self) -> None:
        while not self._released.wait(_TOUCH_EVERY_S):
            self.lost = _last(self.path.parent) != self.path  # taken over while this machine slept
            if self.lost:
                return
            os.utime(self.path)


def holder(folder: Path) -> str | None:
    """Machine and process of the worker that holds a folder, None if nobody does."""
    last = _last(folder)
    if not last or _is_dead(last):
        return None
    host, process = _owner(last)
    return f"process {process} on {host}"


def _last(folder: Path) -> Path | None:
    return max(folder.glob(f"{_PREFIX}*"), key=_number, default=None)


def _number(path: Path | None) -> int:
    return int(path.name.removeprefix(_PREFIX)) if path else 0


def _owner(path: Path) -> tuple[str, str]:
    try:
        host, process = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return "", ""
    return host, process


def _is_dead(path: Path) -> bool:
    try:
        if time.time() - path.stat().st_mtime > _DEAD_AFTER_S:
            return True
        if _owner(path)[0] != socket.gethostname():
            return False
        with path.open(encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:  # locked by its holder, or a drive without locks
        return False
    return True
