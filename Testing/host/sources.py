"""Refuse source code of the module that would only run on PySide6, before it is imported.

What is found by reading cannot be found by running here, because the stand-in is made of PySide6 itself.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

FOREIGN_BINDINGS = ("PySide6", "PySide2", "PyQt5", "PyQt6", "shiboken6", "__feature__")
QT_NAMES = ("qt", "ctk")


def check_folder(folder: Path, qt: ModuleType) -> None:
    """Check all Python files below ``folder``. Raises ImportError that lists every finding as file:line: reason."""
    findings = [
        f"{path.name}:{line}: {reason}"
        for path in sorted(folder.rglob("*.py"))
        for line, reason in find_problems(path.read_text(encoding="utf-8"), qt)
    ]
    if findings:
        raise ImportError("Slicer cannot run this source code:\n" + "\n".join(findings))


def find_problems(source: str, qt: ModuleType) -> Iterator[tuple[int, str]]:
    """Yield (line, reason) for each use of something that PythonQt does not have."""
    for node in ast.walk(ast.parse(source)):
        reason = _import_problem(node) or _call_problem(node) or _enum_problem(node, qt)
        if reason:
            yield node.lineno, reason


def _import_problem(node: ast.AST) -> str:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    foreign = [name for name in names if name.split(".")[0] in FOREIGN_BINDINGS]
    return f"{foreign[0]} does not exist in Slicer: import qt" if foreign else ""


def _call_problem(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and node.keywords and _dotted(node.func).split(".")[0] in QT_NAMES:
        return f"{_dotted(node.func)}() takes no keyword arguments in PythonQt"
    return ""


def _enum_problem(node: ast.AST, qt: ModuleType) -> str:
    """PythonQt has qt.Qt.AlignCenter, not qt.Qt.AlignmentFlag.AlignCenter."""
    parts = _dotted(node).split(".")
    if len(parts) != 4 or parts[0] != "qt":
        return ""
    owner = getattr(getattr(qt, parts[1], None), parts[2], None)
    if isinstance(owner, type) and issubclass(owner, enum.Enum):
        return f"{'.'.join(parts)}: write qt.{parts[1]}.{parts[3]}"
    return ""


def _dotted(node: ast.AST) -> str:
    """Return "a.b.c" of an attribute chain, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""
