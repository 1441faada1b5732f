"""Watches over the Python that runs the worker: which one it is, what it lacks, and the devices it can use.

Nothing here blocks: every question goes to a child process, a moment after the panel was opened.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.install import Check, check_command, read_check, read_requirements
from DMAFSegmentLib.panel_devices import DeviceSelector
from DMAFSegmentLib.panel_install import InstallControl
from DMAFSegmentLib.panel_interpreter import InterpreterSetting
from DMAFSegmentLib.panel_process import Question, call_later

_LOOK_AFTER_S = 1.0  # the panel is drawn and the volumes are detected first


class Environment:
    """``on_check`` is called when a check was done; ``on_device`` when the user chose a device."""

    def __init__(self, ui: Any, logic: Any, on_check: Callable[[], None], on_device: Callable[[], None]) -> None:
        self.logic, self._on_check = logic, on_check
        self.check: Check | None = None
        self.install = InstallControl(ui, on_check, self.look)
        self.devices = DeviceSelector(ui.deviceComboBox, on_device)
        self.interpreter = InterpreterSetting(ui, self.look)
        self.interpreter.say("")
        self._question: Question | None = None
        self._planned = self._closed = False

    def look_soon(self) -> None:
        """Look in a moment, if nobody has looked yet."""
        if self.check is None and not self._planned:
            self._planned = True
            call_later(_LOOK_AFTER_S, self._look_first)

    def look(self) -> None:
        """Look which packages are there, then which devices; the panel changes when the answers come."""
        if self._closed or self.install.installer.running:
            return
        self.stop()
        self.interpreter.say(_("Looking..."))
        interpreter, requirements = self.logic.current_worker().command[0], read_requirements()
        command = check_command(interpreter, requirements)
        self._question = Question(command, {}, lambda text: self.show(read_check(interpreter, requirements, text)))

    def show(self, check: Check) -> None:
        """Take over what a check found, and ask for the devices when all is there."""
        self.check = check
        self.install.show(check)
        self.interpreter.say(check.text)
        self._on_check()
        self.ask_devices()

    def ask_devices(self) -> None:
        """Ask the worker for its devices, once all is there; not beside a run, which needs the computer for itself."""
        check, worker = self.check, self.logic.current_worker()
        if check is not None and check.ready and not self.logic.running and not self._closed:
            self.stop()
            answer = partial(self._on_devices, check)
            self._question = Question([*worker.command, "--devices"], worker.environment, answer)

    def problems(self) -> list[str]:
        """Why nothing can be run here; empty when it can, or when nobody has looked yet."""
        if self.install.installer.running:
            return [_("Python packages are being installed.")]
        return [self.check.text] if self.check is not None and not self.check.ready else []

    def stop(self) -> None:
        """Do without the answer to the last question: a run needs the computer for itself."""
        if self._question is not None:
            self._question.stop()
            self._question = None

    def close(self) -> None:
        """The panel goes away."""
        self._closed = True
        self.stop()
        self.install.stop()

    def _look_first(self) -> None:
        if self.check is None and not self._closed:
            self.look()

    def _on_devices(self, check: Check, text: str) -> None:
        try:
            problem = self.devices.show_answer(text)
        except ValueError as error:
            self.interpreter.say(f"{check.text}\n{error}")
            return
        if problem:
            self.check = check.broken(problem)
            self.install.show(self.check)
            self.interpreter.say(self.check.text)
            self._on_check()
        else:
            self.interpreter.say("\n".join([check.text, *self.devices.summary()]))
