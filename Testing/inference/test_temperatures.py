"""A temperature for each subset: in the description, and in every way that inference computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from DMAFTraining.benchmarking.inference_plain import segment_plainly
from DMAFTraining.inference.bundle import load_bundle, rewrite_bundle, save_bundle
from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.metadata import BundleError, parse_document, read_header, read_metadata
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.inference.sliding_window import segment_subsets
from DMAFTraining.inference.tiles import cut_tiles
from DMAFTraining.modalities import BRATS
from tiny import head_grid, head_volume, tiny_metadata, tiny_network, write_tiny_bundle

WINDOW = (32, 32, 32)
ROWS = [BRATS.flags(subset) for subset in BRATS.subsets()[::3]]
TEMPERATURES = [0.5, 1.0, 3.0, 0.7, 1.5]


def _images(size: tuple[int, ...] = (33, 32, 34)) -> torch.Tensor:
    return torch.randn(4, *size, generator=torch.Generator().manual_seed(3))


def test_each_subset_gets_its_own_whether_together_or_alone() -> None:
    network, images = tiny_network(), _images()
    together = segment_subsets(network, images, ROWS, WINDOW, 0.5, TEMPERATURES)
    for n in (0, 2, 4):
        alone = segment_plainly(network, images, [ROWS[n]], WINDOW, 0.5, TEMPERATURES[n])[0]
        assert (together[n] - alone).abs().max() < 1e-4
    plain = segment_subsets(network, images, ROWS, WINDOW, 0.5)
    changed = (plain - together).abs().amax(dim=(1, 2, 3, 4)) > 1e-3
    assert changed.tolist() == [temperature != 1.0 for temperature in TEMPERATURES]


@pytest.mark.parametrize("budget", [None, 1])
def test_any_plan_gives_every_subset_its_own(budget: int | None) -> None:
    """With next to no memory subsets are done one by one, in groups that start anywhere."""
    network, images = tiny_network(), _images()
    engine = Engine(network, budget=budget)
    found = torch.stack(list(engine.probabilities(images, ROWS, WINDOW, 0.5, TEMPERATURES)))
    expected = segment_subsets(network, images, ROWS, WINDOW, 0.5, TEMPERATURES)
    assert (found - expected).abs().max() < 1e-5


def test_one_number_is_for_all_and_a_wrong_count_is_an_error() -> None:
    network, images = tiny_network(), _images((32, 32, 32))
    one = segment_subsets(network, images, ROWS[:3], WINDOW, 0.5, 2.0)
    same = segment_subsets(network, images, ROWS[:3], WINDOW, 0.5, [2.0] * 3)
    assert torch.equal(one, same)
    with pytest.raises(RuntimeError, match="expand"):
        segment_subsets(network, images, ROWS[:3], WINDOW, 0.5, [2.0, 1.0])


def test_the_segmenter_uses_the_temperatures_of_its_model(tmp_path: Path) -> None:
    metadata = replace(tiny_metadata(), temperature=3.0, temperatures={"T1+FLAIR": 0.5, "T1": 1.0})
    save_bundle(tmp_path / "m.safetensors", metadata, tiny_network().state_dict())
    plain = write_tiny_bundle(tmp_path / "plain.safetensors")
    volumes = {name: head_volume(head_grid(), seed) for seed, name in enumerate(("t1", "flair"))}
    peaks = []
    for path in (tmp_path / "m.safetensors", plain):
        segmenter = Segmenter(path, "cpu", "fp32")
        results = segmenter.probabilities(segmenter.prepare(volumes), "all")
        peaks.append({str(subset): float(classes.amax(dim=0).mean()) for subset, classes in results})
    ours, uncalibrated = peaks
    assert ours["T1"] == uncalibrated["T1"]
    assert ours["T1+FLAIR"] > uncalibrated["T1+FLAIR"]  # 0.5 sharpens
    assert ours["FLAIR"] < uncalibrated["FLAIR"]  # the rest gets 3


def test_documents_may_spell_subsets_as_they_like_and_survive_the_way_back() -> None:
    metadata = replace(
        tiny_metadata(),
        temperatures={"T1+FLAIR": 1.5},
        calibration_error={"T1+FLAIR": {"before": 0.02, "after": 0.01}},
        calibration_source="3 cases",
    )
    assert parse_document(metadata.to_json()).to_json() == metadata.to_json()
    document = json.loads(metadata.to_json()) | {"temperatures": {"flair+T1": 1.5}}
    assert parse_document(json.dumps(document)).temperatures == {"T1+FLAIR": 1.5}


def test_models_from_before_load_and_are_written_as_before() -> None:
    text = tiny_metadata().to_json()
    assert not {"temperatures", "calibration_error", "calibration_source"} & set(json.loads(text))
    metadata = parse_document(text)
    assert (metadata.temperatures, metadata.temperature_of(BRATS.full())) == ({}, 1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"temperatures": {"T1": 0}}, r"temperatures\['T1'\] should be a number above 0"),
        ({"temperatures": {"T1": True}}, r"temperatures\['T1'\] should be a number above 0"),
        ({"temperatures": {"T9": 1.0}}, "'T9' in 'T9' is not a sequence"),
        ({"temperatures": {"T1+FLAIR": 1.0, "flair+t1": 2.0}}, r"names T1\+FLAIR twice"),
        ({"temperatures": [1.0]}, "temperatures should be dict, not list"),
        ({"calibration_error": {"T1": {"before": 0.1}}}, r"calibration_error\['T1'\] should hold before and after"),
    ],
)
def test_wrong_temperatures_are_named(change: dict[str, object], sentence: str) -> None:
    document = json.loads(tiny_metadata().to_json()) | change
    with pytest.raises(BundleError, match=sentence):
        parse_document(json.dumps(document))


def test_another_description_leaves_every_weight_as_it_is(tmp_path: Path) -> None:
    source, target = write_tiny_bundle(tmp_path / "a.safetensors"), tmp_path / "b.safetensors"
    rewrite_bundle(source, target, replace(read_metadata(source), temperature=2.0))
    assert read_metadata(target).temperature == 2.0
    hashes = {read_header(path)["__metadata__"]["weights_sha256"] for path in (source, target)}
    assert len(hashes) == 1
    ours, theirs = (load_bundle(path).network.state_dict() for path in (source, target))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    before = source.read_bytes()
    with pytest.raises(BundleError, match="it is the model itself"):
        rewrite_bundle(source, source, read_metadata(source))
    damaged = bytearray(before)
    damaged[-1] ^= 4
    source.write_bytes(damaged)
    with pytest.raises(BundleError, match="damaged"):
        rewrite_bundle(source, tmp_path / "c.safetensors", tiny_metadata())
    assert not (tmp_path / "c.safetensors").exists()


def test_the_part_of_another_volume_lies_where_the_images_do() -> None:
    images = torch.zeros(4, 20, 50, 60)
    images[:, 2:18, 5:45, 10:20] = 1
    tiles = cut_tiles(images, torch.tensor([True] * 4), WINDOW, 0.5)
    assert torch.equal(tiles.part(images), tiles.images)
    assert torch.equal(tiles.whole(tiles.part(images))[1:], images[1:])
