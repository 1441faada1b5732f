"""What the worker's Python lacks, and getting it after one clear question.

Nothing happens at import or construction. Torch is installed by the PyTorch extension only, which
picks the build that fits the graphics card; the Slicer process itself never imports it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from DMAFSegmentLib import MODULE_FOLDER, network_library_folder
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.job import Worker

REQUIREMENTS = MODULE_FOLDER / "Resources" / "requirements.txt"
_CHECK_TIMEOUT_S = 60
_TORCH = "torch"
_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""


class InstallError(RuntimeError):
    """The worker cannot be made ready; the message says what to do."""


def worker_interpreter() -> str:
    """Python for the worker: Slicer's own, or this one outside Slicer."""
    return shutil.which("PythonSlicer") or sys.executable


def default_worker() -> Worker:
    """The worker as shipped: the network library's ``predict`` command."""
    command = (worker_interpreter(), "-m", "DMAFTraining.predict")
    return Worker(command, {"PYTHONPATH": str(network_library_folder()), "PYTHONIOENCODING": "utf-8"})


def read_requirements(path: Path = REQUIREMENTS) -> list[str]:
    """Requirement lines such as ``"torch>=2.4"``, without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def missing(interpreter: str, requirements: list[str]) -> list[str]:
    """Requirements the interpreter does not meet, found without importing any of them.

    Raises:
        InstallError: the interpreter cannot be run.
    """
    from packaging.requirements import Requirement  # ships with Slicer; not needed while it starts

    wanted = {text: Requirement(text) for text in requirements}
    found = _installed(interpreter, [requirement.name for requirement in wanted.values()])
    lacking = []
    for text, requirement in wanted.items():
        version = found[requirement.name]
        if version is None or not requirement.specifier.contains(version.split("+")[0], prereleases=True):
            lacking.append(text)
    return lacking


def _installed(interpreter: str, names: list[str]) -> dict[str, str | None]:
    command = [interpreter, "-c", _VERSIONS, *names]
    try:
        answer = subprocess.run(  # noqa: S603 - our own text, no shell
            command, capture_output=True, text=True, timeout=_CHECK_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL
        )
        return dict(json.loads(answer.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        text = _("Python for the worker cannot be run ({interpreter}). Install Slicer again, or check antivirus rules.")
        raise InstallError(text.format(interpreter=interpreter)) from error


def question(lacking: list[str]) -> str:
    """What the user is asked before anything is installed."""
    text = _("The segmentation needs these Python packages:\n\n{packages}\n\nInstall them now? ")
    size = _("PyTorch is large (up to 3 GB); Slicer does not answer while it is installed.")
    packages = "\n".join(f"  - {line}" for line in lacking)
    return text.format(packages=packages) + (size if _torch_lines(lacking) else "")


def ensure(interpreter: str, ask: Callable[[str], bool], requirements: list[str] | None = None) -> bool:
    """Make the worker's Python ready, asking once if something is missing.

    Returns:
        True when everything is there; False when the user declined.

    Raises:
        InstallError: it cannot be installed from here, or is still missing afterwards.
    """
    requirements = read_requirements() if requirements is None else requirements
    lacking = missing(interpreter, requirements)
    if not lacking:
        return True
    if shutil.which("PythonSlicer") is None:
        text = _("Python for the worker ({interpreter}) lacks: {packages}. Install them with pip.")
        raise InstallError(text.format(interpreter=interpreter, packages=", ".join(lacking)))
    if not ask(question(lacking)):
        return False
    _install(lacking)
    left = missing(interpreter, requirements)
    if left:
        text = _("These packages are still missing after the installation: {packages}. Restart Slicer and try again.")
        raise InstallError(text.format(packages=", ".join(left)))
    return True


def _torch_lines(lines: list[str]) -> list[str]:
    return [line for line in lines if line.replace(" ", "").startswith((f"{_TORCH}>", f"{_TORCH}=", f"{_TORCH}<"))]


def _install(lines: list[str]) -> None:
    torch_lines = _torch_lines(lines)
    if torch_lines:
        _install_torch(torch_lines[0])
    others = [line for line in lines if line not in torch_lines]
    if others:
        import slicer

        slicer.util.pip_install(others)


def _install_torch(requirement: str) -> None:
    try:
        import PyTorchUtils
    except ImportError as error:
        text = _("The PyTorch extension is missing. Install it with the Extensions Manager and restart Slicer.")
        raise InstallError(text) from error
    logic = PyTorchUtils.PyTorchUtilsLogic()
    version = requirement.replace(_TORCH, "", 1).strip()
    if logic.installTorch(askConfirmation=False, torchVersionRequirement=version) is None:
        raise InstallError(_("PyTorch could not be installed. See Slicer's Python console for the reason."))
