"""Catalogues of models: the schema, the checks, and that the shipped one tells the truth."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from DMAFSegmentLib.catalogue import (
    CatalogueError,
    describe_bundle,
    file_stem,
    find_catalogues,
    load_schema,
    read_catalogue,
)
from DMAFSegmentLib.download import allowed
from DMAFSegmentLib.schema import problems
from DMAFTraining.inference.metadata import read_metadata

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "Resources" / "Models"
TOOL = ROOT / "Testing" / "tools" / "describe_model.py"
URL = "https://models.example.org/brats-test.safetensors"


@pytest.fixture
def document(bundle):
    """A catalogue of one model that can be downloaded."""
    return {"schema_version": 1, "models": [describe_bundle(bundle, URL, {"cpu": 5.5}, "# Card")]}


def write(path, document):
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


# -- the shipped catalogue --------------------------------------------------------------------


def test_every_shipped_model_is_described_truly():
    entries = {entry.key: entry for entry in read_catalogue(SHIPPED / "catalogue.json")}
    listed = json.loads((SHIPPED / "catalogue.json").read_text(encoding="utf-8"))["models"]
    bundles = sorted(SHIPPED.glob("*.safetensors"))
    assert len(entries) == len(bundles) > 0
    for path in bundles:
        metadata = read_metadata(path)
        (model,) = [m for m in listed if (m["name"], m["version"]) == (metadata.name, metadata.version)]
        assert model == {**describe_bundle(path), "seconds": model["seconds"]}
        assert not entries[f"{metadata.name} {metadata.version}"].url


def test_every_shipped_model_has_an_honest_card():
    for path in SHIPPED.glob("*.safetensors"):
        metadata = read_metadata(path)
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        assert metadata.title in card
        assert metadata.license in card
        assert "Not a medical device" in card
        assert not metadata.simulated_training or "simulated tumors only" in card


# -- reading ----------------------------------------------------------------------------------


def test_catalogue_is_read(tmp_path, document, bundle):
    (entry,) = read_catalogue(write(tmp_path / "catalogue.json", document))
    assert entry.key == "brats-test 0.1"
    assert entry.modalities == ("T1", "T1ce", "FLAIR", "T2")
    assert entry.labels == ("Necrotic core", "Edema", "Enhancing tumor")
    assert entry.spacing == (2.0, 2.0, 2.0)
    assert entry.size == bundle.stat().st_size
    assert (entry.url, entry.seconds, entry.card) == (URL, {"cpu": 5.5}, "# Card")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", "../evil", "models[0].name should match"),
        ("name", "name\n", "models[0].name should match"),
        ("name", ..., "models[0].name is missing"),
        ("version", 1, "models[0].version should be of type string"),
        ("title", "", "models[0].title should not be empty"),
        ("modalities", [], "models[0].modalities should have at least 1 entries"),
        ("labels", ["a", 2], "models[0].labels[1] should be of type string"),
        ("spacing", [2, 0, 2], "models[0].spacing[1] should be above 0"),
        ("spacing", [2, math.nan, 2], "models[0].spacing[1] should be above 0"),
        ("simulated_training", "yes", "models[0].simulated_training should be of type boolean"),
        ("size", 0, "models[0].size should be at least 1"),
        ("size", True, "models[0].size should be of type integer"),
        ("sha256", "A" * 64, "models[0].sha256 should match"),
        ("url", "http://example.org/m", "models[0].url should match"),
        ("url", "file:///m", "models[0].url should match"),
        ("seconds", {"tpu": 1}, "models[0].seconds.tpu is not a known field"),
        ("sise", 5, "models[0].sise is not a known field"),
    ],
)
def test_every_wrong_field_is_named(tmp_path, document, field, value, reason):
    document["models"][0][field] = value
    if value is ...:
        del document["models"][0][field]
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(write(tmp_path / "catalogue.json", document))
    assert reason in str(caught.value)
    assert str(tmp_path / "catalogue.json") in str(caught.value)


def test_all_wrong_fields_are_told_at_once(tmp_path, document):
    document["models"][0] |= {"size": -1, "sha256": "none"}
    with pytest.raises(CatalogueError, match=r"models\[0\]\.size .*; models\[0\]\.sha256"):
        read_catalogue(write(tmp_path / "catalogue.json", document))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not a usable catalogue"),
        ("[]", "the document should be of type object"),
        ('{"schema_version": 2, "models": []}', "schema_version should be 1"),
        ('{"schema_version": 1}', "models is missing"),
        ("\xff", "is not a usable catalogue"),
    ],
)
def test_what_is_no_catalogue(tmp_path, text, reason):
    path = tmp_path / "catalogue.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(CatalogueError, match=reason):
        read_catalogue(path)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(CatalogueError, match="cannot be read"):
        read_catalogue(tmp_path / "catalogue.json")


def test_model_listed_twice(tmp_path, document):
    document["models"] *= 2
    with pytest.raises(CatalogueError, match=r"brats-test 0\.1 is listed twice"):
        read_catalogue(write(tmp_path / "catalogue.json", document))


@pytest.mark.parametrize(
    "url",
    [URL, "https://h:8443/a", "http://localhost:80/m", "http://127.0.0.1/m", "http://[::1]:5/m", "http://h/m", "m", ""],
)
def test_schema_and_downloader_agree_on_addresses(document, url):
    document["models"][0]["url"] = url
    assert (problems(document, load_schema()) == []) is allowed(url)


def test_first_catalogue_wins_and_broken_ones_are_told(tmp_path, document):
    later = copy.deepcopy(document)
    later["models"][0]["title"] = "Later"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write(tmp_path / "a" / "catalogue.json", document)
    write(tmp_path / "b" / "site.catalogue.json", later)
    (tmp_path / "b" / "broken.catalogue.json").write_text("{", encoding="utf-8")
    entries, wrong = find_catalogues([tmp_path / "missing", tmp_path / "a", tmp_path / "b"])
    assert [entry.title for entry in entries] == ["Brain tumor test model"]
    assert len(wrong) == 1
    assert "broken.catalogue.json" in wrong[0]


@pytest.mark.parametrize(
    ("name", "version", "stem"),
    [("brats", "1.0", "brats-1.0"), ("../a b", "1/2", "a-b-1-2"), ("..", "", "model"), ("été", "1", "t--1")],
)
def test_file_names_are_safe(name, version, stem):
    assert file_stem(name, version) == stem


# -- the schema checker -----------------------------------------------------------------------


def test_unknown_keyword_in_a_schema_is_a_mistake():
    with pytest.raises(ValueError, match="unknown keywords: maxItems"):
        problems([], {"type": "array", "maxItems": 3})


def test_schema_uses_only_keywords_of_the_standard():
    schema = load_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert problems({"schema_version": 1, "models": []}, schema) == []


# -- the tool ---------------------------------------------------------------------------------


def run_tool(*arguments):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_tool_adds_and_replaces(tmp_path, bundle):
    catalogue, card = tmp_path / "site.catalogue.json", tmp_path / "card.md"
    card.write_text("# Ours\n", encoding="utf-8")
    for seconds in (7, 9):
        answer = run_tool(bundle, "--catalogue", catalogue, "--url", URL, "--card", card, "--cpu-seconds", seconds)
        assert (answer.returncode, answer.stderr) == (0, "")
    (entry,) = read_catalogue(catalogue)
    assert (entry.seconds, entry.card, entry.url) == ({"cpu": 9.0}, "# Ours\n", URL)


def test_tool_writes_nothing_that_is_wrong(tmp_path, bundle):
    answer = run_tool(bundle, "--catalogue", tmp_path / "catalogue.json", "--url", "http://example.org/m")
    assert answer.returncode == 2
    assert "models[0].url should match" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == [bundle.name]
