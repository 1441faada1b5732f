"""Model files: installing from a file, removing, cards, and the rows of the list."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import pytest

from DMAFSegmentLib import model_files
from DMAFSegmentLib.catalogue import CatalogueError, describe_bundle, read_catalogue
from DMAFSegmentLib.model_files import ModelFileError, card_text, disk_use, install_file, remove, why_kept
from DMAFSegmentLib.model_list import list_models, size_text
from DMAFSegmentLib.models import find_models
from DMAFTraining.inference.metadata import BundleError

SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Models"
URL = "https://models.example.org/m.safetensors"


@pytest.fixture
def folder(tmp_path):
    """The user's folder; it does not exist yet."""
    return tmp_path / "home" / "models"


@pytest.fixture
def offer(tmp_path, bundle):
    document = {"schema_version": 1, "models": [describe_bundle(bundle, URL, {"cpu": 13, "gpu": 0.5}, "# Offered")]}
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_catalogue(path)[0]


def names(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_model_and_card_are_copied_under_the_models_own_name(bundle, folder):
    bundle.with_suffix(".md").write_text("# Card", encoding="utf-8")
    path = install_file(bundle, folder)
    assert names(folder) == ["brats-test-0.1.md", "brats-test-0.1.safetensors"]
    assert path.read_bytes() == bundle.read_bytes()
    assert [entry.path for entry in find_models([folder])] == [path]


def test_installing_again_replaces(bundle, folder):
    assert install_file(bundle, folder) == install_file(bundle, folder)
    assert install_file(folder / "brats-test-0.1.safetensors", folder).read_bytes() == bundle.read_bytes()


def test_what_is_no_model_is_not_copied(tmp_path, folder):
    (tmp_path / "photo.safetensors").write_bytes(b"\x89PNG" * 9)
    with pytest.raises(BundleError, match="is not a model file"):
        install_file(tmp_path / "photo.safetensors", folder)
    assert not folder.exists()


def test_model_that_was_cut_off_is_refused(bundle, folder):
    content = bundle.read_bytes()
    header = json.loads(content[8:])
    header["weight"] = {"dtype": "F16", "shape": [50], "data_offsets": [0, 100]}
    text = json.dumps(header).encode()
    bundle.write_bytes(struct.pack("<Q", len(text)) + text + bytes(60))
    with pytest.raises(ModelFileError, match="is cut off: 40 bytes are missing"):
        install_file(bundle, folder)
    bundle.write_bytes(struct.pack("<Q", len(text)) + text + bytes(100))
    assert install_file(bundle, folder).is_file()


def test_copy_that_fails_leaves_nothing(bundle, folder, monkeypatch):
    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_files.os, "fsync", full)
    with pytest.raises(ModelFileError, match=r"could not be copied to .*: No space left on device"):
        install_file(bundle, folder)
    assert names(folder) == []


def test_catalogue_is_installed_under_a_name_that_is_found(tmp_path, bundle, folder):
    source = tmp_path / "our site.json"
    source.write_text(json.dumps({"schema_version": 1, "models": [describe_bundle(bundle, URL)]}), encoding="utf-8")
    assert install_file(source, folder).name == "our site.catalogue.json"
    source.write_text("{}", encoding="utf-8")
    with pytest.raises(CatalogueError, match="schema_version is missing"):
        install_file(source, folder)


def test_only_the_users_own_models_can_be_removed(bundle, folder):
    bundle.with_suffix(".md").write_text("# Card", encoding="utf-8")
    path = install_file(bundle, folder)
    assert why_kept(path, folder) == ""
    remove(path, folder)
    assert names(folder) == []
    assert why_kept(SHIPPED / "m.safetensors", folder).startswith("This model came with the extension")
    with pytest.raises(ModelFileError, match="does not manage"):
        remove(bundle, folder)
    assert bundle.exists()


def test_disk_use_counts_unfinished_downloads_too(bundle, folder):
    assert disk_use(folder) == 0
    path = install_file(bundle, folder)
    path.with_name("other.safetensors.0123456789ab.part").write_bytes(bytes(500))
    assert disk_use(folder) == bundle.stat().st_size + 500


def test_card_is_the_file_beside_the_model_then_the_catalogue_then_the_description(bundle, offer):
    (entry,) = find_models([bundle.parent])
    assert card_text(entry, None).startswith("# Brain tumor test model, 0.1")
    assert "learned from simulated data only" in card_text(entry, None)
    assert card_text(entry, offer) == "# Offered"
    assert card_text(None, offer) == "# Offered"
    assert card_text(None, dataclasses.replace(offer, card="")).startswith("# Brain tumor test model")
    bundle.with_suffix(".md").write_text("# Beside", encoding="utf-8")
    assert card_text(entry, offer) == "# Beside"


def test_rows_match_files_and_offers(bundle, offer, folder, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    other = dataclasses.replace(offer, name="other", title="Other", size=2_500_000)
    without_url = dataclasses.replace(offer, name="nowhere", url="")
    rows = list_models(find_models([tmp_path]), [offer, other, without_url], tmp_path)
    assert [(row.title, row.state) for row in rows] == [
        ("Brain tumor test model, 0.1", "installed"),
        ("broken.safetensors (cannot be used)", "not usable"),
        ("Other, 0.1", "to download"),
    ]
    assert rows[0].size == bundle.stat().st_size
    assert size_text(rows[2].size) == "2.5 MB"
    assert list_models(find_models([tmp_path]), [], folder)[0].state == "in another folder"
    (shipped,) = list_models(find_models([SHIPPED]), [], folder)
    assert shipped.state == "shipped"


def test_card_begins_with_the_facts(bundle, offer):
    (row,) = list_models(find_models([bundle.parent]), [offer], bundle.parent)
    assert row.card.splitlines()[0] == (
        "*From T1, T1ce, FLAIR, T2: Necrotic core, Edema, Enhancing tumor; voxels of 2 x 2 x 2 mm; "
        "license Apache-2.0; about 13 s on a processor; about 0.5 s on a graphics card.*"
    )
    (offered,) = list_models([], [offer], bundle.parent)
    assert offered.card == row.card


@pytest.mark.parametrize(("count", "text"), [(0, "0.0 MB"), (15_337_810, "15.3 MB"), (123_456_789, "123 MB")])
def test_sizes_for_people(count, text):
    assert size_text(count) == text
