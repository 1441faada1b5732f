"""The part of the panel that appears while Python packages are missing: what, why, and the button that gets them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.install import Check, offline_help, question
from DMAFSegmentLib.installer import Installer


def _confirm(lacks: Sequence[str]) -> bool:
    """The one dialog: what is installed, how large it is, and what to do without a network."""
    title, details = _("Install Python packages"), offline_help(lacks)
    return bool(slicer.util.confirmOkCancelDisplay(question(lacks), title, detailedText=details))


class InstallControl:
    """Shows what is missing and installs it after one question; ``on_start`` and ``on_end`` are called around it."""

    def __init__(self, ui: Any, on_start: Callable[[], None], on_end: Callable[[], None]) -> None:
        self.ui, self._on_start, self._on_end = ui, on_start, on_end
        self.installer = Installer()
        self.installer.log.connect(self._on_log)
        self.installer.finished.connect(self._on_finished)
        self._check: Check | None = None
        self._lines: tuple[str, ...] = ()
        self._ending = ""
        ui.installButton.connect("clicked(bool)", self._on_button)

    def show(self, check: Check) -> None:
        """Show what a check found; nothing is shown when all is there."""
        self._check = check
        self._refresh()

    def problem_with(self, line: str) -> str:
        """How the last installation failed, if it was of this requirement; empty otherwise."""
        return self._ending if line in self._lines else ""

    def stop(self) -> None:
        """The panel goes away: what runs in the background is stopped."""
        self.installer.log.disconnect(self._on_log)
        self.installer.finished.disconnect(self._on_finished)
        self.installer.cancel()

    def _refresh(self) -> None:
        check, running = self._check, self.installer.running
        self.ui.installFrame.visible = running or (check is not None and not check.ready)
        if running:
            self.ui.installButton.text = _("Cancel installation")
            self.ui.installButton.enabled = self.installer.can_cancel
            return
        self.ui.installButton.text = _("Install...")
        self.ui.installButton.enabled = True
        if check is not None and not check.ready:
            self.ui.installButton.visible = check.can_install
            help_text = offline_help(check.lacks) if check.can_install else ""
            self.ui.installLabel.text = "\n".join(filter(None, (self._ending, check.text)))
            self.ui.installLabel.toolTip = help_text

    def _on_button(self, *_arguments: Any) -> None:
        if self.installer.running:
            self.installer.cancel()
            self._refresh()
        elif self._check is not None:
            self.install(self._check.lacks)

    def install(self, lines: Sequence[str]) -> None:
        """Ask once, then install these requirement lines; nothing happens while something is being installed."""
        if not self.installer.running and _confirm(lines):
            self.ui.logText.plainText = ""
            self._lines, self._ending = tuple(lines), ""
            self.installer.start(lines)
            self._refresh()
            self._on_start()

    def _on_log(self, line: str) -> None:
        self.ui.logText.appendPlainText(line.rstrip())
        self.ui.installLabel.text = line.strip()[:200]

    def _on_finished(self, problem: str) -> None:
        self._ending = problem
        if problem:
            self._on_log(problem)
        self._refresh()
        self._on_end()
