"""Temperatures: the samples are what inference blends, and the fit finds what was put in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from DMAFTraining.data.brats import REGIONS
from DMAFTraining.evaluation.calibration import calibration
from DMAFTraining.evaluation.case_scores import EvaluationCase
from DMAFTraining.evaluation.temperature import fit_temperature, fit_temperatures, judge
from DMAFTraining.evaluation.window_logits import Samples, joined, sample_case, truth_on_working_grid
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.segmenter import Segmenter
from DMAFTraining.inference.slices import segment_slices
from DMAFTraining.modalities import BRATS
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from tiny import head_grid, head_volume, oblique_grid, tiny_heart_metadata, tiny_metadata, tiny_network

T1, FLAIR = BRATS.subset(["t1"]), BRATS.subset(["flair"])
BOTH = BRATS.subset(["t1", "flair"])


def drawn(sharpness: float, count: int = 20000, seed: int = 0) -> Samples:
    """Voxels whose truth is drawn from the softmax of logits, which are then made ``sharpness`` times as large."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 1.5, (count, 4))
    truth = (softmax(honest, axis=1).cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    return Samples((sharpness * honest).astype(np.float32), np.ones(count, np.float32), np.arange(count), truth)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_fit_finds_how_much_too_sure_logits_are(sharpness: float) -> None:
    assert fit_temperature([drawn(sharpness)]) == pytest.approx(sharpness, rel=0.03)


def test_the_fit_is_a_minimum_that_no_grid_of_temperatures_beats() -> None:
    samples = drawn(2.0, 4000)
    best = samples.surprise(fit_temperature([samples]))
    assert best <= min(samples.surprise(t) for t in np.geomspace(0.05, 20, 400)) + 1e-3


def test_voxels_under_two_windows_blend_probabilities_and_not_logits() -> None:
    logits = np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]], np.float32))
    samples = Samples(logits, np.array([0.25, 0.75, 1.0], np.float32), np.array([0, 0, 1]), np.array([0, 1]))
    # Voxel 0: 0.25 x 0.5 + 0.75 x 0.9 = 0.8.
    assert samples.probabilities(1.0) == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]))
    assert samples.surprise(1.0) == pytest.approx(-np.log(0.8) - np.log(0.8))
    # At temperature 1/2 probabilities are squared: 0.81 / 0.82 of the second window.
    assert samples.probabilities(0.5)[0, 0] == pytest.approx(0.25 * 0.5 + 0.75 * 0.81 / 0.82)


def test_cases_are_joined_voxel_by_voxel() -> None:
    parts = [drawn(1.0, 5, seed=1), drawn(1.0, 7, seed=2)]
    whole = joined(parts)
    expected = np.concatenate([part.probabilities(1.3) for part in parts])
    assert whole.probabilities(1.3) == pytest.approx(expected)
    assert whole.truth.tolist() == [*parts[0].truth, *parts[1].truth]


def test_subsets_of_one_size_share_a_temperature_when_asked_to() -> None:
    samples = {T1: drawn(3.0, seed=1), FLAIR: drawn(1.0, seed=2), BOTH: drawn(2.0, seed=3)}
    apart = fit_temperatures(samples, REGIONS, "subset")
    by_size = fit_temperatures(samples, REGIONS, "size")
    found = [apart.subsets[subset].temperature for subset in samples]
    assert found == pytest.approx([3.0, 1.0, 2.0], rel=0.03)
    shared = by_size.subsets[T1].temperature
    assert by_size.subsets[FLAIR].temperature == shared
    assert shared == fit_temperature([samples[T1], samples[FLAIR]])
    assert 1.0 < shared < 3.0
    assert by_size.subsets[BOTH].temperature == apart.subsets[BOTH].temperature
    assert apart.overall == by_size.overall == fit_temperature(list(samples.values()))


def test_errors_are_means_over_regions_and_fall_where_the_model_was_too_sure() -> None:
    fit = fit_temperatures({T1: drawn(3.0)}, REGIONS, "subset").subsets[T1]
    assert fit.after.ece < fit.before.ece / 5
    assert fit.after.surprise < fit.before.surprise
    assert fit.after.brier < fit.before.brier
    samples = drawn(3.0)
    classes = samples.probabilities(1.0)
    whole = calibration(classes[:, 1:].sum(axis=1), samples.truth > 0)
    alone = judge(samples, 1.0, REGIONS[:1])
    assert REGIONS[0].name == "WT"
    assert (alone.ece, alone.brier) == (pytest.approx(whole.ece), pytest.approx(whole.brier))


def test_the_description_gets_the_temperatures_and_what_they_changed() -> None:
    fitted = fit_temperatures({T1: drawn(3.0), BOTH: drawn(1.0, seed=1)}, REGIONS, "subset")
    metadata = fitted.describe(tiny_metadata(), "two made-up cases")
    assert metadata.temperature_of(T1) == fitted.subsets[T1].temperature
    assert metadata.temperature_of(FLAIR) == metadata.temperature == fitted.overall
    assert set(metadata.calibration_error) == {"T1", "T1+FLAIR"}
    assert metadata.calibration_error["T1"]["after"] < metadata.calibration_error["T1"]["before"]
    assert metadata.calibration_source == "two made-up cases"
    lines = fitted.as_text().splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["T1", "T1+FLAIR"]
    assert lines[-1] == f"All subsets together: {fitted.overall:.3f}"


def case_of(names: tuple[str, ...], size: tuple[int, int, int] = (40, 44, 36)) -> EvaluationCase:
    """A ball in some sequences, labels all over the place."""
    grid = head_grid(size, 4.0)
    volumes = {name: head_volume(grid, seed) for seed, name in enumerate(names)}
    labels = np.random.default_rng(1).integers(0, 4, size).astype(np.uint8)
    return EvaluationCase("ball", volumes, labels, grid.spacing)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A model whose windows overlap on the ball, with a temperature that samples must not know."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    metadata = replace(tiny_metadata(), preprocessing=Preprocessing((3.0, 3.0, 3.0)), temperature=7.0)
    save_bundle(path, metadata, tiny_network().state_dict())
    return Segmenter(path, "cpu", "fp32")


def test_samples_have_the_probabilities_of_the_engine_at_any_temperature(segmenter: Segmenter) -> None:
    case = case_of(("t1", "flair"))
    found = sample_case(segmenter, case, 300, np.random.default_rng(4))
    assert list(found) == BRATS.subsets(BOTH)
    prepared = segmenter.prepare(case.volumes)
    images, window = torch.from_numpy(prepared.images), segmenter.metadata.window
    brain = np.flatnonzero((prepared.images != 0).any(axis=0))
    chosen = np.sort(np.random.default_rng(4).choice(brain, 300, replace=False))
    truth = truth_on_working_grid(case, prepared).ravel()[chosen]
    flags, temperatures = [BRATS.flags(subset) for subset in found], [0.7, 1.0, 2.5]
    engine = Engine(segmenter.bundle.network)
    whole = engine.probabilities(images, flags, window.patch, window.overlap, temperatures)
    for samples, temperature, classes in zip(found.values(), temperatures, whole, strict=True):
        assert len(samples.logits) > 2 * len(samples.truth)  # several windows over most voxels
        expected = classes.flatten(1).numpy()[:, chosen].T
        assert np.abs(samples.probabilities(temperature) - expected).max() < 1e-5
        assert samples.truth.tolist() == truth.tolist()


def test_slices_are_sampled_as_they_are_segmented(tmp_path: Path) -> None:
    config = DMAFNetConfig(modalities=3, classes=4, dims=2, width=2, grid=(2, 2), layers=1, channels_per_head=2)
    torch.manual_seed(0)
    metadata = tiny_heart_metadata(config, 4.0, 40, 32)
    config = replace(config, classes=len(metadata.labels) + 1)
    metadata = tiny_heart_metadata(config, 4.0, 40, 32)
    save_bundle(tmp_path / "m.safetensors", metadata, DMAFNet(config).state_dict())
    segmenter = Segmenter(tmp_path / "m.safetensors", "cpu", "fp32")
    matrix = np.diag([4.0, 4.0, 12.0, 1.0])
    grid = Grid((40, 40, 3), matrix)
    rng = np.random.default_rng(0)
    arrays = {name: rng.uniform(1, 2, grid.size).astype(np.float32) for name in ("bssfp", "t2")}
    arrays["t2"][:, :, 2] = 0  # this stack ends earlier
    volumes = {name: Volume(array, grid) for name, array in arrays.items()}
    case = EvaluationCase("heart", volumes, np.zeros(grid.size, np.uint8), grid.spacing)
    prepared = segmenter.prepare(volumes)
    images = torch.from_numpy(prepared.images)
    found = sample_case(segmenter, case, 500, np.random.default_rng(2))
    flags = [metadata.modalities.flags(subset) for subset in found]
    whole = segment_slices(Engine(segmenter.bundle.network), images, flags, (32, 32), 0.5, [2.0] * 3)
    brain = np.flatnonzero((prepared.images != 0).any(axis=0))
    chosen = np.sort(np.random.default_rng(2).choice(brain, 500, replace=False))
    for (subset, samples), classes in zip(found.items(), whole, strict=True):
        rows = [metadata.modalities.index(name) for name in subset.names]
        shown = chosen[(prepared.images[rows] != 0).any(axis=0).ravel()[chosen]]
        assert len(shown) == len(samples.truth)
        expected = classes.flatten(1).numpy()[:, shown].T
        assert np.abs(samples.probabilities(2.0) - expected).max() < 1e-5
    assert len(found[metadata.modalities.subset(["t2"])].truth) < 500


def test_truth_on_another_grid_is_read_where_it_lies_in_space(segmenter: Segmenter) -> None:
    grid = oblique_grid((50, 44, 48), (10.0, -20.0, 5.0), (2.5, 3.0, 3.5), flip=1)
    index = np.stack(np.meshgrid(*map(np.arange, grid.size), indexing="ij"), axis=-1)
    x = (index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3])[..., 0]
    case = EvaluationCase("ball", {"t1": head_volume(grid)}, np.where(x > 0, 1, 2).astype(np.uint8), grid.spacing)
    prepared = segmenter.prepare(case.volumes)
    labels = truth_on_working_grid(case, prepared)
    assert labels.shape == prepared.grid.size
    brain = np.argwhere((prepared.images != 0).any(axis=0))
    right = brain @ prepared.grid.ijk_to_ras[0, :3] + prepared.grid.ijk_to_ras[0, 3]
    found = labels[tuple(brain.T)]
    assert set(found[right > 4].tolist()) == {1}
    assert set(found[right < -4].tolist()) == {2}
