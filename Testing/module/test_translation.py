"""Every text a user sees can be translated: whole sentences in ``_()``, values filled in outside."""

from __future__ import annotations

import ast
import re
import string
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "DMAFSegment"
SOURCES = sorted([MODULE / "DMAFSegment.py", *(MODULE / "DMAFSegmentLib").glob("*.py")])
UI_FILE = MODULE / "Resources" / "UI" / "DMAFSegment.ui"
SHOWN_ATTRIBUTES = {"text", "toolTip", "accessibleName", "placeholderText", "title", "noneDisplay", "format"}
SHOWING_CALLS = {"addItem", "addAction", "setText", "setToolTip", "setWindowTitle", "errorDisplay", "infoDisplay"}
SHOWING_CALLS |= {"warningDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay", "setHorizontalHeaderLabels"}
TRANSLATORS = {"_", "translate"}


def trees():
    return [pytest.param(path, ast.parse(path.read_text(encoding="utf-8")), id=path.name) for path in SOURCES]


def called(node):
    """Name of the function or method that is called."""
    return getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""


def untranslated(node):
    """Words that reach the user as they are: in constants and f-strings outside of ``_()`` and its ``format``."""
    if called(node) in TRANSLATORS:
        return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and re.search(r"[^\W\d_]{2}", node.value):
            yield node.value
        return
    inner = [node.func] if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    if isinstance(node, ast.FormattedValue | ast.Subscript | ast.Compare | ast.Dict):
        return  # a value, not a text
    for child in inner:
        yield from untranslated(child)


@pytest.mark.parametrize(("path", "tree"), trees())
def test_texts_for_translation_are_literal(path, tree):
    """Slicer's tools collect the texts from the source: no f-string, no variable, no sum."""
    for node in ast.walk(tree):
        if called(node) in TRANSLATORS:
            for argument in node.args:
                assert isinstance(argument, ast.Constant), f"{path.name}:{node.lineno}"
                assert isinstance(argument.value, str), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(("path", "tree"), trees())
def test_placeholders_have_names_and_are_filled_outside(path, tree):
    """``_("{n} of {m}").format(n=.., m=..)``: translators may change the order."""
    for node in ast.walk(tree):
        if called(node) == "format" and called(node.func.value) in TRANSLATORS:
            text = node.func.value.args[-1].value
            names = {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None}
            assert not node.args, f"{path.name}:{node.lineno}"
            assert {keyword.arg for keyword in node.keywords} == names, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize(("path", "tree"), trees())
def test_what_is_shown_is_translated(path, tree):
    for node in ast.walk(tree):
        shown = []
        if isinstance(node, ast.Assign):
            shown = [node.value for target in node.targets if getattr(target, "attr", "") in SHOWN_ATTRIBUTES]
        elif called(node) in SHOWING_CALLS:
            shown = node.args[:1]
        words = [text for value in shown for text in untranslated(value)]
        assert words == [], f"{path.name}:{node.lineno} shows {words} without _()"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('_("Ready")', []),
        ('"Ready"', ["Ready"]),
        ('f"{count} results"', [" results"]),
        ('_("{n} results").format(n="two")', []),
        ('"Ready".format(1)', ["Ready"]),
        ('", ".join(names)', []),
        ('_("Ready") + "!"', []),
        ('"ready" if done else _("Busy")', ["ready"]),
        ('f"{value:.2f}"', []),
    ],
)
def test_the_check_itself_finds_untranslated_words(source, words):
    assert list(untranslated(ast.parse(source, mode="eval").body)) == words


def test_texts_of_the_ui_file_are_translatable_english():
    """Designer marks texts that must not be translated; in our file every text with words is for people."""
    root = ElementTree.parse(UI_FILE).getroot()  # noqa: S314 - our own file
    assert root.findtext("class") == "DMAFSegment"  # the context translators see
    texts = [element for element in root.iter("string") if element.text]
    assert len(texts) > 20
    shown = [
        element
        for entry in root.iter("property")
        if entry.get("name") in {"text", "toolTip", "accessibleName", "noneDisplay", "placeholderText", "format"}
        for element in entry.findall("string")
        if element.text
    ]
    for element in shown:
        assert element.get("notr") is None, element.text
        assert element.text == element.text.strip(), element.text
        assert element.text.isascii(), element.text
