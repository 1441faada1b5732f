"""From images on any grid to label maps on the reference's own grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.preprocessing import prepare_case, zscore_brain
from DMAFTraining.inference.segmenter import Segmenter, labels_on_native_grid, most_probable
from DMAFTraining.modalities import BRATS
from tiny import head_grid, head_volume, write_tiny_bundle

SPACING = (4.0, 4.0, 4.0)
PREPARATION = Preprocessing(SPACING)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    return Segmenter(write_tiny_bundle(tmp_path_factory.mktemp("model") / "tiny.safetensors"), "cpu")


def _turned(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same image in space with its array axes permuted and flipped."""
    matrix = np.eye(4)
    matrix[:3, :3] = volume.grid.ijk_to_ras[:3, :3][:, axes]
    matrix[:3, 3] = volume.grid.ijk_to_ras[:3, 3]
    array = volume.array.transpose(axes)
    for axis, flip in enumerate(flips):
        if flip:
            matrix[:3, 3] += matrix[:3, axis] * (array.shape[axis] - 1)
            matrix[:3, axis] *= -1
            array = np.flip(array, axis)
    return Volume(np.ascontiguousarray(array), Grid((array.shape[0], array.shape[1], array.shape[2]), matrix))


def test_zscore_is_over_brain_voxels_only() -> None:
    image = np.array([0, 0, 2, 4, 6], np.float32)
    scaled = zscore_brain(image)
    assert scaled[:2].tolist() == [0, 0]
    assert scaled[2:] == pytest.approx([-1.2247, 0, 1.2247], abs=1e-3)
    with pytest.raises(ValueError, match="no contrast"):
        zscore_brain(np.array([0, 3, 3], np.float32))


def test_working_grid_is_ras_at_the_models_spacing_and_covers_the_brain() -> None:
    case = prepare_case({"t1": head_volume(head_grid())}, BRATS, PREPARATION)
    assert case.grid.spacing == SPACING
    assert np.allclose(case.grid.ijk_to_ras[:3, :3], np.diag(SPACING))
    corners = case.grid.corners()
    assert (corners.min(0) < -49).all()
    assert (corners.max(0) > 49).all()
    inside = case.images[0][case.images[0] != 0]
    assert inside.mean() == pytest.approx(0, abs=1e-3)
    assert inside.std() == pytest.approx(1, abs=1e-3)
    assert not case.images[1:].any()


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (False, True, False)])
def test_orientation_of_the_file_does_not_matter(
    segmenter: Segmenter, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    straight = head_volume(head_grid())
    turned = _turned(straight, axes, flips)
    expected = next(segmenter.segment(segmenter.prepare({"t1": straight}))).labels
    found = next(segmenter.segment(segmenter.prepare({"t1": turned}))).labels
    assert found.shape == turned.grid.size
    again = _turned(Volume(expected.astype(np.float32), straight.grid), axes, flips).array
    assert np.mean(found == again) > 0.999  # equal up to ties at voxel borders
    assert 0.02 < np.mean(found > 0) < 0.5


def test_labels_return_to_an_oblique_native_grid() -> None:
    # A "network result" that is exact in space: class 1 where x + y > 0 inside the working grid.
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([2.5, -3.0, 2.0])
    matrix[:3, 3] = -matrix[:3, :3] @ np.array([14.5, 15.5, 13.5])
    native = Grid((30, 32, 28), matrix)
    case = prepare_case({"t1": head_volume(native)}, BRATS, PREPARATION)

    def soft(where: Grid) -> np.ndarray:
        index = np.stack(np.meshgrid(*[np.arange(n) for n in where.size], indexing="ij"), axis=-1)
        x, y, _ = np.moveaxis(index @ where.ijk_to_ras[:3, :3].T + where.ijk_to_ras[:3, 3], -1, 0)
        return (x + y) / 400 + 0.5

    p = soft(case.grid)
    labels = labels_on_native_grid(torch.from_numpy(np.stack([1 - p, p])).float(), case)
    truth = soft(native) > 0.5
    box = tuple(slice(a, b) for a, b in case.native_box)
    assert labels.shape == native.size
    assert np.mean(labels[box] == truth[box]) > 0.995


def test_sequences_on_different_grids_meet_in_space() -> None:
    fine, coarse = head_volume(head_grid((60, 60, 60), 2.0)), head_volume(head_grid((30, 26, 28), 4.5))
    case = prepare_case({"t1": fine, "flair": coarse}, BRATS, PREPARATION)
    both = (case.images[0] != 0) & (case.images[2] != 0)
    correlation = np.corrcoef(case.images[0][both], case.images[2][both])[0, 1]
    assert correlation > 0.97
    assert [code for code, _ in case.warnings] == ["grid"]
    assert case.native == fine.grid


def test_result_of_a_subset_does_not_depend_on_what_else_was_given(segmenter: Segmenter) -> None:
    volumes = {name: head_volume(head_grid(), seed) for seed, name in enumerate(BRATS.names)}
    everything = {str(r.subset): r for r in segmenter.segment(segmenter.prepare(volumes), "all")}
    assert next(iter(everything)) == "T1+T1ce+FLAIR+T2"
    assert len(everything) == 15
    pair = {name: volumes[name] for name in ("t1", "flair")}
    alone = next(segmenter.segment(segmenter.prepare(pair)))
    assert np.array_equal(alone.labels, everything["T1+FLAIR"].labels)
    assert len({r.labels.tobytes() for r in everything.values()}) == 15


def test_volumes_and_dice_are_those_of_the_label_map(segmenter: Segmenter) -> None:
    volumes = {name: head_volume(head_grid(), seed) for seed, name in enumerate(BRATS.names)}
    first, second = segmenter.segment(segmenter.prepare(volumes), [["t1"], ["t1", "t2"]])
    assert first.dice_to_fullest == {"WT": 1, "TC": 1, "ET": 1}
    assert second.volumes_ml["WT"] == pytest.approx((second.labels > 0).sum() * 0.027)
    a, b = first.labels == 3, second.labels == 3
    assert second.dice_to_fullest["ET"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_outside_the_brain_is_background(segmenter: Segmenter) -> None:
    volume = head_volume(head_grid())
    labels = next(segmenter.segment(segmenter.prepare({"t2": volume}))).labels
    assert labels.any()
    assert not labels[~binary_dilation(volume.array != 0, iterations=3)].any()


def test_refusals(segmenter: Segmenter, tmp_path: Path) -> None:
    volume = head_volume(head_grid())
    away = volume.grid.ijk_to_ras.copy()
    away[0, 3] += 500
    far = replace(volume, grid=Grid(volume.grid.size, away))
    with pytest.raises(GeometryError, match="T1 and FLAIR do not overlap in space"):
        segmenter.prepare({"t1": volume, "flair": far})
    with pytest.raises(InputError, match="No sequence was given"):
        segmenter.prepare({})
    with pytest.raises(InputError, match="does not know the sequence 'dwi'"):
        segmenter.prepare({"dwi": volume})
    with pytest.raises(InputError, match="was given for two sequences"):
        segmenter.prepare({"t1": tmp_path / "a.nii", "t2": tmp_path / "a.nii"})
    case = segmenter.prepare({"t1": volume})
    with pytest.raises(InputError, match=r"T1\+T2 was asked for, but only T1 was given"):
        list(segmenter.segment(case, [["t1", "t2"]]))
    with pytest.raises(InputError, match="reference 'flair' is not among"):
        segmenter.prepare({"t1": volume}, reference="flair")
    with pytest.raises(InputError, match="'cuda:99' cannot be used"):
        Segmenter(write_tiny_bundle(tmp_path / "m.safetensors"), "cuda:99")


def test_whole_head_is_noticed() -> None:
    volume = head_volume(head_grid())
    filled = replace(volume, array=volume.array + 0.1)
    assert [code for code, _ in prepare_case({"t1": filled}, BRATS, PREPARATION).warnings] == ["skull"]


def test_probabilities_on_the_reference_grid_are_what_labels_come_from(segmenter: Segmenter) -> None:
    case = segmenter.prepare({"t1": head_volume(head_grid()), "flair": head_volume(head_grid(), 1)})
    box = tuple(slice(start, stop) for start, stop in case.native_box)
    found = dict(segmenter.probabilities(case, "all"))
    expected = {result.subset: result.labels for result in segmenter.segment(case, "all")}
    assert list(found) == list(expected)
    for subset, probabilities in found.items():
        assert probabilities.shape == (4, *expected[subset][box].shape)
        assert np.array_equal(most_probable(probabilities), expected[subset][box])
        total = probabilities.sum(dim=0)
        assert total.min() == 0  # the corners of the box are no brain
        assert total.max() == pytest.approx(1, abs=1e-5)
