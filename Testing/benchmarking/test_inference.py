"""``benchmark inference``: the plain path, what is counted, what is compared, and the table."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from DMAFTraining.benchmark import _parser, main
from DMAFTraining.benchmarking import floor
from DMAFTraining.benchmarking.inference import inference_table, measure_row, random_case, random_network
from DMAFTraining.benchmarking.inference_plain import plain_layers, segment_plainly
from DMAFTraining.benchmarking.inference_speed import Agreement, Setup, check, compare, measure_inference
from DMAFTraining.benchmarking.inference_work import count_work
from DMAFTraining.inference.geometry import to_image
from DMAFTraining.inference.sliding_window import segment_subsets
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks import NETWORKS, normactconv
from DMAFTraining.networks.base import NetworkConfig
from DMAFTraining.networks.blocks import NormActConv
from tiny import head_grid, head_volume, write_tiny_bundle

WINDOWS = {2: (48, 48), 3: (32, 32, 32)}
CASES = {2: (60, 50), 3: (40, 32, 32)}
SUBSETS = [BRATS.flags(subset) for subset in BRATS.subsets()[::5]]  # 3 of 15
CPU = torch.device("cpu")
QUICK = ["--rounds", "1", "--threads", "1"]


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Peaks from small products: what they are does not matter here. And the number of threads as it was."""
    monkeypatch.setattr(floor, "_GEMM_SIDE", 64)
    monkeypatch.setattr(floor, "_COPY_BYTES", 2**12)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def _rows(*words: str) -> list[dict[str, str]]:
    """The table that the command prints, measured in this process."""
    lines = list(inference_table(_options(*words), measure_row))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(len(row) == len(cells[0]) for row in cells)
    assert set("".join(cells[1])) == {"-"}
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def _options(*words: str) -> argparse.Namespace:
    return _parser().parse_args(["inference", *QUICK, *words])


def _numbers(text: str) -> list[float]:
    """The numbers after "probabilities", "labels", "Dice" and "worst"."""
    return [float(word.strip("(),")) for word in text.split() if word.strip("(),")[0].isdigit()]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_plain_path_equals_the_fast_one(name: str, dims: int) -> None:
    network, images = random_network(name, dims, 4).double(), random_case(4, CASES[dims]).double()
    found = segment_subsets(network, images, SUBSETS, WINDOWS[dims], 0.5, 1.5)
    expected = segment_plainly(network, images, SUBSETS, WINDOWS[dims], 0.5, 1.5)
    assert found.shape == expected.shape == (3, 4, *CASES[dims])
    assert (found - expected).abs().max() < 1e-5
    assert (expected[:, 0] < 0.99).any()  # not only background


def test_plain_path_is_each_window_and_subset_alone() -> None:
    network, images = random_network("unet", 2, 4), torch.randn(4, 40, 32)
    flags = (True, False, False, True)
    found = segment_plainly(network, images, [flags], (32, 32), 0.5)[0]
    with torch.no_grad():
        windows = [images[None, :, first : first + 32] for first in (0, 8)]
        first, last = (network(w, torch.tensor([flags])).softmax(1)[0] for w in windows)
    assert torch.allclose(found[:, :8], first[:, :8], atol=1e-5)  # rows that only one window covers
    assert torch.allclose(found[:, 32:], last[:, 24:], atol=1e-5)


def test_plain_layers_are_textbook_ones_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the fast path")

    monkeypatch.setattr(normactconv, "_convolution", refuse)
    layer, x = NormActConv(2, 3, 4, stride=2), torch.randn(2, 3, 8, 6)
    border = F.pad(F.leaky_relu(F.instance_norm(x), 0.2), (1, 1, 1, 1), mode="reflect")
    with torch.no_grad():
        with plain_layers():
            found = layer(x)
            scaled = nn.GroupNorm(3, 3)
            nn.init.normal_(scaled.weight)
            assert torch.allclose(scaled(x), F.instance_norm(x, weight=scaled.weight), atol=1e-6)
            for name in NETWORKS:
                random_network(name, 2, 4)(random_case(4, (32, 32))[None], torch.ones(1, 4, dtype=torch.bool))
        assert torch.allclose(found, F.conv2d(border, layer.conv.weight, layer.conv.bias, 2), atol=1e-5)
        with pytest.raises(AssertionError, match="the fast path"):
            layer(x)


class _Counted(nn.Module):
    """Encodes by a convolution of side 3 from 2 channels to 5, decodes by one of side 1 to 3."""

    def __init__(self) -> None:
        super().__init__()
        self.config = NetworkConfig(modalities=2, classes=3, dims=2)
        self.first = nn.Conv2d(2, 5, 3, padding=1)
        self.last = nn.Conv2d(5, 3, 1, bias=False)

    def encode(self, images: Tensor, _: Tensor) -> Tensor:
        return self.first(images)

    def decode(self, features: Tensor, _: Tensor) -> Tensor:
        return self.last(features).relu()


def test_work_is_encoding_once_and_decoding_each_row() -> None:
    rows = torch.tensor([[True, False], [True, True], [False, True]])
    flops, moved = count_work(_Counted(), torch.zeros(1, 2, 4, 6), rows, itemsize=2)
    assert flops == 2 * 24 * (9 * 2 * 5 + 3 * 5 * 3)
    weights = 9 * 2 * 5 + 5 + 5 * 3
    assert moved == 2 * (2 * 24 + weights + 2 * 24 * (5 + 3 * 3))  # images, weights, results written and read


def test_work_of_a_network_that_passes_its_parameters_on() -> None:
    network, rows = random_network("mmformer", 2, 2), torch.ones(1, 4, dtype=torch.bool)
    flops, moved = count_work(network, torch.zeros(1, 4, 80, 80), rows, itemsize=4)  # positions fit without resampling
    assert flops > 0
    assert moved > 4 * sum(p.numel() for p in network.parameters())


def test_agreement_of_two_results() -> None:
    labels = torch.tensor([[[0, 1, 1, 0]], [[0, 2, 1, 1]]])
    others = torch.tensor([[[0, 1, 0, 0]], [[0, 1, 1, 1]]])
    found, expected = (F.one_hot(x, 3).movedim(-1, 1).float() for x in (labels, others))
    assert compare(found, found) == Agreement(0, 1, 1, 1)
    agreement = compare(found * 0.75, expected)
    assert agreement.difference == 1
    assert agreement.equal_labels == 6 / 8
    assert agreement.dice == 2 * (1 + 3) / (2 + 1 + 3 + 3)
    assert agreement.worst_dice == 2 / 3
    assert compare(found[:, :, :, :1], found[:, :, :, :1]).dice == 1  # no foreground at all


def test_results_that_differ_stop_the_benchmark() -> None:
    fp32 = Setup(nn.Identity(), torch.zeros(1), (1,), 0.5, 1.0, "fp32", False, 1)  # type: ignore[arg-type]
    bf16, real = replace(fp32, precision="bf16"), replace(fp32, precision="bf16", trained=True)
    good, bad, broken = (Agreement(difference, 1, 1, 1) for difference in (9e-5, 1.1e-4, math.nan))
    check(good, fp32)
    for agreement in (bad, broken):
        with pytest.raises(ValueError, match="differ from the plain ones"):
            check(agreement, fp32)
        check(agreement, bf16)
    check(Agreement(0.5, 0.9, 0.995, 0.9), real)
    with pytest.raises(ValueError, match=r"Dice of 0.9949 to plain fp32, below 0.995"):
        check(Agreement(0.5, 0.9, 0.9949, 0.9), real)


def test_a_wrong_fast_path_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network("unet", 2, 4)
    setup = Setup(network, random_case(4, (32, 32)), (32, 32), 0.5, 1.0, "fp32", False, 1)
    figures = measure_inference(setup, SUBSETS, 2)
    assert len(figures.fast) == len(figures.plain) == len(figures.apart) == 2
    decode = network.decode

    def off_in_inference(features: list[Tensor], present: Tensor) -> Tensor:
        logits = decode(features, present)
        return logits * 1.01 if torch.is_inference_mode_enabled() else logits

    monkeypatch.setattr(network, "decode", off_in_inference)
    with pytest.raises(ValueError, match="differ from the plain ones"):
        measure_inference(setup, SUBSETS, 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_backbone_has_a_row_for_one_and_for_all_subsets(name: str) -> None:
    rows = _rows("--networks", name, "--patch", "48", "48", "--volume", "96", "96", "--width", "4", "--windows", "2")
    assert [(row["backbone"], row["precision"], row["subsets"]) for row in rows] == [
        (name, "fp32", "1"),
        (name, "fp32", "all"),
    ]
    for row in rows:
        difference, labels, _dice, _worst = _numbers(row["to plain fp32"])
        assert difference <= 1e-4
        assert labels > 0.999
        assert row["fast s/case"].endswith("(1 of 9 windows timed)")
        fast, plain = (float(row[key].split()[0]) for key in ("fast s/window", "plain s/window"))
        assert float(row["plain / fast"]) == pytest.approx(plain / fast, rel=0.1)
        assert float(row["peak MB"]) > 0
    one, every = rows
    assert one["together / one by one"] == "-"
    assert float(every["together / one by one"]) > 0
    assert float(every["GFLOP/window"]) >= float(one["GFLOP/window"])


def test_bf16_and_three_dimensions() -> None:
    words = ("--networks", "unet", "--patch", "32", "32", "32", "--volume", "48", "32", "32", "--width", "4")
    rows = _rows(*words, "--precisions", "fp32", "bf16")
    assert [row["precision"] for row in rows] == ["fp32", "fp32", "bf16", "bf16"]
    assert all(row["fast s/case"].endswith("(2 of 2 windows timed)") for row in rows)
    for row in rows[2:]:
        difference, labels, _dice, _worst = _numbers(row["to plain fp32"])
        assert difference > 1e-4
        assert labels > 0.9


def test_a_bundle_brings_its_network_and_its_window(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "tiny.safetensors")
    images = []
    for seed, name in enumerate(("t1", "flair")):
        sitk.WriteImage(to_image(head_volume(head_grid(), seed).array, head_grid()), str(tmp_path / f"{name}.nii.gz"))
        images.append(f"{name}={tmp_path / name}.nii.gz")
    case = _rows("--bundle", str(bundle), "--case", *images)
    volume = _rows("--bundle", str(bundle), "--volume", "32", "32", "32")
    assert [row["backbone"] for row in case + volume] == ["bundle"] * 4
    assert all(_numbers(row["to plain fp32"])[0] <= 1e-4 for row in case + volume)
    assert all(row["fast s/case"].endswith("(1 of 1 windows timed)") for row in case + volume)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "Give --rounds and --windows a number from 1 on"),
        (["--bundle", "x", "--width", "8"], "leave out --networks, --patch and --width"),
        (["--case", "t1=x.nii"], "give --bundle"),
        (["--bundle", "x", "--case", "t1=x.nii", "--volume", "8", "8", "8"], "Give either --case or --volume"),
        (["--bundle", "x", "--case", "x.nii"], "Name the sequence of each image"),
        (["--patch", "32"], "--patch has 2 or 3 numbers, not 1"),
        (["--patch", "32", "32"], "--volume has 3 numbers and --patch has 2"),
        (["--patch", "40", "40", "40"], "should be a multiple of 16"),
        (["--device", "toaster"], "The device 'toaster' cannot be used"),
        (["--bundle", "nothing.safetensors"], "nothing.safetensors"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_options_are_refused_in_a_sentence(words: list[str], message: str) -> None:
    small = [] if "--bundle" in words or "--volume" in words else ["--volume", "48", "48", "48"]
    with pytest.raises(ValueError, match=message) as caught:
        _rows(*words, *small)
    assert "\n" not in str(caught.value)


def test_the_command_runs_each_row_in_a_process_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--networks", "unet", "--patch", "32", "32", "--volume", "32", "32", "--width", "2"]
    assert main(["inference", *QUICK, *small]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[3].strip() for line in lines] == ["subsets", "---", "1", "all"]
    assert main(["inference", "--rounds", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: Give --rounds")


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["inference", "--help"])
    assert "examples:" in capsys.readouterr().out
