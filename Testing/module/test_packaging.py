"""What ships: CMake lists every file, and only the panel and the entry file know Qt."""

from __future__ import annotations

import ast
import re
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "DMAFSegment"
SOURCES = sorted([MODULE / "DMAFSegment.py", *(MODULE / "DMAFSegmentLib").glob("*.py")])


def listed(variable: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "DMAFSegment")
    return re.search(rf"set\({variable}\s+(.*?)\s*\)", text, re.DOTALL).group(1).split()


def on_disk(*patterns: str) -> set[str]:
    found = (path for pattern in patterns for path in MODULE.rglob(pattern) if "__pycache__" not in path.parts)
    return {path.relative_to(MODULE).as_posix() for path in found if path.is_file()}


def test_cmake_lists_every_script():
    assert set(listed("MODULE_PYTHON_SCRIPTS")) == on_disk("*.py")


def test_cmake_lists_every_resource():
    assert set(listed("MODULE_PYTHON_RESOURCES")) == on_disk("Resources/**/*")


def test_no_file_is_listed_twice():
    names = listed("MODULE_PYTHON_SCRIPTS") + listed("MODULE_PYTHON_RESOURCES")
    assert len(names) == len(set(names))


def test_extension_description_is_what_the_index_reads():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    fields = dict(re.findall(r'^set\((EXTENSION_\w+) "([^"\n]+)"\)$', text, re.MULTILINE))
    assert set(fields) == {
        *("EXTENSION_HOMEPAGE", "EXTENSION_CONTRIBUTORS", "EXTENSION_DESCRIPTION"),
        *("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS", "EXTENSION_DEPENDS"),
    }
    assert "project(DMAFSegment)" in text
    assert "Not a medical device" in fields["EXTENSION_DESCRIPTION"]
    icon = fields["EXTENSION_ICONURL"].split("/main/")[1]
    assert (ROOT / icon).is_file()


def test_icon_is_128_pixels_with_transparency():
    data = (MODULE / "Resources" / "Icons" / "DMAFSegment.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (width, height, depth, kind) == (128, 128, 8, 6)


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports_stay_inside_the_rules(path):
    names = imported(path)
    roots = {name.split(".")[0] for name in names}
    assert not roots & {"torch", "ctk", "safetensors", "PySide6", "threading", "pickle"}
    assert "qt" not in roots or path.name.startswith(("panel", "DMAFSegment"))
    library = {name for name in names if name.startswith("DMAFTraining")}
    torch_free = {"modalities", "inference.metadata", "inference.differences"}
    torch_free |= {"inference.case_comparison", "inference.comparison_document"}  # see the contract in pyproject.toml
    torch_free |= {"inference.reference_choice", "inference.scans.cache_folder", "inference.sequence_names"}
    assert library - {"DMAFTraining.inference"} <= {f"DMAFTraining.{name}" for name in torch_free}
