"""The checks of Slicer's Extensions Index that need no network, and the pages and workflows around them."""

from __future__ import annotations

import ast
import json
import re
import struct
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "DMAFSegment"
SCRIPTS = sorted([MODULE / "DMAFSegment.py", *(MODULE / "DMAFSegmentLib").rglob("*.py")])
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
REQUIRED = {"$schema", "category", "scm_url"}
ALLOWED = REQUIRED | {"build_dependencies", "build_subdirectory", "scm_revision", "scm_type", "tier"}
ALLOWED |= {"enabled", "dicom_support_rule"}
LICENSES = {"LICENSE", "LICENCE", "License.txt", "license.txt", "LICENSE.txt", "COPYING", "COPYING.txt"}
SLICER_BRINGS = {"qt", "slicer", "vtk", "numpy", "scipy", "SimpleITK", "DMAFSegmentLib", "DMAFTraining"}
MAX_CHECKOUT = 100_000_000


def code_blocks(page, language):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def entry():
    (block,) = code_blocks("slicer-extension-index.md", "json")
    assert "\r" not in block
    return json.loads(block)


@pytest.fixture(scope="module")
def cmake():
    """The root CMakeLists.txt, and its EXTENSION_ variables as the index reads them: one line each."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return text, dict(re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]+)"\)$', text, re.MULTILINE))


def test_entry_has_the_fields_of_the_schema_and_no_others(entry):
    assert set(entry) >= REQUIRED
    assert set(entry) <= ALLOWED
    assert re.fullmatch(r"https://\S+/slicer-extension-catalog-entry-schema-v1\.0\.\d+\.json#", entry["$schema"])
    assert entry["category"] == "Segmentation"
    assert entry["tier"] in (1, 3, 5)
    assert (entry["build_subdirectory"], entry["scm_revision"]) == (".", "main")


def test_names_follow_the_rules_of_the_index(entry, cmake):
    name = re.search(r"^project\((\w+)\)$", cmake[0], re.MULTILINE).group(1)
    assert name == "DMAFSegment"
    assert not name.lower().startswith("slicer")
    repository = re.fullmatch(r"https://github\.com/[\w-]+/([\w-]+)\.git", entry["scm_url"]).group(1)
    assert re.match(r"Slicer[-_]?|SlicerExtension-", repository)
    assert cmake[1]["HOMEPAGE"] == entry["scm_url"].removesuffix(".git")


def test_the_same_dependencies_in_entry_and_cmake(entry, cmake):
    assert entry["build_dependencies"] == cmake[1]["DEPENDS"].split() == ["PyTorch"]


def test_cmake_has_what_the_extension_wizard_and_the_build_look_for(cmake):
    text = cmake[0]
    order = ["project(", "EXTENSION_DEPENDS", "find_package(Slicer REQUIRED)", "include(${Slicer_USE_FILE})"]
    order += ["add_subdirectory(DMAFSegment)", "## NEXT_MODULE", "include(${Slicer_EXTENSION_GENERATE_CONFIG})"]
    order += ["include(${Slicer_EXTENSION_CPACK})"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


@pytest.mark.parametrize("variable", ["ICONURL", "SCREENSHOTURLS"])
def test_picture_addresses_lead_to_pictures_of_this_repository(cmake, entry, variable):
    repository = entry["scm_url"].removeprefix("https://github.com/").removesuffix(".git")
    for address in cmake[1][variable].split():
        base, _, path = address.partition(f"/{repository}/{entry['scm_revision']}/")
        assert base == "https://raw.githubusercontent.com"
        start = (ROOT / path).read_bytes()[:3]
        assert start in (b"\x89PN", b"\xff\xd8\xff", b"GIF")


def test_license_and_size_of_the_checkout():
    assert any((ROOT / name).is_file() for name in LICENSES)
    ours = [path for path in ROOT.iterdir() if path.name not in (".venv", "runs", "demo-output", "build", "dist")]
    files = [f for path in ours for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file()]
    assert sum(f.stat().st_size for f in files if "cache" not in str(f)) < MAX_CHECKOUT


def test_icon_can_be_seen_on_light_and_on_dark():
    """The ring of sequences has a contrast of 3 to the window colors of both themes."""
    icon = Image.open(MODULE / "Resources" / "Icons" / "DMAFSegment.png").convert("RGBA")
    assert icon.size == (128, 128)
    for x, y in ((64, 7), (7, 64), (64, 120)):  # the middles of the three sequences that exist
        red, green, blue, alpha = icon.getpixel((x, y))
        assert alpha == 255
        for background in ((239, 239, 239), (53, 53, 53)):
            assert contrast((red, green, blue), background) >= 3


def contrast(one, other):
    """Contrast ratio of WCAG 2.1 between two sRGB colors, 1 to 21."""

    def luminance(color):
        parts = [c / 255 for c in color]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_black_on_white_is_21():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


# -- what a reviewer looks for in the code ------------------------------------------------------------


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_nothing_runs_and_nothing_foreign_is_imported_at_file_scope(path):
    allowed = SLICER_BRINGS | set(sys.stdlib_module_names)
    for node in file_scope(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert {name.split(".")[0] for name in names} <= allowed, f"{path.name}:{node.lineno}"
        elif isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant) or is_path_setup(path, node), f"{path.name}:{node.lineno}"
        else:
            assert not isinstance(node, ast.For | ast.While | ast.With), f"{path.name}:{node.lineno}"


def file_scope(tree):
    """Statements that run at import: also those inside ``if`` and ``try``, not those of a script's main block."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            continue
        if isinstance(node, ast.If | ast.Try):
            handlers = [statement for handler in getattr(node, "handlers", []) for statement in handler.body]
            yield from file_scope(ast.Module([*node.body, *node.orelse, *handlers], []))
        else:
            yield node


def is_path_setup(path, node):
    """The one exception: the package puts the network library on sys.path."""
    return path.name == "__init__.py" and ast.unparse(node).startswith("sys.path.append(")


# -- workflow -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def steps_of(workflow, job):
    return workflow["jobs"][job]["steps"]


def test_ci_runs_the_command_of_a_developer_on_both_pythons(workflow):
    assert workflow["jobs"]["checks"]["strategy"]["matrix"]["python"] == ["3.11", "3.12"]
    assert ".ci/run" in [step.get("run") for step in steps_of(workflow, "checks")]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_ci_runs_the_tests_inside_slicer(workflow):
    command = steps_of(workflow, "slicer")[-1]["run"]
    for option in ("--testing", "--no-main-window", "--additional-module-paths", "--python-script"):
        assert option in command
    script = re.search(r'\$PWD/(\S+\.py)"', command).group(1)
    assert (ROOT / script).is_file()


def test_actions_are_pinned_and_may_only_read(workflow):
    used = [step["uses"] for job in workflow["jobs"] for step in steps_of(workflow, job) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", name) for name in used)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_thumbnail_is_a_png_of_the_size_of_sample_data():
    data = (MODULE / "Resources" / "SampleData" / "sample.png").read_bytes()
    assert struct.unpack(">II", data[16:24]) == (260, 280)
