"""The raw-like test: what it makes is what it says, and its figures are those a person gets by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DMAFTraining.benchmark import main
from DMAFTraining.benchmarking.scans_case import CleanCase, read_case
from DMAFTraining.benchmarking.scans_contrast import paint_head
from DMAFTraining.benchmarking.scans_document import Truth
from DMAFTraining.benchmarking.scans_head import Head, HeadMap, hug, make_head, read_head, register_shapes
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
from DMAFTraining.benchmarking.scans_report import as_markdown
from DMAFTraining.benchmarking.scans_variants import Outcome, as_known, plan_variants
from DMAFTraining.data.brats import REGIONS
from DMAFTraining.evaluation.stored import LabelMap
from DMAFTraining.inference.errors import GeometryError, InputError
from DMAFTraining.inference.geometry import Grid, Volume, read_volume, to_image
from DMAFTraining.inference.scans.verdict import Verdict
from DMAFTraining.modalities import BRATS
from tiny import write_tiny_bundle

BONE, SKIN, FLUID, SOFT = 515, 511, 24, 507
SETTINGS = RawSettings(
    {"t1ce": Protocol((1, 1, 1), "sagittal"), "t1": Protocol((1, 1, 5), "axial"), "t2": Protocol((1, 1, 5), "coronal")},
)


def grid_around(size: tuple[int, int, int], step: float = 1.0) -> Grid:
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = -step * (np.array(size) - 1) / 2
    return Grid(size, matrix)


def places(grid: Grid) -> np.ndarray:
    """RAS positions ``(3, I, J, K)``."""
    index = np.indices(grid.size).reshape(3, -1).T
    return apply(grid.ijk_to_ras, index).T.reshape(3, *grid.size)


def far(grid: Grid, middle: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Distance in mm from a position."""
    return np.linalg.norm(places(grid) - np.array(middle)[:, None, None, None], axis=0)


def shift(x: float, y: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def quarter_turn() -> np.ndarray:
    """About the axis from foot to head: right goes to anterior."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[0, -1], [1, 0]]
    return matrix


@pytest.fixture(scope="module")
def template() -> HeadMap:
    """A ball head: brain of 30 mm, then 3 mm of fluid, 5 mm of bone, 7 mm of skin."""
    grid = grid_around((100, 100, 100))
    distance = far(grid)
    labels = np.zeros(grid.size, np.int16)
    for radius, value in ((45, SKIN), (38, BONE), (33, FLUID), (30, 3)):
        labels[distance <= radius] = value
    return HeadMap(labels, grid)


@pytest.fixture(scope="module")
def case() -> CleanCase:
    """A brain of 28 x 34 x 26 mm half axes with a bump on one side; bright structures that no turn repeats."""
    grid = grid_around((72, 84, 66))
    x, y, z = places(grid)
    brain = ((x / 28) ** 2 + (y / 34) ** 2 + (z / 26) ** 2 < 1) | (far(grid, (14, 14, 12)) < 14)
    texture = 3 + np.sin(x / 4) + np.cos(y / 5 + x / 9) + np.sin(z / 4 + 1)
    images = {
        name: Volume(np.where(brain, texture * factor, 0).astype(np.float32), grid)
        for name, factor in (("t1", 1.0), ("t1ce", 2.0), ("t2", 10.0))
    }
    labels = np.zeros(grid.size, np.uint8)
    for radius, value in ((12, 2), (8, 1), (5, 3)):
        labels[far(grid, (-8, 6, 4)) < radius] = value
    return CleanCase("ball", {}, images, brain, labels)


@pytest.fixture(scope="module")
def head(template: HeadMap, case: CleanCase) -> Head:
    return make_head(template, case.brain, case.grid, np.random.default_rng(0))


@pytest.fixture(scope="module")
def scans(case: CleanCase, head: Head) -> dict[str, RawScan]:
    return make_raw(case, head, SETTINGS, np.random.default_rng(1))


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


def _write(folder: Path, name: str, array: np.ndarray, grid: Grid) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"case_{name}.nii.gz"
    sitk.WriteImage(to_image(array, grid), str(path))
    return path


def test_a_case_is_read_with_its_brain_and_labels(tmp_path: Path, case: CleanCase) -> None:
    hollow = case.images["t1"].array.copy()
    hollow[30:34, 40:44, 30:34] = 0
    _write(tmp_path / "a", "t1", hollow, case.grid)
    assert case.labels is not None
    _write(tmp_path / "a", "seg", np.where(case.labels == 3, 4, case.labels).astype(np.uint8), case.grid)
    found = read_case(tmp_path / "a", BRATS, (1, 2, 3))
    assert np.array_equal(found.brain, case.brain)
    assert np.array_equal(found.labels, case.labels)
    assert list(found.images) == ["t1"]


def test_cases_that_are_not_clean_are_refused(tmp_path: Path, case: CleanCase) -> None:
    image = case.images["t1"].array
    _write(tmp_path / "a", "t1", image + np.random.default_rng(0).random(image.shape, np.float32), case.grid)
    with pytest.raises(InputError, match=r"case_t1.* does not show the brain alone\. There is no empty background"):
        read_case(tmp_path / "a", BRATS, (1, 2, 3))
    _write(tmp_path / "b", "t1", image, case.grid)
    _write(tmp_path / "b", "t2", image, Grid(case.grid.size, shift(1, 0, 0) @ case.grid.ijk_to_ras))
    with pytest.raises(GeometryError, match=r"case_t2.* and case_t1.* lie on different grids"):
        read_case(tmp_path / "b", BRATS, (1, 2, 3))


def test_a_head_without_a_skull_is_refused(tmp_path: Path, template: HeadMap, case: CleanCase) -> None:
    whole = _write(tmp_path, "whole", template.labels, template.grid)
    assert np.array_equal(read_head(whole).labels, template.labels)
    bare = np.where(template.labels < 500, template.labels, 0).astype(np.int16)
    for path in (
        _write(tmp_path, "bare", bare, template.grid),
        _write(tmp_path, "gray", case.images["t1"].array, case.grid),
    ):
        with pytest.raises(InputError, match="is no label map of a whole head"):
            read_head(path)


@pytest.fixture(scope="module")
def perfect(scans: dict[str, RawScan], case: CleanCase) -> Outcome:
    """What a pipeline without any error would give."""
    assert case.labels is not None
    maps = {
        name: LabelMap(carry_labels(case.labels, case.grid, raw.grid_in_case), raw.volume.grid, name)
        for name, raw in scans.items()
    }
    to_reference = {name: scans["t1ce"].motion @ np.linalg.inv(scans[name].motion) for name in ("t1", "t2")}
    native = {name: maps[name] for name in ("t1", "t2")}
    return Outcome("", maps["t1ce"], native, to_reference, scans["t1ce"].brain, "oracle", {"read": 1.0, "brain": 2.0})


def test_a_perfect_outcome_has_perfect_figures(perfect: Outcome, scans: dict[str, RawScan], case: CleanCase) -> None:
    assert case.labels is not None
    truth = Truth(case, scans, "t1ce", REGIONS)
    clean = Outcome(result=LabelMap(case.labels, case.grid, "clean"))
    figures = truth.judge(perfect, clean)
    ones = {"WT": 1, "TC": 1, "ET": 1}
    assert truth.judge_clean(clean)["dice_to_segmentation"] == ones
    assert figures["dice_to_segmentation"] == figures["dice_to_clean"] == ones
    for name in ("t1", "t2"):
        assert figures["registration"][name]["mean_mm"] == pytest.approx(0, abs=1e-9)
        assert figures["registration"][name]["before_mm"] > 1
        assert figures["native"][name]["dice_to_segmentation"] == ones
        assert figures["native"][name]["same_header"]
        assert figures["native"][name]["round_trip_voxels"] < 0.1
    assert figures["brain"]["dice"] == 1
    assert figures["brain"]["missed_ml"] == figures["brain"]["extra_ml"] == 0
    assert figures["all_seconds"] == 3
    assert truth.interpolation_alone()["WT"] > 0.95  # type: ignore[index]


def test_every_error_shows_in_its_figure(perfect: Outcome, scans: dict[str, RawScan], case: CleanCase) -> None:
    """A transform 3 mm off, a brain without its right half, labels two slices up on T1, nothing on the reference."""
    assert case.labels is not None
    truth = Truth(case, scans, "t1ce", REGIONS)
    clean = Outcome(result=LabelMap(case.labels, case.grid, "clean"))
    assert perfect.result is not None
    half = scans["t1ce"].brain.copy()
    half[: half.shape[0] // 2] = False
    t1 = LabelMap(np.roll(perfect.native["t1"].array, 2, axis=2), perfect.native["t1"].grid, "t1")
    figures = truth.judge(
        replace(
            perfect,
            transforms={**perfect.transforms, "t2": shift(0, 3, 0) @ perfect.transforms["t2"]},
            brain=half,
            native={"t1": t1},
        ),
        clean,
    )
    assert figures["registration"]["t2"]["mean_mm"] == pytest.approx(3)
    assert figures["brain"]["missed_ml"] == pytest.approx((scans["t1ce"].brain & ~half).sum() / 1000)
    assert figures["brain"]["extra_ml"] == 0
    assert figures["native"]["t1"]["round_trip_voxels"] == pytest.approx(2, abs=0.1)
    assert figures["native"]["t1"]["round_trip_mm"] == pytest.approx(10, abs=0.5)
    assert figures["native"]["t1"]["dice_to_segmentation"]["WT"] < 0.7
    empty = replace(perfect, result=LabelMap(np.zeros_like(perfect.result.array), perfect.result.grid, "empty"))
    assert truth.judge(empty, clean)["dice_to_clean"] == {"WT": 0, "TC": 0, "ET": 0}
    assert truth.judge(empty, clean)["native"]["t1"]["round_trip_voxels"] is None


def test_the_report_shows_the_figures_and_what_was_refused(
    perfect: Outcome, scans: dict[str, RawScan], case: CleanCase
) -> None:
    assert case.labels is not None
    truth = Truth(case, scans, "t1ce", REGIONS)
    clean = Outcome(result=LabelMap(case.labels, case.grid, "clean"), seconds={"read": 1.5}, warnings=("Odd.",))
    document = {
        "notice": "Research only.",
        "case": "ball",
        "model": "tiny 1.0",
        "head": "head",
        "seed": 1,
        "noise": 0.02,
        "reference": "t1ce",
        "regions": ["WT", "TC", "ET"],
        "scans": truth.describe_scans(),
        "interpolation_alone": truth.interpolation_alone(),
        "runs": {
            "clean": {"title": "clean case", **truth.judge_clean(clean)},
            "raw": {"title": "skull on", **truth.judge(perfect, clean)},
            "unprepared": {"title": "as it is", **truth.judge(Outcome(problem="They do not overlap."), clean)},
        },
    }
    report = as_markdown(json.loads(json.dumps(document)))
    assert "| clean case | 1.000 | 1.000 | 1.000 | - | - | - |" in report
    assert "| skull on | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |" in report
    assert "| as it is: refused (They do not overlap.) | - | - | - | - | - | - |" in report
    assert "| t1ce | 1x1x1 sagittal |" in report
    assert "0.00 (0.00)" in report
    assert "| skull on | oracle | 1.000 |" in report
    assert "| skull on | 1.0 | 2.0 | 3.0 |" in report
    assert "- Odd. (clean case)" in report
    widths = {line.count(" | ") for line in report.split("## Seconds")[1].splitlines() if line.startswith("| ")}
    assert len(widths) == 1


def test_variants_differ_in_what_is_left_to_do(tmp_path: Path) -> None:
    clean = {name: tmp_path / name for name in ("t1", "t1ce")}
    kinds = {kind: {name: tmp_path / kind / name for name in clean} for kind in ("raw", "stripped", "aligned")}
    variants = {v.name: v for v in plan_variants(clean, kinds, "t1ce", tmp_path / "cache")}
    assert variants["clean"].files == clean
    assert variants["clean"].reference is None
    assert {name: v.options.registration for name, v in variants.items()} == {
        "clean": "auto", "aligned": "off", "stripped": "auto", "raw": "auto", "unprepared": "off"
    }  # fmt: skip
    assert variants["raw"].files == variants["unprepared"].files == kinds["raw"]
    assert variants["raw"].native == ("t1",)


def test_help_has_examples_and_bad_words_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["scans", "--help"])
    assert "examples:" in capsys.readouterr().out
    words = ["scans", "--case", str(tmp_path / "none"), "--head", "x", "--output", str(tmp_path / "out")]
    assert main(words) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registration and brain extraction that know the truth, for heads too small and too smooth for the real ones."""
    made: list[RawScan] = []

    def make(*words: Any) -> dict[str, RawScan]:
        found = make_raw(*words)
        made.extend(found.values())
        return found

    def of(volume: Volume) -> RawScan:
        return next(raw for raw in made if raw.volume.grid.same_as(volume.grid))

    class Tool:
        name, version = "oracle", "1"

        def __call__(self, volume: Volume, on_progress: Any) -> np.ndarray:
            return of(volume).brain

    monkeypatch.setattr("DMAFTraining.benchmarking.scans_work.make_raw", make)
    monkeypatch.setattr(
        "DMAFTraining.inference.scans.decisions.are_aligned",
        lambda volumes, of, on_progress: {
            name: Verdict(volume.grid.same_as(volumes[of].grid), "") for name, volume in volumes.items() if name != of
        },
    )
    monkeypatch.setattr(
        "DMAFTraining.inference.scans.aligning.register",
        lambda moving, fixed, on_progress: of(fixed).motion @ np.linalg.inv(of(moving).motion),
    )
    monkeypatch.setattr("DMAFTraining.inference.scans.aligning.doubts", lambda *_: "")
    monkeypatch.setattr("DMAFTraining.inference.scans.brain_mask.find_tool", lambda choice: Tool())


@pytest.mark.usefixtures("oracle")
def test_the_command_measures_a_pipeline_that_knows_the_truth(
    tmp_path: Path, template: HeadMap, case: CleanCase, capsys: pytest.CaptureFixture[str]
) -> None:
    assert case.labels is not None
    for name in ("t1", "t1ce"):
        _write(tmp_path / "ball", name, case.images[name].array, case.grid)
    _write(tmp_path / "ball", "seg", case.labels, case.grid)
    whole = _write(tmp_path, "head", template.labels, template.grid)
    bundle = write_tiny_bundle(tmp_path / "tiny.safetensors")
    words = ["--case", tmp_path / "ball", "--head", whole, "--bundle", bundle, "--output", tmp_path / "out"]
    assert main(["scans", *map(str, words), "--seed", "3", "--grid", "t1=2x2x4:coronal"]) == 0
    assert capsys.readouterr().out.strip() == (tmp_path / "out" / "report.md").read_text().strip()
    document = json.loads((tmp_path / "out" / "report.json").read_text())
    runs = document["runs"]
    assert document["reference"] == "t1ce"
    assert [run["problem"] for run in runs.values()] == [None] * 5
    assert "dice_to_clean" not in runs["clean"]
    for name in ("stripped", "raw"):
        assert runs[name]["registration"]["t1"]["max_mm"] == pytest.approx(0, abs=1e-6)
        assert runs[name]["native"]["t1"]["same_header"]
    assert runs["stripped"]["dice_to_clean"] == pytest.approx(runs["aligned"]["dice_to_clean"], abs=1e-3)
    assert runs["raw"]["dice_to_clean"]["WT"] == pytest.approx(runs["aligned"]["dice_to_clean"]["WT"], abs=0.05)
    assert runs["stripped"]["brain"] is None
    assert runs["raw"]["brain"]["tool"] == "oracle 1"
    assert runs["raw"]["brain"]["dice"] > 0.999
    assert {"register", "brain", "segment"} <= set(runs["raw"]["seconds"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "aligned", "raw", "report.json", "report.md", "results", "stripped", "truth"
    }  # fmt: skip
    motions = json.loads((tmp_path / "out" / "truth" / "motions.json").read_text())
    seen = read_volume(tmp_path / "out" / "raw" / "ball_t1.nii.gz")
    back = Volume(seen.array, Grid(seen.grid.size, np.linalg.inv(motions["t1"]) @ seen.grid.ijk_to_ras))
    assert correlation(back, case.images["t1"], case.brain) > 0.75


def test_nothing_is_left_of_a_run_that_fails(
    tmp_path: Path, template: HeadMap, case: CleanCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / "ball", "t1", case.images["t1"].array, case.grid)
    whole = _write(tmp_path, "head", template.labels, template.grid)
    before = sorted(tmp_path.iterdir())

    def fail(*_: object) -> None:
        assert sorted(tmp_path.iterdir()) != before
        raise MemoryError

    monkeypatch.setattr("DMAFTraining.benchmarking.scans_work.make_head", fail)
    words = ["scans", "--case", tmp_path / "ball", "--head", whole, "--output", tmp_path / "out"]
    with pytest.raises(MemoryError):
        main([*map(str, words)])
    assert sorted(tmp_path.iterdir()) == before
