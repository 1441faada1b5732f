"""Model bundles: what is stored, and that every kind of damage is refused with a sentence."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from DMAFTraining.inference.bundle import load_bundle, save_bundle
from DMAFTraining.inference.metadata import BundleError, parse_document, read_metadata
from tiny import tiny_metadata, tiny_network, write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(tmp_path / "tiny.safetensors")


def _header_end(path: Path) -> int:
    return 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]


def test_document_survives_writing_and_reading(bundle: Path) -> None:
    assert read_metadata(bundle).to_json() == tiny_metadata().to_json()
    assert read_metadata(bundle).modalities == tiny_metadata().modalities


def test_loaded_network_gives_the_same_result(bundle: Path) -> None:
    images, present = torch.randn(1, 4, 32, 32, 32), torch.tensor([[True, False, True, True]])
    with torch.no_grad():
        expected = tiny_network().half().float()(images, present)  # stored in half precision
        loaded = load_bundle(bundle).network(images, present)
    assert torch.equal(expected, loaded)


def test_training_only_weights_are_not_stored(bundle: Path) -> None:
    names = [n for n in load_bundle(bundle).network.state_dict() if n.startswith(("unimodal", "deep"))]
    assert names == []
    assert b"unimodal_decoder" not in bundle.read_bytes()


def test_any_single_flipped_byte_is_noticed(bundle: Path) -> None:
    content = bundle.read_bytes()
    end = _header_end(bundle)
    places = [0, 9, 40, end // 2, end - 3, end, end + 1, (end + len(content)) // 2, len(content) - 1]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 0x04
        bundle.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"damaged|is no|not a|cannot be used"):
            load_bundle(bundle)


@pytest.mark.parametrize("keep", [0, 5, 200, 0.5, -1])
def test_truncated_file_is_refused(bundle: Path, keep: float) -> None:
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(keep * len(content))] if 0 < keep < 1 else content[: int(keep)])
    with pytest.raises(BundleError):
        load_bundle(bundle)


def test_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BundleError, match="not a model file"):
        load_bundle(path)
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(BundleError, match="not a model file"):
        load_bundle(path)
    assert not (tmp_path / "exploded").exists()


def test_foreign_safetensors_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(BundleError, match="carries no model description"):
        read_metadata(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"There is no model file at .*nowhere.safetensors"):
        load_bundle(tmp_path / "nowhere.safetensors")


def test_infinite_weight_is_not_written(tmp_path: Path) -> None:
    weights = dict(tiny_network().state_dict())
    weights["decoder.head.bias"] = torch.full_like(weights["decoder.head.bias"], float("inf"))
    with pytest.raises(BundleError, match=r"decoder.head.bias holds values that are not finite"):
        save_bundle(tmp_path / "x.safetensors", tiny_metadata(), weights)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    weights = dict(tiny_network().state_dict())
    weights["decoder.head.bias"] = torch.zeros(7)
    save_bundle(tmp_path / "x.safetensors", tiny_metadata(), weights)
    with pytest.raises(BundleError, match="weights do not fit its network"):
        load_bundle(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 2}, "format version 2, this program reads 1"),
        ({"name": None}, "field name should be str, not NoneType"),
        ({"labels": []}, "field labels is empty"),
        ({"labels": [{"value": 2, "name": "x", "color": [1, 2, 3]}]}, "values 1, 2, 3"),
        ({"labels": [{"value": 1, "name": "x", "color": [1, 2, 999]}]}, r"labels\[0\].color should be 3 numbers"),
        ({"regions": [{"name": "a", "title": "A", "labels": [9]}]}, "label value that does not exist"),
        ({"preprocessing": {"spacing": [2, 2], "orientation": "RAS", "normalization": "zscore-brain"}}, "spacing"),
        ({"preprocessing": {"spacing": [2, 2, 2], "orientation": "LPS", "normalization": "x"}}, "update the program"),
        ({"window": {"patch": [32, 32, 32], "overlap": 1.0}}, "window.overlap should be at least 0 and below 1"),
        ({"window": {"patch": [32.5, 32, 32], "overlap": 0.5}}, "whole numbers"),
        ({"modalities": [{"name": "a", "title": "A"}, {"name": "a", "title": "B"}]}, "share a name"),
        ({"expected_dice": {"T1": {"WT": 1.5}}}, r"expected_dice\['T1'\]"),
        ({"temperature": 0}, "temperature should be above 0"),
        ({"network": {"name": "dmafnet"}}, "network.config is missing"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], sentence: str) -> None:
    document = json.loads(tiny_metadata().to_json()) | change
    with pytest.raises(BundleError, match=sentence):
        parse_document(json.dumps(document))


def test_metadata_is_read_without_torch(bundle: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from DMAFTraining.inference.metadata import read_metadata; "
        f"print(read_metadata({str(bundle)!r}).name, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tiny", "False", "False"]
