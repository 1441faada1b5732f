"""Contribution maps: the weights of the fusion, as shares of 1 on the reference grid; and a job that writes them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.contribution import FusionShares, brain_shares, sequence_shares
from DMAFTraining.inference.errors import Cancelled, InputError
from DMAFTraining.inference.geometry import Volume, to_image
from DMAFTraining.inference.job import Job, read_job
from DMAFTraining.inference.runner import run_job
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from DMAFTraining.networks.unet import UNet, UNetConfig
from tiny import head_grid, head_volume, tiny_heart_metadata, tiny_metadata, tiny_network, write_tiny_bundle

GRID = head_grid((36, 40, 34), 3.1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("m") / "tiny.safetensors")


class Events:
    """Keeps what a job tells."""

    def __init__(self) -> None:
        self.all: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, **fields: Any) -> None:
        self.all.append((event, fields))


@pytest.mark.parametrize(("dims", "size"), [(3, (32, 32, 32)), (2, (32, 48))])
def test_weights_are_those_that_the_fusion_multiplies_with(dims: int, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = DMAFNet(DMAFNetConfig(3, 2, dims, width=2, grid=(2,) * dims, layers=1, channels_per_head=2)).eval()
    torch.nn.init.normal_(network.fusions[0].score.weight, std=2)
    images, present = (
        torch.randn(1, 3, *size),
        torch.tensor([[True, False, True], [True, True, True], [False, True, False]]),
    )
    with torch.no_grad():
        features = network.encode(images, torch.ones(1, 3, dtype=torch.bool))
        weights = network.fusion_weights(features, present)
        fused = network.fuse(features, present, [0, 0, 0])[0]
    assert weights.shape == (3, 3, *size)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3, *size))
    assert (weights[0, 1] == 0).all()
    assert weights[2, 1].min() == 1
    assert weights[1].std() > 0.01
    # Eq. (3): the fused features are the weighted sum.
    for row, each in zip(weights, fused, strict=True):
        torch.testing.assert_close(
            (row[:, None] * features[0][0]).sum(dim=0), each.reshape(2, *size), rtol=0, atol=1e-5
        )


def test_the_engine_gives_the_weights_of_a_window_back() -> None:
    network = tiny_network()
    images, present = torch.randn(1, 4, 32, 32, 32), torch.tensor([[True, True, False, True]])
    with torch.no_grad():
        shares = FusionShares(network)
        features = shares.encode(images, present)
        again = shares.decode(features, present).softmax(dim=1)
        torch.testing.assert_close(again, network.fusion_weights(features, present))
    assert shares.config.classes == 4


def test_shares_are_one_in_sum_in_the_brain_and_nothing_around_it(bundle: Path) -> None:
    segmenter = Segmenter(bundle, "cpu")
    inputs = {name: head_volume(GRID, seed) for seed, name in enumerate(("t1", "flair", "t2"))}
    case = segmenter.prepare(inputs)
    told: list[float] = []
    found = sequence_shares(segmenter, case, told.append)
    assert list(found) == ["t1", "flair", "t2"]
    total = sum(found.values())
    brain = inputs["t1"].array != 0
    assert total.shape == GRID.size
    assert np.abs(total[total > 0] - 1).max() < 1e-5
    assert (total > 0)[brain].mean() > 0.9
    assert (total > 0)[~brain].mean() < 0.1
    assert min(share[total > 0].min() for share in found.values()) > 0
    assert told[-1] == 1
    (alone,) = sequence_shares(segmenter, segmenter.prepare({"t2": inputs["t2"]})).values()
    assert set(np.unique(alone)) == {0, 1}


def test_shares_of_a_model_of_slices(tmp_path: Path) -> None:
    config = DMAFNetConfig(3, 4, 2, width=2, grid=(2, 2), layers=1, channels_per_head=2)
    torch.manual_seed(0)
    path = tmp_path / "heart.safetensors"
    save_bundle(path, tiny_heart_metadata(config, 3.0, 32, 32), DMAFNet(config).state_dict())
    segmenter = Segmenter(path, "cpu")
    grid = head_grid((40, 44, 5), 3.0)
    random = np.random.default_rng(0)
    inputs = {name: Volume(random.uniform(1, 2, grid.size).astype(np.float32), grid) for name in ("bssfp", "lge")}
    found = sequence_shares(segmenter, segmenter.prepare(inputs))
    total = sum(found.values())
    assert set(np.unique(np.round(total, 5))) == {0, 1}
    assert (total > 0).any(axis=(0, 1)).all()


def test_next_to_the_brain_half_of_it_counts() -> None:
    weights = torch.tensor([[0.2, 0.1, 0.3], [0.6, 0.3, 0.1], [0.0, 0.0, 0.0]])  # sums 0.8, 0.4, 0.4
    assert brain_shares(weights, [0, 1]).tolist() == pytest.approx(np.array([[0.25, 0, 0], [0.75, 0, 0]]))


def test_a_network_without_such_weights_is_refused_before_anything_is_read_or_written(tmp_path: Path) -> None:
    config = UNetConfig(width=2)
    metadata = replace(tiny_metadata(), network={"name": "unet", "config": asdict(config)})
    path = tmp_path / "unet.safetensors"
    save_bundle(path, metadata, UNet(config).state_dict())
    job = Job(path, {"t1": tmp_path / "nowhere.nii.gz"}, tmp_path / "out", maps=("contribution",))
    with pytest.raises(InputError, match="fusion weights of DMAF-Net, which this model does not have"):
        run_job(job, Events(), lambda: False)
    assert not (tmp_path / "out").exists()


def test_a_job_writes_maps_and_numbers_of_all_results_together(bundle: Path, tmp_path: Path) -> None:
    inputs = {}
    for seed, name in enumerate(("t1", "flair")):
        inputs[name] = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(to_image(head_volume(GRID, seed).array, GRID), str(inputs[name]))
    events = Events()
    out = tmp_path / "out"
    job = Job(bundle, inputs, out, "all", maps=("agreement", "contribution"), comparison=True)
    run_job(job, events, lambda: False)
    document = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    files = {what: f"agreement_{what}.nii.gz" for what in ("WT", "TC", "ET")}
    assert document["maps"]["agreement"] == files
    assert document["maps"]["contribution"] == {name: f"contribution_{name}.nii.gz" for name in inputs}
    told = dict(events.all)["comparison"]
    assert told == {"output": str(out), "maps": document["maps"], "comparison": "comparison.json"}
    labels = [sitk.GetArrayFromImage(sitk.ReadImage(str(out / row["file"]))) for row in document["results"].values()]
    counts = sitk.ReadImage(str(out / "agreement_WT.nii.gz"))
    assert counts.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(counts), sum((array != 0).astype(int) for array in labels))
    shares = [sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"contribution_{name}.nii.gz"))) for name in inputs]
    assert set(np.unique(np.round(sum(shares), 5))) == {0, 1}
    numbers = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    for title, row in document["results"].items():
        found = numbers["results"][title]["regions"]
        assert {name: each["volume_ml"] for name, each in found.items()} == pytest.approx(row["volumes_ml"])
        assert {name: each["to_base"]["dice"] for name, each in found.items()} == pytest.approx(row["dice_to_fullest"])
    fractions = [fields["fraction"] for event, fields in events.all if event == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert list(document["stage_seconds"]) == ["load", "read", "prepare", "segment", "compare"]


def test_a_canceled_comparison_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "t1.nii.gz"
    sitk.WriteImage(to_image(head_volume(GRID).array, GRID), str(path))
    events = Events()
    job = Job(bundle, {"t1": path}, tmp_path / "out", maps=("agreement",), comparison=True)
    with pytest.raises(Cancelled):
        run_job(job, events, lambda: any(fields.get("stage") == "compare" for _, fields in events.all))
    assert not (tmp_path / "out").exists()


def test_the_job_file_asks_for_it(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    document = {"schema": 1, "bundle": "b", "inputs": {"t1": "a"}, "output": "o"}
    path.write_text(
        json.dumps(document | {"maps": ["agreement", "contribution"], "comparison": True}), encoding="utf-8"
    )
    job = read_job(path)
    assert (job.maps, job.comparison) == (("agreement", "contribution"), True)
    path.write_text(json.dumps(document | {"comparison": "yes"}), encoding="utf-8")
    with pytest.raises(InputError, match="'comparison' has the wrong type"):
        read_job(path)
