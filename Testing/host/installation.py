"""Stand-ins of what installs Python packages in Slicer: PythonSlicer, slicer.packaging and the PyTorch extension.

None of them is in the slicer-core wheel. "Installing" writes the metadata of a package into a folder that only the
PythonSlicer stand-in looks into. Every call is checked against the signature of Slicer 5.12 and written down.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6 import QtCore

_LAUNCHER = """#!/bin/sh
PYTHONPATH="{site}:$PYTHONPATH"
export PYTHONPATH
"{python}" "$@"
exit $?
"""


class Handle:
    """What launchConsoleProcess returns when it does not block."""

    def __init__(self, end: Callable[[int], None]) -> None:
        self._end = end

    def terminate(self) -> None:
        """End the command."""
        self._end(-15)


class Installation:
    """A Slicer with its own Python in ``folder``; ``calls`` lists what was installed with which tool.

    ``torch_code`` is the exit code of torch's installation; ``patience_ms`` is how long it takes.
    """

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site"
        self.program = folder / "bin" / "PythonSlicer"
        self.calls: list[tuple[str, Any]] = []
        self.torch_code, self.patience_ms = 0, 50
        self.site.mkdir()
        self.program.parent.mkdir()
        self.program.write_text(_LAUNCHER.format(site=self.site, python=sys.executable), encoding="utf-8")
        self.program.chmod(0o755)
        (self.site / "light_the_torch.py").touch()

    def add(self, line: str) -> None:
        """Make a package of exactly the version in ``line`` (``name>=1.2``) known to PythonSlicer."""
        name, version = line.split(">=")
        folder = self.site / f"{name}-{version}.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")

    def launch_console_process(
        self,
        args: list[str],
        useStartupEnvironment: bool = True,
        updateEnvironment: dict[str, str] | None = None,
        cwd: str | None = None,
        blocking: bool = True,
        logCallback: Callable[[str], None] | None = None,
        completedCallback: Callable[[int], None] | None = None,
    ) -> Handle:
        """``slicer.util.launchConsoleProcess`` of Slicer 5.12, for torch's tool in the background only."""
        program, option, tool, verb, line = args
        if blocking or useStartupEnvironment or logCallback is None or completedCallback is None:
            raise ValueError("Only a background command in PythonSlicer with both callbacks is expected.")
        if (program, option, tool, verb) != (str(self.program), "-m", "light_the_torch", "install"):
            raise ValueError(f"Unexpected command: {args}")
        self.calls.append(("light_the_torch", line))
        logCallback("Collecting torch\n")
        pending = [True]

        def end(code: int) -> None:
            if pending.pop():
                if code == 0:
                    self.add(line)
                completedCallback(code)

        def end_in_time() -> None:
            if pending:
                end(self.torch_code)

        QtCore.QTimer.singleShot(self.patience_ms, end_in_time)
        return Handle(end)

    def packaging(self) -> types.ModuleType:
        """``slicer.packaging``."""
        module = types.ModuleType("slicer.packaging")

        def pip_ensure(
            requirements: list[Any],
            constraints: Any = None,
            skip_packages: Any = None,
            prompt_install: bool = True,
            prompt_restart: bool = True,
            requester: str | None = None,
            skip_in_testing: bool = True,
            show_progress: bool = True,
        ) -> None:
            if prompt_install:
                raise ValueError("The module asks by itself: a second question is not wanted.")
            self._install("pip_ensure", [str(requirement) for requirement in requirements])

        module.pip_ensure = pip_ensure  # type: ignore[attr-defined]
        return module

    def pip_install(self, requirements: list[str]) -> None:
        """``slicer.util.pip_install``."""
        self._install("pip_install", requirements)

    def extension(self) -> types.ModuleType:
        """The module ``PyTorchUtils`` of the PyTorch extension."""
        module, installation = types.ModuleType("PyTorchUtils"), self

        class PyTorchUtilsLogic:
            def installTorch(
                self,
                askConfirmation: bool = False,
                forceComputationBackend: str | None = None,
                torchVersionRequirement: str | None = None,
            ) -> Any:
                if askConfirmation:
                    raise ValueError("The module asks by itself: a second question is not wanted.")
                if installation.torch_code:
                    return None
                installation._install("installTorch", [f"torch{torchVersionRequirement}"])
                return types.ModuleType("torch")

        module.PyTorchUtilsLogic = PyTorchUtilsLogic  # type: ignore[attr-defined]
        return module

    def _install(self, tool: str, lines: list[str]) -> None:
        self.calls.append((tool, lines))
        for line in lines:
            self.add(line)
