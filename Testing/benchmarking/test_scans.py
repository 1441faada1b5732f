"""The raw-like test: what it makes is what it says, and its figures are those a person gets by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ball_head_rig import BONE, FLUID, SKIN, SOFT, far, grid_around, places, quarter_turn, shift
from DMAFTraining.benchmarking.scans_case import CleanCase
from DMAFTraining.benchmarking.scans_contrast import paint_head
from DMAFTraining.benchmarking.scans_head import Head, hug, register_shapes
from DMAFTraining.benchmarking.scans_measure import (
    apply,
    carry_labels,
    center,
    correlation,
    registration_error,
    shift_mm,
    turn_degrees,
)
from DMAFTraining.benchmarking.scans_protocols import PLANES, Protocol, choose_protocols
from DMAFTraining.benchmarking.scans_raw import (
    BRIGHTNESS,
    RawScan,
    RawSettings,
    add_noise,
    draw_motion,
    make_raw,
    scan,
    scan_grid,
)
from DMAFTraining.benchmarking.scans_variants import as_known
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.modalities import BRATS


def test_a_voxel_is_the_mean_over_its_thickness() -> None:
    """Slices of 5 mm of z²: the mean of (z-2)², ..., (z+2)² is z² + 2."""
    source = grid_around((5, 5, 41))
    image = (places(source)[2] ** 2).astype(np.float32)
    thick = Grid((3, 3, 5), np.diag([1.0, 1, 5, 1]) + shift(-1, -1, -10) - np.eye(4))
    values = scan(image[None], source, np.eye(4), thick)[0]
    assert np.allclose(values, [102, 27, 2, 27, 102])


def test_a_moved_head_is_seen_where_the_motion_takes_it() -> None:
    """Something 10 mm to the right is 10 mm anterior after a quarter turn, and 4 mm higher after the shift."""
    source = grid_around((41, 41, 41))
    image = np.zeros(source.size, np.float32)
    image[30, 20, 20] = 1
    seen = scan(image[None], source, shift(0, 0, 4) @ quarter_turn(), source)[0]
    assert np.unravel_index(seen.argmax(), seen.shape) == (20, 30, 24)
    assert seen.sum() == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), most=st.floats(0, 40), longest=st.floats(0, 30))
def test_motions_are_rigid_and_within_their_limits(seed: int, most: float, longest: float) -> None:
    middle = np.array([12.0, -30.0, 5.0])
    motion = draw_motion(longest, most, middle, np.random.default_rng(seed))
    assert np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3))
    assert np.linalg.det(motion[:3, :3]) == pytest.approx(1)
    assert turn_degrees(motion) <= most + 1e-6
    assert shift_mm(motion, middle) <= longest + 1e-6


def test_noise_is_that_of_a_magnitude() -> None:
    """Without signal the mean of a magnitude is sigma times the root of pi/2; without noise nothing changes."""
    nothing = np.zeros((60, 60, 60), np.float32)
    noise = add_noise(nothing, 0.1, np.random.default_rng(0))
    assert noise.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)
    assert np.array_equal(add_noise(nothing + 3, 0.0, np.random.default_rng(0)), nothing + 3)


def test_planes_have_their_slices_along_their_axis() -> None:
    slices = {name: np.abs(axes[2]).tolist() for name, axes in PLANES.items()}
    assert slices == {"axial": [0, 0, 1], "sagittal": [1, 0, 0], "coronal": [0, 1, 0]}
    for axes in PLANES.values():
        assert np.array_equal(np.abs(np.linalg.det(axes)), 1)


@pytest.mark.parametrize("plane", list(PLANES))
def test_a_grid_has_its_spacing_and_holds_the_moved_head(head: Head, plane: str) -> None:
    motion = shift(40, -20, 10) @ quarter_turn()
    grid = scan_grid(head, motion, Protocol((0.9, 1.1, 4), plane), 10.0, np.random.default_rng(3))
    assert grid.spacing == pytest.approx((0.9, 1.1, 4))
    assert np.abs(np.linalg.inv(grid.ijk_to_ras)[:3, :3] @ np.array(PLANES[plane]).T).argmax(axis=0).tolist() == [
        0,
        1,
        2,
    ]
    seen = np.argwhere((head.tissue > 0) | head.brain)
    index = apply(np.linalg.inv(grid.ijk_to_ras) @ motion @ head.grid.ijk_to_ras, seen)
    assert index.min() > 0
    assert (index < np.array(grid.size) - 1).all()


def test_shapes_are_registered_whatever_their_size_and_place() -> None:
    """An ellipsoid, and the same one 1.2 times as long, 7 mm to the side and 3 mm down."""
    grid = grid_around((70, 80, 70))
    x, y, z = places(grid)
    fixed = (x / 20) ** 2 + (y / 30) ** 2 + (z / 16) ** 2 < 1
    moving = ((x - 7) / 20) ** 2 + (y / 36) ** 2 + ((z + 3) / 16) ** 2 < 1
    matrix = register_shapes(moving, grid, fixed, grid)
    assert apply(matrix, np.zeros((1, 3)))[0] == pytest.approx([7, 0, -3], abs=0.3)
    assert apply(matrix, np.array([[0.0, 30, 0]]))[0] == pytest.approx([7, 36, -3], abs=0.7)


def test_tissue_comes_as_far_from_the_new_brain_as_it_was_from_its_own() -> None:
    """Shells 1 mm thick around a ball, moved to a ball 6 mm smaller: what was at 10 mm is at 10 mm."""
    canvas = grid_around((91, 91, 91))
    distance = far(canvas)
    shells = np.clip(np.ceil(distance - 30), 0, None).astype(np.int16)
    moved = hug(shells, distance < 30, distance < 24, canvas)
    for at in (3, 8, 14):
        around = moved[np.abs(distance - 24 - at) < 0.5]
        assert around.mean() == pytest.approx(at + 0.5, abs=0.7)


def test_a_head_neither_overlaps_the_brain_nor_leaves_a_gap(head: Head, case: CleanCase) -> None:
    assert head.brain.sum() == case.brain.sum()
    assert not head.tissue[head.brain].any()
    assert set(np.unique(head.tissue)) == {0, FLUID, BONE, SKIN}
    rim = ndimage.binary_dilation(head.brain) & ~head.brain
    assert (head.tissue[rim] == FLUID).mean() > 0.99
    away = ndimage.distance_transform_edt(~head.brain)
    inside_skull = (away > 0) & (away < 12)
    assert (head.tissue[inside_skull] > 0).all()
    assert (head.tissue[(away > 5) & (away < 6)] == BONE).mean() > 0.9


def test_fat_is_bright_on_t1_bone_dark_and_fluid_bright_on_t2_only() -> None:
    grid = grid_around((40, 8, 8))
    tissue = np.zeros(grid.size, np.int16)
    for n, value in enumerate((0, BONE, FLUID, SOFT, SOFT)):
        tissue[8 * n : 8 * n + 8] = value
    fat = np.zeros(grid.size, np.float32)
    fat[32:] = 1
    plain = Head(grid, np.zeros(grid.size, bool), tissue, fat, np.zeros(grid.size, np.float32))
    looks = {name: paint_head(plain, name)[[4, 12, 20, 28, 36], 4, 4] for name in ("t1", "flair", "t2", "other")}
    air, bone, fluid, muscle, pure_fat = looks["t1"]
    assert air == 0
    assert bone < fluid < muscle < 1 < pure_fat
    assert looks["flair"][2] < looks["flair"][3] < looks["t2"][2]
    assert looks["t2"][1] < looks["t2"][3] < looks["t2"][4] < looks["t2"][2]
    assert np.array_equal(looks["other"], looks["t1"])


def test_the_truth_brings_the_clean_image_back(scans: dict[str, RawScan], case: CleanCase) -> None:
    """1 mm scans to a correlation of .97; thick slices lose what varies within them, and a wrong motion nearly all."""
    found = {}
    for name, raw in scans.items():
        back = Volume(raw.volume.array, raw.grid_in_case)
        found[name] = correlation(back, case.images[name], case.brain)
        astray = Volume(raw.volume.array, replace(raw, motion=shift(6, 6, 6) @ raw.motion).grid_in_case)
        assert correlation(astray, case.images[name], case.brain) < found[name] - 0.25
    assert found["t1ce"] > 0.97
    assert min(found.values()) > 0.75


def test_a_scan_has_the_brain_of_the_case_in_its_brightness(scans: dict[str, RawScan], case: CleanCase) -> None:
    for raw in scans.values():
        volume = raw.brain.sum() * raw.volume.grid.voxel_ml
        assert volume == pytest.approx(case.brain.sum() / 1000, rel=0.03)
        assert np.median(raw.volume.array[raw.brain]) == pytest.approx(BRIGHTNESS, rel=0.05)
        assert np.array_equal(raw.volume.array, np.rint(raw.volume.array))
        assert np.array_equal(raw.stripped.array != 0, raw.brain)
        assert (raw.volume.array[~raw.brain] > 0).mean() > 0.5


def test_the_same_seed_makes_the_same_scan_and_another_one_another(case: CleanCase, head: Head) -> None:
    only = replace(case, images={"t2": case.images["t2"]})
    coarse = RawSettings({"t2": Protocol((4, 4, 4), "axial")})
    one, same, other = (make_raw(only, head, coarse, np.random.default_rng(seed))["t2"] for seed in (1, 1, 2))
    assert np.array_equal(one.volume.array, same.volume.array)
    assert np.array_equal(one.motion, same.motion)
    assert not np.array_equal(one.motion, other.motion)
    still = make_raw(only, head, replace(coarse, still=("t2",)), np.random.default_rng(1))["t2"]
    assert np.array_equal(still.motion, np.eye(4))


def test_with_the_truth_known_all_scans_lie_on_the_reference(scans: dict[str, RawScan], case: CleanCase) -> None:
    known = as_known(scans, "t1ce")
    assert known["t1ce"].grid.same_as(scans["t1ce"].volume.grid)
    for volume in known.values():
        brain = center(volume.array != 0, volume.grid)
        assert brain is not None
        wanted = apply(scans["t1ce"].motion, case.brain_positions()).mean(axis=0)
        assert np.linalg.norm(brain - wanted) < 0.5


def test_registration_errors_are_distances() -> None:
    positions = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert registration_error(shift(3, 4, 0), np.eye(4), positions) == (5, 5)
    assert registration_error(quarter_turn(), np.eye(4), positions) == pytest.approx((np.sqrt(2) / 2, np.sqrt(2)))
    assert turn_degrees(quarter_turn()) == pytest.approx(90)
    assert shift_mm(quarter_turn(), np.array([1.0, 0, 0])) == pytest.approx(np.sqrt(2))


def test_labels_are_carried_by_position() -> None:
    grid = grid_around((8, 8, 8))
    labels = np.zeros(grid.size, np.uint8)
    labels[2:5, 3, 3], labels[3, 3, 3] = 2, 3
    assert np.array_equal(carry_labels(labels, grid, grid), labels)
    one_further = Grid(grid.size, shift(1, 0, 0) @ grid.ijk_to_ras)
    carried = carry_labels(labels, grid, one_further)
    assert np.array_equal(carried[:-1], labels[1:])
    assert not carried[-1].any()


def test_usual_grids_and_chosen_ones() -> None:
    names = ["t1", "t1ce", "flair", "t2"]
    usual = choose_protocols([], names, BRATS)
    assert usual["t1ce"] == Protocol((1, 1, 1), "sagittal")
    assert [usual[name].plane for name in ("t1", "flair", "t2")] == ["axial", "sagittal", "coronal"]
    chosen = choose_protocols(["t2=0.5x0.5x4:axial"], names, BRATS)
    assert chosen["t2"] == Protocol((0.5, 0.5, 4), "axial")
    assert choose_protocols([], ["t1", "t2"], BRATS)["t1"] == Protocol((1, 1, 1), "sagittal")


@pytest.mark.parametrize("word", ["t2", "t2=1x1:axial", "t2=1x1x5:askew", "pd=1x1x5:axial", "t2=1x1x0:axial"])
def test_grids_that_are_not_understood_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"--grid .* is not understood; write NAME=1x1x5:PLANE"):
        choose_protocols([word], ["t1", "t2"], BRATS)
