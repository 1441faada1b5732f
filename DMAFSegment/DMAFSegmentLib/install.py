"""What the worker's Python needs, what it lacks, and how to say so. Nothing is imported or installed here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from DMAFSegmentLib import MODULE_FOLDER, network_library_folder
from DMAFSegmentLib import tr as _
from DMAFSegmentLib.job import Worker

REQUIREMENTS = MODULE_FOLDER / "Resources" / "requirements.txt"
OLDEST_PYTHON = (3, 11)
_CHECK_TIMEOUT_S = 60
_TORCH = "torch"
_TITLES = {_TORCH: "PyTorch", "numpy": "NumPy", "scipy": "SciPy"}
_DOWNLOADS = {"torch": "0.2 to 3 GB", "safetensors": "1 MB", "numpy": "20 MB", "scipy": "40 MB", "SimpleITK": "55 MB"}
_DOWNLOADS |= {"deepbet": _("10 MB, and some 30 MB of packages it needs")}
BRAIN_TOOLS = {"deepbet": "deepbet>=1.0.2", "hd-bet": "hd-bet>=2.0"}
"""What can extract a brain, by the name of its package; nothing else needs it, so it is offered and never demanded."""
_VERSIONS = """
import json, sys
found = {}
try:
    from importlib.metadata import PackageNotFoundError, version
    for name in sys.argv[1:]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
except ImportError:
    pass
print(json.dumps({"python": list(sys.version_info[:3]), "found": found}))
"""


class InstallError(RuntimeError):
    """The worker cannot be made ready; the message says what to do."""


@dataclass(frozen=True)
class Check:
    """What was found in an interpreter: the requirement lines it ``lacks``, or a ``problem`` that stays.

    ``python`` is its version, "" when it could not be run; ``brain_tools`` names those of :data:`BRAIN_TOOLS` that
    are there.
    """

    interpreter: str
    python: str = ""
    lacks: tuple[str, ...] = ()
    problem: str = ""
    brain_tools: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Can the worker run there?"""
        return not self.lacks and not self.problem

    def broken(self, problem: str) -> Check:
        """The same interpreter, where all packages are and yet nothing runs."""
        text = _(
            'Nothing can run in this Python: {problem} Remove PyTorch ("{interpreter}" -m pip uninstall torch), '
            "restart Slicer and install it again."
        )
        return replace(self, problem=text.format(problem=problem, interpreter=self.interpreter))

    @property
    def ours(self) -> bool:
        """Is it Slicer's own Python? Others belong to their users: we say what is missing only."""
        return self.interpreter == shutil.which("PythonSlicer")

    @property
    def can_install(self) -> bool:
        """Are packages missing in Slicer's own Python?"""
        return bool(self.lacks) and not self.problem and self.ours

    @property
    def text(self) -> str:
        """The finding in words."""
        if self.problem:
            return self.problem
        if not self.lacks:
            return _("Python {version} has everything that is needed.").format(version=self.python)
        if self.can_install:
            names = ", ".join(_TITLES.get(name, name) for name in map(_name, self.lacks))
            return _('Not installed yet: {packages}. Press "Install...".').format(packages=names)
        packages = ", ".join(self.lacks)
        text = _("Python for the worker ({interpreter}) lacks: {packages}. Install them there: {command}")
        return text.format(interpreter=self.interpreter, packages=packages, command=self.command(self.lacks))

    def command(self, lines: Sequence[str]) -> str:
        """What installs requirement lines there."""
        return f'"{self.interpreter}" -m pip install ' + " ".join(f'"{line}"' for line in lines)


def worker_interpreter(custom: str = "") -> str:
    """Python for the worker: the user's choice, else Slicer's own, or this one outside Slicer."""
    return custom or shutil.which("PythonSlicer") or sys.executable


def default_worker(custom: str = "") -> Worker:
    """The worker as shipped: the network library's ``predict`` command, in ``custom`` or Slicer's own Python."""
    command = (worker_interpreter(custom), "-m", "DMAFTraining.predict")
    return Worker(command, {"PYTHONPATH": str(network_library_folder()), "PYTHONIOENCODING": "utf-8"})


def read_requirements(path: Path | None = None) -> list[str]:
    """Requirement lines such as ``"torch>=2.4"``, without comments; by default those that are shipped."""
    text = (path or REQUIREMENTS).read_text(encoding="utf-8")
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def check_command(interpreter: str, requirements: Sequence[str]) -> list[str]:
    """Command whose output :func:`read_check` reads; it imports none of the packages."""
    return [interpreter, "-c", _VERSIONS, *(_name(line) for line in requirements), *BRAIN_TOOLS]


def read_check(interpreter: str, requirements: Sequence[str], output: str) -> Check:
    """Finding from the output of :func:`check_command`; "" when the command failed."""
    try:
        answer = json.loads(output.splitlines()[-1])
        python, found = tuple(answer["python"]), dict(answer["found"])
    except (ValueError, IndexError, KeyError, TypeError):
        text = _(
            "Python for the worker cannot be run ({interpreter}). Choose another one under Advanced, install Slicer "
            "again, or check antivirus rules."
        )
        return Check(interpreter, problem=text.format(interpreter=interpreter))
    version = ".".join(map(str, python))
    if python < OLDEST_PYTHON:
        text = _("Python for the worker is {version}; {oldest} or newer is needed ({interpreter}).")
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Check(interpreter, version, problem=text.format(version=version, oldest=oldest, interpreter=interpreter))
    lacks = tuple(line for line in requirements if not _meets(found.get(_name(line)), line))
    tools = tuple(name for name, line in BRAIN_TOOLS.items() if _meets(found.get(name), line))
    return Check(interpreter, version, lacks, brain_tools=tools)


def check_now(interpreter: str, requirements: Sequence[str] | None = None) -> Check:
    """Check an interpreter and wait for it (well under a second)."""
    wanted = read_requirements() if requirements is None else requirements
    try:
        answer = subprocess.run(  # noqa: S603 - our own text, no shell
            check_command(interpreter, wanted),
            capture_output=True,
            text=True,
            timeout=_CHECK_TIMEOUT_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return read_check(interpreter, wanted, "")
    return read_check(interpreter, wanted, answer.stdout)


def question(lacks: Sequence[str]) -> str:
    """What the user is asked before anything is installed: the exact list with sizes, and who installs it."""
    optional = set(lacks) <= set(BRAIN_TOOLS.values())
    needed = _("The segmentation needs these Python packages in Slicer's Python (download size):\n\n{packages}")
    wanted = _("Extracting the brain needs this Python package in Slicer's Python (download size):\n\n{packages}")
    packages = "\n".join(f"  - {line} ({_DOWNLOADS.get(_name(line), _('size unknown'))})" for line in lacks)
    parts = [
        wanted if optional else needed,
        *([_("PyTorch is installed by the PyTorch extension.")] if torch_lines(lacks) else []),
        _("Install them now?"),
    ]
    return "\n\n".join(parts).format(packages=packages)


def offline_help(lacks: Sequence[str]) -> str:
    """What to do without a network."""
    packages = " ".join(f'"{line}"' for line in lacks)
    text = _(
        "No network? On a computer with a network, with the same system and Python {version}, run:\n"
        "  python -m pip download -d wheels {packages}\n"
        "Bring the folder here and run:\n"
        "  PythonSlicer -m pip install --no-index --find-links wheels {packages}\n"
        "Or choose a Python that has the packages under Advanced, Python interpreter."
    )
    version = ".".join(map(str, sys.version_info[:2]))
    return text.format(version=version, packages=packages)


def torch_lines(lines: Sequence[str]) -> list[str]:
    """The requirement lines that are about PyTorch."""
    return [line for line in lines if _name(line) == _TORCH]


def _name(line: str) -> str:
    return re.split(r"[^\w.-]", line, maxsplit=1)[0]


def _meets(version: str | None, line: str) -> bool:
    from packaging.requirements import Requirement  # ships with Slicer; not needed while it starts

    return version is not None and Requirement(line).specifier.contains(version.split("+")[0], prereleases=True)
