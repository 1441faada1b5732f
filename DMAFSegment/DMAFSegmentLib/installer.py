"""Installs what is missing in Slicer's Python, one package source after the other, without blocking where possible.

Torch comes from the PyTorch extension, which picks the build that fits the graphics card; the rest from pip. Where
Slicer can run a command in the background (5.12), torch is downloaded there with the extension's own tool.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import slicer

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.install import InstallError, torch_lines
from DMAFSegmentLib.signal import Signal

_REQUESTER = "DMAF Segment"
_TORCH_TOOL = "light_the_torch"


class Installer:
    """One installation at a time. Signals: ``log(text)``, and ``finished(problem)`` with "" when all went well."""

    def __init__(self) -> None:
        self.log, self.finished = Signal(), Signal()
        self.running = False
        self._canceled = False
        self._steps: deque[Callable[[], None]] = deque()
        self._process: Any = None

    @property
    def can_cancel(self) -> bool:
        """Is something running in the background that can be stopped?"""
        return self._process is not None and not self._canceled

    def start(self, lacks: Sequence[str]) -> None:
        """Install these requirement lines; ``finished`` follows, perhaps before this returns."""
        if self.running:
            return
        self.running, self._canceled = True, False
        torch = torch_lines(lacks)
        others = [line for line in lacks if line not in torch]
        self._steps = deque(lambda line=line: self._install_torch(line) for line in torch)  # type: ignore[misc]
        if others:
            self._steps.append(lambda: self._install_others(others))
        self._continue()

    def cancel(self) -> None:
        """Stop the download in the background; ``finished`` follows when it has ended."""
        if self.can_cancel:
            self._canceled = True
            with contextlib.suppress(OSError):
                self._process.terminate()

    def _continue(self) -> None:
        if not self._steps:
            self._end("")
            return
        try:
            self._steps.popleft()()
        except (InstallError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
            self._end(_("The installation failed: {error}").format(error=error))

    def _end(self, problem: str) -> None:
        self.running, self._process = False, None
        self._steps.clear()
        self.finished.emit(problem)

    def _install_torch(self, requirement: str) -> None:
        logic = _pytorch_extension()
        self.log.emit(_("Installing {package}...").format(package=requirement))
        if _has_background() and _has_torch_tool(logic):
            command = [shutil.which("PythonSlicer") or "PythonSlicer", "-m", _TORCH_TOOL, "install", requirement]
            self._process = slicer.util.launchConsoleProcess(
                command,
                useStartupEnvironment=False,
                blocking=False,
                logCallback=self.log.emit,
                completedCallback=self._torch_done,
            )
            return
        self.log.emit(_("Slicer does not answer until PyTorch is installed; this takes minutes."))
        slicer.app.processEvents()
        version = requirement.removeprefix("torch").strip()
        if logic.installTorch(askConfirmation=False, torchVersionRequirement=version) is None:
            raise InstallError(_("PyTorch could not be installed. Slicer's Python console tells the reason."))
        self._continue()

    def _torch_done(self, code: int) -> None:
        self._process = None
        if self._canceled:
            self._end(_("Canceled. Packages that were complete by then stay; press Install again at any time."))
        elif code != 0:
            self._end(_("PyTorch could not be installed (exit code {code}); the log tells why.").format(code=code))
        else:
            self._continue()

    def _install_others(self, lines: Sequence[str]) -> None:
        self.log.emit(_("Installing {package}...").format(package=", ".join(lines)))
        packaging = _slicer_packaging()
        if packaging is None:
            slicer.util.pip_install(list(lines))
        else:
            from packaging.requirements import Requirement

            requirements = [Requirement(line) for line in lines]
            packaging.pip_ensure(requirements, prompt_install=False, requester=_REQUESTER)  # we have asked
        self._continue()


def _pytorch_extension() -> Any:
    try:
        import PyTorchUtils
    except ImportError as error:
        text = _("The PyTorch extension is missing. Install it with the Extensions Manager and restart Slicer.")
        raise InstallError(text) from error
    return PyTorchUtils.PyTorchUtilsLogic()


def _has_background() -> bool:
    """Can this Slicer run a command without waiting for it (5.12 and newer)?"""
    return "completedCallback" in inspect.signature(slicer.util.launchConsoleProcess).parameters


def _has_torch_tool(logic: Any) -> bool:
    """Is the tool that the extension installs torch with there? The extension brings the version it wants."""
    if importlib.util.find_spec(_TORCH_TOOL) is None and hasattr(logic, "_installLightTheTorch"):
        logic._installLightTheTorch()
        importlib.invalidate_caches()
    return importlib.util.find_spec(_TORCH_TOOL) is not None


def _slicer_packaging() -> Any:
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:
        return None
