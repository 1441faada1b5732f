"""Networks of 2 dimensions: slices in, label maps on the reference's own grid out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from DMAFTraining.data.arrays import to_arrays
from DMAFTraining.data.datasets import MYOPS
from DMAFTraining.data.index import Preparation
from DMAFTraining.data.readers import find_cohort
from DMAFTraining.inference.bundle import save_bundle
from DMAFTraining.inference.engine import Engine
from DMAFTraining.inference.errors import GeometryError
from DMAFTraining.inference.geometry import Grid, Volume, to_image
from DMAFTraining.inference.metadata import (
    DOCUMENT_KEY,
    BundleError,
    BundleMetadata,
    Preprocessing,
    Window,
    parse_document,
    read_header,
    read_metadata,
)
from DMAFTraining.inference.preprocessing import prepare_case
from DMAFTraining.inference.segmenter import Segmenter, SubsetResult
from DMAFTraining.inference.slices import segment_slices, slice_axis, slice_grid
from DMAFTraining.inference.sliding_window import segment_subsets
from DMAFTraining.networks.dmafnet import DMAFNet, DMAFNetConfig
from DMAFTraining.predict import DEFAULT_BUNDLE
from tiny import head_volume, oblique_grid, tiny_heart_metadata

TINY = DMAFNetConfig(modalities=3, dims=2, width=2, levels=4, grid=(2, 2), layers=1, channels_per_head=2)
STEP = 0.75
SIZE = 64
NAMES = MYOPS.modalities.names

Array = NDArray[np.float32]


def _metadata(window: int = SIZE) -> BundleMetadata:
    return tiny_heart_metadata(TINY, STEP, SIZE, window)


def _network() -> DMAFNet:
    torch.manual_seed(5)
    network = DMAFNet(TINY)
    with torch.no_grad():
        for fusion in network.fusions:
            fusion.score.weight.normal_(std=2.0)
            fusion.identity.normal_()
    return network.eval()


def _bundle(folder: Path, window: int = SIZE) -> Path:
    path = folder / f"heart-{window}.safetensors"
    save_bundle(path, _metadata(window), _network().state_dict())
    return path


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter(_bundle(tmp_path_factory.mktemp("model")), "cpu")


def _grid(size: tuple[int, int, int] = (60, 63, 4), spacing: tuple[float, float, float] = (STEP, STEP, 12.0)) -> Grid:
    return oblique_grid(size, (35, -20, 50), spacing, flip=1)


def _volume(grid: Grid, seed: int) -> Volume:
    """Smooth structures that are the same in space on any grid, noise that is not, and no zero voxel."""
    noise = np.random.default_rng(seed).normal(size=grid.size).astype(np.float32)
    return Volume(head_volume(grid, seed).array + 0.3 * noise + 5, grid)


def _volumes(grid: Grid) -> dict[str, Volume]:
    return {name: _volume(grid, seed) for seed, name in enumerate(NAMES)}


def _literal(network: torch.nn.Module, planes: dict[str, Array]) -> Array:
    """Class probabilities ``(K, X, Y)`` of prepared planes, each placed in the middle of an empty square."""
    width, height = next(iter(planes.values())).shape
    x, y = (SIZE - width) // 2, (SIZE - height) // 2
    image = torch.zeros(1, 3, SIZE, SIZE)
    for name, plane in planes.items():
        image[0, NAMES.index(name), x : x + width, y : y + height] = torch.from_numpy(plane)
    with torch.no_grad():
        logits = network(image, torch.tensor([[name in planes for name in NAMES]]))
    return logits.softmax(1)[0, :, x : x + width, y : y + height].numpy()


def _assert_most_probable(labels: NDArray[np.uint8], probabilities: Array) -> None:
    """The labels are those of the highest probability, but for near ties."""
    first, second = np.sort(probabilities, axis=0)[:-3:-1]
    clear = first - second > 1e-3
    assert clear.mean() > 0.9
    assert len(np.unique(labels)) > 1
    assert np.array_equal(labels[clear], probabilities.argmax(axis=0)[clear])


def _zscored(volume: Volume) -> Array:
    return (volume.array - volume.array.mean()) / volume.array.std()


def _segment(segmenter: Segmenter, volumes: dict[str, Volume], **options: object) -> dict[str, SubsetResult]:
    case = segmenter.prepare(volumes)
    return {str(result.subset): result for result in segmenter.segment(case, **options)}


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [((0.75, 0.75, 12), 2), ((12, 0.75, 0.75), 0), ((0.7, 8, 0.7), 1), ((1, 1, 1), 2), ((1.05, 1, 1), 2)],
)
def test_slices_follow_the_longest_steps_or_else_the_third_axis(spacing: tuple[float, ...], axis: int) -> None:
    assert slice_axis(spacing) == axis


@pytest.mark.parametrize("model", [0.75, 0.8, 0.7])
def test_voxels_like_the_models_are_kept(model: float) -> None:
    native = _grid()
    grid = slice_grid(native, (model, model))
    assert grid.size == native.size
    assert np.allclose(grid.ijk_to_ras, native.ijk_to_ras, atol=1e-9)


def test_planes_of_other_voxels_get_the_models_and_slices_stay() -> None:
    native = _grid((61, 60, 4))
    grid = slice_grid(native, (1.5, 1.5))
    assert grid.size == (31, 31, 4)  # 45 mm in 30 steps; 44.25 mm need 30 as well
    assert grid.spacing == pytest.approx((1.5, 1.5, 12))
    inverse = np.linalg.inv(native.ijk_to_ras) @ grid.ijk_to_ras  # from voxels of one to voxels of the other
    assert np.allclose(inverse, [[2, 0, 0, 0], [0, 2, 0, -0.5], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-9)


def test_slices_stored_along_another_axis_come_last() -> None:
    grid = slice_grid(_grid((4, 60, 63), (12.0, STEP, STEP)), (STEP, STEP))
    assert grid.size == (60, 63, 4)
    assert grid.spacing == pytest.approx((STEP, STEP, 12))


def test_each_slice_is_what_the_network_says_about_it_alone(segmenter: Segmenter) -> None:
    volumes = _volumes(_grid())
    results = _segment(segmenter, volumes, subsets="all")
    assert next(iter(results)) == "bSSFP+LGE+T2"
    assert len(results) == 7
    for name, chosen in (("bSSFP+LGE+T2", NAMES), ("LGE+T2", ("lge", "t2")), ("T2", ("t2",))):
        labels = results[name].labels
        assert labels.shape == (60, 63, 4)
        for n in range(4):
            planes = {m: _zscored(volumes[m])[:, :, n] for m in chosen}
            _assert_most_probable(labels[:, :, n], _literal(segmenter.bundle.network, planes))


def test_slices_larger_than_those_of_training_are_segmented_in_the_middle(segmenter: Segmenter) -> None:
    volumes = {"lge": _volume(_grid((90, 71, 3)), 1)}
    labels = _segment(segmenter, volumes)["LGE"].labels
    inside = (slice(13, 77), slice(3, 67))
    planes = _zscored(volumes["lge"])[inside]  # scaled by the whole slices, as training does
    for n in range(3):
        _assert_most_probable(labels[(*inside, n)], _literal(segmenter.bundle.network, {"lge": planes[:, :, n]}))
    labels[inside] = 0
    assert not labels.any()


def test_small_windows_are_blended_within_each_slice() -> None:
    images = torch.randn(3, 40, 37, 2, generator=torch.Generator().manual_seed(1))
    flags = [MYOPS.modalities.flags(s) for s in MYOPS.modalities.subsets()]
    found = segment_slices(Engine(_network()), images, flags, (32, 32), 0.5, 2.0)
    assert found.shape == (7, 4, 40, 37, 2)
    for n in range(2):
        alone = segment_subsets(_network(), images[..., n], flags, (32, 32), 0.5, 2.0)
        assert (found[..., n] - alone).abs().max() < 1e-5


def test_training_and_inference_prepare_alike(tmp_path: Path) -> None:
    grid = oblique_grid((262, 250, 2), (0, 0, 0), (0.75, 0.75, 12.0), flip=0)
    volumes = {name: head_volume(grid, seed) for seed, name in enumerate(NAMES)}  # zero outside a ball
    files = {"c0": volumes["bssfp"].array, "de": volumes["lge"].array, "t2": volumes["t2"].array}
    files["gd"] = np.where(volumes["t2"].array > 0, 500, 0).astype(np.float32)
    for name, array in files.items():
        sitk.WriteImage(to_image(array, grid), str(tmp_path / f"patient_1_{name}.nii.gz"))
    (raw,) = find_cohort(tmp_path, MYOPS).cases
    stored = list(to_arrays(raw, MYOPS, Preparation()))
    preparation = Preprocessing((0.75, 0.75), "slices", slice_size=MYOPS.slice_size)
    case = prepare_case(volumes, MYOPS.modalities, preparation)
    assert case.images.shape == (3, 256, 250, 2)
    assert len(stored) == 2
    for n, slice_ in enumerate(stored):
        for name in NAMES:
            padded = slice_.images[name]
            assert not padded[:, :3].any()
            assert not padded[:, 253:].any()
            image = case.images[NAMES.index(name), :, :, n]
            assert np.allclose(padded[:, 3:253], image, atol=2e-3)  # half precision
            assert np.array_equal(padded[:, 3:253] != 0, image != 0)


def test_subset_does_not_depend_on_what_else_was_given(segmenter: Segmenter) -> None:
    volumes = _volumes(_grid())
    everything = _segment(segmenter, volumes, subsets="all")
    pair = {name: volumes[name] for name in ("bssfp", "t2")}
    assert np.array_equal(_segment(segmenter, pair)["bSSFP+T2"].labels, everything["bSSFP+T2"].labels)
    changed = volumes | {"lge": _volume(volumes["lge"].grid, 9)}
    again = _segment(segmenter, changed, subsets=[["bssfp", "t2"], ["lge"]])
    assert np.array_equal(again["bSSFP+T2"].labels, everything["bSSFP+T2"].labels)
    assert not np.array_equal(again["LGE"].labels, everything["LGE"].labels)


def _stack_part(volume: Volume, start: int, stop: int) -> Volume:
    """Some slices of a volume, at their own places."""
    matrix = volume.grid.ijk_to_ras.copy()
    matrix[:3, 3] += start * matrix[:3, 2]
    i, j, _ = volume.grid.size
    return Volume(volume.array[:, :, start:stop], Grid((i, j, stop - start), matrix))


def test_a_sequence_is_absent_in_slices_that_its_stack_does_not_reach(segmenter: Segmenter) -> None:
    volumes = _volumes(_grid())
    short = {"bssfp": volumes["bssfp"], "t2": _stack_part(volumes["t2"], 1, 3)}
    case = segmenter.prepare(short)
    assert [code for code, _ in case.warnings] == ["grid"]
    results = {str(r.subset): r.labels for r in segmenter.segment(case, "all")}
    for n in (0, 3):
        assert np.array_equal(results["bSSFP+T2"][:, :, n], results["bSSFP"][:, :, n])
        assert not results["T2"][:, :, n].any()
    planes = {"bssfp": _zscored(short["bssfp"])[:, :, 2], "t2": _zscored(short["t2"])[:, :, 1]}
    _assert_most_probable(results["bSSFP+T2"][:, :, 2], _literal(segmenter.bundle.network, planes))


def test_one_slice_is_enough(segmenter: Segmenter) -> None:
    volumes = _volumes(_grid((60, 63, 1)))
    labels = _segment(segmenter, volumes)["bSSFP+LGE+T2"].labels
    planes = {m: _zscored(volumes[m])[:, :, 0] for m in NAMES}
    _assert_most_probable(labels[:, :, 0], _literal(segmenter.bundle.network, planes))


def test_sequences_on_different_grids_meet_in_space() -> None:
    grid = _grid()
    other = oblique_grid((80, 50, 11), (-50, 10, 130), (0.6, 1.1, 5.0), flip=0)
    volumes = {"bssfp": head_volume(grid, 2), "lge": head_volume(other, 2)}
    case = prepare_case(volumes, MYOPS.modalities, _metadata().preprocessing)
    assert case.grid.size == grid.size
    both = (case.images[0] != 0) & (case.images[1] != 0)
    assert both.mean() > 0.3
    assert np.corrcoef(case.images[0][both], case.images[1][both])[0, 1] > 0.98
    assert not case.images[2].any()


def test_labels_return_from_resampled_planes(segmenter: Segmenter) -> None:
    fine = _grid((121, 121, 3), (STEP / 2, STEP / 2, 10.0))
    volume = head_volume(fine, 1)
    case = segmenter.prepare({"t2": volume})
    assert case.grid.size == (61, 61, 3)
    labels = next(segmenter.segment(case)).labels
    assert labels.shape == fine.size
    planes = case.images[2]
    for n in range(3):  # every other voxel of the fine grid is a working voxel
        _assert_most_probable(labels[::2, ::2, n], _literal(segmenter.bundle.network, {"t2": planes[:, :, n]}))


def test_slices_stored_first_give_the_same_labels(segmenter: Segmenter) -> None:
    volume = _volume(_grid(), 3)
    matrix = volume.grid.ijk_to_ras[:, [2, 0, 1, 3]]
    turned = Volume(np.ascontiguousarray(volume.array.transpose(2, 0, 1)), Grid((4, 60, 63), matrix))
    straight = _segment(segmenter, {"t2": volume})["T2"].labels
    found = _segment(segmenter, {"t2": turned})["T2"].labels
    assert found.shape == (4, 60, 63)
    assert np.mean(found.transpose(1, 2, 0) == straight) > 0.999


def test_images_with_surroundings_raise_no_alarm_and_stacks_apart_are_refused(segmenter: Segmenter) -> None:
    volumes = _volumes(_grid())
    assert segmenter.prepare(volumes).warnings == ()
    matrix = volumes["t2"].grid.ijk_to_ras.copy()
    matrix[:3, 3] += 5 * matrix[:3, 2]  # five slices further, whose boxes along R, A, S still touch
    with pytest.raises(GeometryError, match="T2 and bSSFP do not overlap in space"):
        segmenter.prepare({"bssfp": volumes["bssfp"], "t2": replace(volumes["t2"], grid=Grid((60, 63, 4), matrix))})


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    images = torch.ones(3, 64, 64, 3)
    segment_slices(Engine(_network()), images, [(True, False, True)], (64, 64), 0.5, on_tile=seen.append)
    assert seen == pytest.approx([1 / 3, 2 / 3, 1])


def test_command_writes_label_maps_of_every_subset(tmp_path: Path) -> None:
    folder, out = tmp_path / "Patient_07", tmp_path / "out"
    folder.mkdir()
    for token, volume in zip(("C0", "DE", "T2"), _volumes(_grid()).values(), strict=True):
        sitk.WriteImage(to_image(volume.array, volume.grid), str(folder / f"Patient_07_{token}.nii.gz"))
    command = [sys.executable, "-m", "DMAFTraining.predict", "--bundle", _bundle(tmp_path, 32), "--case", folder]
    command += ["--subsets", "all", "--reference", "lge", "--output", out]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    subsets = [str(subset) for subset in MYOPS.modalities.subsets()]
    assert {p.name for p in out.iterdir()} == {"provenance.json", *(f"labels_{s}.nii.gz" for s in subsets)}
    source = sitk.ReadImage(str(folder / "Patient_07_DE.nii.gz"))
    for subset in subsets:
        labels = sitk.ReadImage(str(out / f"labels_{subset}.nii.gz"))
        assert labels.GetSize() == source.GetSize()
        for name in ("GetOrigin", "GetSpacing", "GetDirection"):
            assert np.allclose(getattr(labels, name)(), getattr(source, name)(), atol=1e-5)
    document = json.loads((out / "provenance.json").read_text(encoding="utf-8"))
    assert document["reference"] == "lge"
    assert document["working_grid"]["size"] == [60, 63, 4]
    assert document["window"] == {"patch": [32, 32], "overlap": 0.5}
    assert document["warnings"] == []


def test_document_survives_writing_and_reading(tmp_path: Path) -> None:
    assert read_metadata(_bundle(tmp_path)) == parse_document(_metadata().to_json())
    assert parse_document(_metadata().to_json()).preprocessing == Preprocessing((0.75, 0.75), "slices", slice_size=64)
    assert parse_document(_metadata().to_json()).window == Window((64, 64), 0.5)


def test_documents_of_volumes_are_written_as_before() -> None:
    text = read_header(DEFAULT_BUNDLE)["__metadata__"][DOCUMENT_KEY]
    assert parse_document(text).to_json() == text


@pytest.mark.parametrize(
    ("field", "change", "sentence"),
    [
        ("preprocessing", {"spacing": [0.75, 0.75, 12]}, "preprocessing.spacing should be 2 numbers"),
        ("preprocessing", {"slice_size": None}, "preprocessing.slice_size should be int"),
        ("preprocessing", {"slice_size": 0}, "preprocessing.slice_size should be at least 1"),
        ("preprocessing", {"orientation": "RAS", "spacing": [1, 1, 1]}, "network.config.dims is 2, which does not fit"),
        ("preprocessing", {"normalization": "zscore-shared"}, r"\('slices', 'zscore-shared'\) that this program lacks"),
        ("window", {"patch": [64, 64, 1]}, "window.patch should be 2 numbers"),
        ("network", {"config": {"dims": 3}}, "config.dims is 3, which does not fit .* 'slices'"),
        ("network", {"config": {}}, "config.dims is 3, which does not fit"),
    ],
)
def test_wrong_fields_are_named(field: str, change: dict[str, object], sentence: str) -> None:
    document = json.loads(_metadata().to_json())
    document[field] |= change
    with pytest.raises(BundleError, match=sentence):
        parse_document(json.dumps(document))
