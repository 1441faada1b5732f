"""What a running job tells: JSON lines for a program, a progress line for a person."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any, Protocol, TextIO

_HEARTBEAT_SECONDS = 1.0  # looked at three times as often: a line at least every 1.4 s
_BAR_CELLS = 24


class EventSink(Protocol):
    """Receives the events of a job; the names and fields are the worker protocol's."""

    def emit(self, event: str, **fields: Any) -> None:
        """Tell one event."""


class JsonLines:
    """Prints one JSON object per event and repeats the last progress as a heartbeat.

    Use as a context manager; leaving it ends the heartbeat.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._last = self._start
        self._progress: dict[str, Any] = {"fraction": 0.0, "stage": "load", "message": "Starting", "eta_s": None}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> JsonLines:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def emit(self, event: str, **fields: Any) -> None:
        with self._lock:
            now = time.monotonic()
            if event == "progress":
                self._progress = fields
            self._last = now
            line = {"event": event, "elapsed_s": round(now - self._start, 2), **fields}
            print(json.dumps(line), file=self._stream, flush=True)

    def _beat(self) -> None:
        while not self._end.wait(_HEARTBEAT_SECONDS / 3):
            if time.monotonic() - self._last > _HEARTBEAT_SECONDS:
                self.emit("progress", **self._progress)


class TerminalLines:
    """Prints for a person: a bar on a terminal, one line per stage elsewhere; results as a table."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._stage = ""

    def emit(self, event: str, **fields: Any) -> None:
        if event == "progress":
            self._bar(fields)
        elif event == "result":
            volumes = "  ".join(f"{name} {ml:7.1f} mL" for name, ml in fields["volumes_ml"].items())
            overlap = "  ".join(f"{name} {value:.2f}" for name, value in fields["dice_to_fullest"].items())
            self._say(f"{fields['title']:<20} {volumes}   Dice to fullest: {overlap}")
        elif event == "decisions":
            for decision in fields["decisions"]:
                if decision["needed"]:
                    self._say(f"{decision['step'].capitalize()}, {decision['sequence']}: {decision['reason']}")
        elif event == "scans" and fields["brain_tool"] is not None:
            self._say(f"The brain has {fields['brain_ml']:.0f} mL ({fields['brain_tool']}).")
        elif event in ("warning", "error"):
            hint = f" {fields['hint']}" if fields.get("hint") else ""
            print(f"{event.capitalize()}: {fields['message']}{hint}", file=sys.stderr, flush=True)
        elif event == "done":
            self._say(f"Results in {fields['output']} ({fields['seconds']:.1f} s). Research use only.")

    def _bar(self, fields: dict[str, Any]) -> None:
        if not self._live:
            if fields["stage"] != self._stage:
                self._say(f"{100 * fields['fraction']:3.0f} %  {fields['message']}")
            self._stage = fields["stage"]
            return
        cells = round(_BAR_CELLS * fields["fraction"])
        left = f", {fields['eta_s']:.0f} s left" if fields["eta_s"] is not None else ""
        bar = "#" * cells + "." * (_BAR_CELLS - cells)
        print(
            f"\r\033[K[{bar}] {100 * fields['fraction']:3.0f} %  {fields['message']}{left}", end="", file=self._stream
        )
        self._stream.flush()

    def _say(self, text: str) -> None:
        print(("\r\033[K" if self._live else "") + text, file=self._stream, flush=True)
