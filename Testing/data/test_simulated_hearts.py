"""Simulated hearts: anatomy, contrast, repeatability, and files that MyoPS tools read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from DMAFTraining.data.datasets import MYOPS, MYOPS_PARTS
from DMAFTraining.data.preparing import prepare_store
from DMAFTraining.data.presence import patient_manifest
from DMAFTraining.data.readers import find_cohort, recognize
from DMAFTraining.data.simulation.heart import HeartCase, HeartCohort, write_heart_case, write_heart_sheet
from DMAFTraining.data.simulation.heart.acquisition import PROTOCOLS, draw_displacement
from DMAFTraining.data.simulation.heart.geometry import HeartShape, draw_shape
from DMAFTraining.data.simulation.heart.heart_map import map_heart
from DMAFTraining.data.simulation.heart.lesion import TERRITORIES, Extent, Infarct
from DMAFTraining.data.simulation.heart.outline import ANGLES, Outline, angle_from, wobble
from DMAFTraining.data.simulation.heart.stack import Stack, draw_stack
from DMAFTraining.data.simulation.heart.tissue import WALL, Part, Tissue

EIGHT = np.ones((3, 3), bool)


@pytest.fixture(scope="module")
def cases() -> list[HeartCase]:
    return [HeartCohort(5).case(index) for index in range(8)]


def slices(case: HeartCase) -> list[np.ndarray]:
    return [case.labels[:, :, level] for level in range(case.labels.shape[2])]


def median(case: HeartCase, sequence: str, part: Part) -> float:
    """Of what lies at least a pixel inside a part: clear of partial volume."""
    inside = [ndimage.binary_erosion(plane == part) for plane in slices(case)]
    return float(np.median(case.images[sequence][np.stack(inside, axis=-1)]))


def make_shape(**changes: object) -> HeartShape:
    numbers = {"length": 80.0, "radius": 25.0, "wall": 9.0, "septum": np.pi, "right_width": 28.0, "right_wall": 3.0}
    return HeartShape(**{**numbers, "tilt": (0.0, 0.0), "papillaries": (), "seed": 1, **changes})  # type: ignore[arg-type]


def make_infarct(**changes: object) -> Infarct:
    settings = {"territory": "LAD", "turn": np.pi, "height": 40.0, "obstructed": False, "seed": 3}
    extents = {"scar": Extent(0.8, 25.0, 1.0), "edema": Extent(1.1, 30.0, 2.0)}
    return Infarct(**{**settings, **extents, **changes})  # type: ignore[arg-type]


def test_the_left_pool_lies_in_a_closed_ring(cases: list[HeartCase]) -> None:
    for case in cases:
        for plane in slices(case):
            pool, ring = plane == Part.LEFT, np.isin(plane, WALL)
            assert pool.any()
            assert ndimage.label(pool)[1] == 1
            assert np.isin(plane[ndimage.binary_dilation(pool, EIGHT)], (Part.LEFT, *WALL)).all()
            assert np.array_equal(ndimage.binary_fill_holes(ring), ring | pool)


def test_scar_and_edema_are_part_of_the_wall_and_belong_together(cases: list[HeartCase]) -> None:
    for case in cases:
        assert (case.labels == Part.SCAR).any()
        assert (case.labels == Part.EDEMA).any()
        for plane in slices(case):
            # Without the injured parts, the rest of the wall and the pool leave no hole that something else fills.
            heart = ndimage.binary_fill_holes(np.isin(plane, (Part.LEFT, *WALL)))
            assert (heart[np.isin(plane, (Part.SCAR, Part.EDEMA))]).all()


def test_the_right_pool_lies_beside_the_septum(cases: list[HeartCase]) -> None:
    for case in cases:
        plane = case.labels[:, :, -1]
        right, wall = plane == Part.RIGHT, np.isin(plane, WALL)
        assert (ndimage.binary_dilation(right, EIGHT) & wall).any()
        left_middle, right_middle = (np.argwhere(plane == part).mean(axis=0) for part in (Part.LEFT, Part.RIGHT))
        assert right_middle[0] < left_middle[0]  # to the left of the picture
        assert not (ndimage.binary_dilation(right, EIGHT) & (plane == Part.LEFT)).any()


def test_sizes_are_those_of_adults(cases: list[HeartCase]) -> None:
    for case in cases:
        pixel = case.info["spacing_mm"][0]
        assert 0.75 <= pixel <= 1.4
        assert 8.0 <= case.info["thickness_mm"] <= 12.0
        assert 2 <= case.labels.shape[2] <= 6
        assert min(case.labels.shape[:2]) >= 256
        assert 40.0 < case.info["left_ventricle_ml"] < 200.0
        assert case.info["volumes_ml"]["LVB"] < 1.05 * case.info["left_ventricle_ml"]
        for plane in slices(case):
            pool = (plane == Part.LEFT).sum()
            outer = pool + np.isin(plane, WALL).sum()
            thickness = pixel * (np.sqrt(outer / np.pi) - np.sqrt(pool / np.pi))
            assert 6.0 < thickness < 14.0


def test_volumes_are_those_of_the_labels(cases: list[HeartCase]) -> None:
    case = cases[0]
    voxel_ml = np.prod(case.info["spacing_mm"]) / 1000.0
    assert abs(np.linalg.det(case.affine[:3, :3])) / 1000.0 == pytest.approx(voxel_ml)
    assert case.info["volumes_ml"]["SCAR"] == pytest.approx((case.labels == 2221).sum() * voxel_ml)
    assert case.info["volumes_ml"]["MYO"] == pytest.approx(np.isin(case.labels, (200, 1220, 2221)).sum() * voxel_ml)
    assert json.loads(json.dumps(case.info))["volumes_ml"] == case.info["volumes_ml"]


def test_every_sequence_shows_what_it_is_made_for(cases: list[HeartCase]) -> None:
    for case in cases:
        blood, normal = (median(case, "bssfp", part) for part in (Part.LEFT, Part.NORMAL))
        assert blood > 1.5 * normal
        scar, blood, normal = (median(case, "lge", part) for part in (Part.SCAR, Part.LEFT, Part.NORMAL))
        if not case.info["infarct"]["obstructed"]:
            assert scar > blood
        assert blood > 1.3 * normal
        edema, normal = (median(case, "t2", part) for part in (Part.EDEMA, Part.NORMAL))
        assert edema > 1.1 * normal


def test_the_sequences_tell_different_things(cases: list[HeartCase]) -> None:
    """Edema is plain in T2 only, scar is brightest in LGE, and the pool stands out most in bSSFP."""
    over_normal = {
        name: np.mean([median(case, name, Part.EDEMA) / median(case, name, Part.NORMAL) for case in cases])
        for name in ("bssfp", "t2")
    }
    assert over_normal["t2"] > 1.3 > 1.2 > over_normal["bssfp"]
    scar = {
        name: np.mean([median(case, name, Part.SCAR) / median(case, name, Part.LEFT) for case in cases])
        for name in ("bssfp", "lge")
    }
    assert scar["lge"] > 1.2 > 0.7 > scar["bssfp"]


def test_images_are_whole_numbers_on_one_grid(cases: list[HeartCase]) -> None:
    for case in cases:
        for image in case.images.values():
            assert image.shape == case.labels.shape
            assert image.dtype == np.float32
            assert image.min() >= 0
            assert image.max() < 2**15
            assert np.array_equal(image, np.rint(image))


def test_a_case_depends_on_seed_and_number_only(cases: list[HeartCase]) -> None:
    again = HeartCohort(5).case(3)
    assert again.name == cases[3].name == "simulated-5-00003"
    assert again.info == cases[3].info
    assert np.array_equal(again.labels, cases[3].labels)
    assert all(np.array_equal(again.images[name], cases[3].images[name]) for name in again.images)
    other = HeartCohort(6).case(3)
    assert other.info["left_ventricle_ml"] != again.info["left_ventricle_ml"]
    assert cases[2].info["left_ventricle_ml"] != again.info["left_ventricle_ml"]


def test_hearts_become_a_myops_store(cases: list[HeartCase], tmp_path: Path) -> None:
    root = tmp_path / "hearts"
    for case in cases[:2]:
        assert write_heart_case(case, root) == root / case.name
    (root / "cohort.json").write_text("[]", encoding="utf-8")
    assert recognize(root).spec is MYOPS
    cohort = find_cohort(root, MYOPS)
    assert (cohort.problems, cohort.simulated) == ((), True)
    assert [raw.name for raw in cohort.cases] == [case.name for case in cases[:2]]
    store = prepare_store(cohort, tmp_path / "store", processes=1)
    parts = prepare_store(find_cohort(root, MYOPS_PARTS), tmp_path / "parts", processes=1)
    assert store.index.simulated
    assert len(store) == len(parts) == sum(case.labels.shape[2] for case in cases[:2])
    assert sorted(set(store.patients)) == [case.name for case in cases[:2]]
    assert store.available.all()
    codes = {Part.BACKGROUND: (0, 0), Part.LEFT: (1, 2), Part.RIGHT: (2, 3), Part.NORMAL: (3, 1)}
    codes |= {Part.EDEMA: (3, 4), Part.SCAR: (3, 5)}
    for merged, apart in zip(store.cases, parts.cases, strict=True):
        case = next(case for case in cases if case.name == merged.patient)
        (x0, x1), (y0, y1) = merged.box[:2]
        plane = case.labels[x0:x1, y0:y1, int(merged.name.rsplit("_", 1)[1])]
        labels = [prepared.read_case(prepared.names.index(merged.name))[1] for prepared in (store, parts)]
        assert labels[0].shape == labels[1].shape == (256, 256)
        for part, values in codes.items():
            for found, value in zip(labels, values, strict=True):
                assert (found[plane == part] == value).all(), part.name
        assert sum(merged.voxels[1:]) == sum(apart.voxels[1:]) == np.count_nonzero(plane)
        assert np.count_nonzero(plane) == np.count_nonzero(case.labels[:, :, int(merged.name.rsplit("_", 1)[1])])
    shown = patient_manifest(store, (0.3, 0.5, 0.7))
    for patient in set(store.patients):
        assert len({tuple(row) for row, who in zip(shown.tolist(), store.patients, strict=True) if who == patient}) == 1


def test_files_hold_what_the_case_holds(cases: list[HeartCase], tmp_path: Path) -> None:
    folder = write_heart_case(cases[1], tmp_path)
    name = cases[1].name
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name}_{what}.nii.gz" for what in ("C0", "DE", "T2", "gd")
    ]
    expected = {"C0": cases[1].images["bssfp"], "DE": cases[1].images["lge"], "T2": cases[1].images["t2"]}
    for what, array in {**expected, "gd": cases[1].labels}.items():
        image = sitk.ReadImage(str(folder / f"{name}_{what}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), array)
        assert np.allclose(np.array(image.GetOrigin()) * [-1, -1, 1], cases[1].affine[:3, 3], atol=1e-3)
    with pytest.raises(FileExistsError):
        write_heart_case(cases[1], tmp_path)


def test_the_plane_lies_as_short_axis_planes_do(cases: list[HeartCase]) -> None:
    for case in cases:
        right, down, up = (case.affine[:3, axis] / np.linalg.norm(case.affine[:3, axis]) for axis in range(3))
        assert right @ down == pytest.approx(0.0, abs=1e-9)
        assert np.allclose(np.cross(right, down), up)  # the axes form a right-handed frame, as files need
        assert right[0] < -0.4  # the lateral wall lies to the left of the body
        assert down[2] < -0.5  # the inferior wall lies toward the feet
        assert up[0] > 0.3  # slices go from the apex at the left to the base


def test_a_sheet_is_a_picture(cases: list[HeartCase], tmp_path: Path) -> None:
    write_heart_sheet(cases[:2], tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least one case"):
        write_heart_sheet([], tmp_path / "none.png")


def test_an_outline_measures_the_distance_to_a_circle() -> None:
    circle = Outline(np.array([[2.0, -1.0]]), np.full((1, ANGLES), 5.0))
    x = np.array([2.0, 12.0], np.float32)[:, None, None]
    y = np.array([-1.0], np.float32)[None, :, None]
    assert circle.outside(circle.polar(x, y)).ravel().tolist() == [-5.0, 5.0]


def test_shares_of_tissues_fill_every_pixel_once() -> None:
    stack = Stack(256, 1.2, 9.0, 9.0, np.array([30.0, 45.0, 60.0]), (0.0, 0.0))
    heart = map_heart(make_shape(), make_infarct(obstructed=True), stack, np.random.default_rng(4))
    total = np.sum(list(heart.shares.values()), axis=0)
    assert min(share.min() for share in heart.shares.values()) >= 0.0
    assert total.max() == pytest.approx(1.0, abs=1e-3)
    assert total[heart.parts != Part.BACKGROUND].min() > 0.5
    middle = heart.shares[Tissue.LEFT_BLOOD][heart.parts == Part.LEFT].mean()
    assert 0.75 < middle < 1.0  # trabeculae take the rest of the pool
    assert heart.shares[Tissue.OBSTRUCTION].max() > 0.5


def test_angles_are_signed_and_wrap() -> None:
    from_left = np.degrees(angle_from(np.pi))
    assert from_left[180] == pytest.approx(0.0, abs=1e-9)
    assert from_left[190] == pytest.approx(10.0)
    assert from_left[350] == pytest.approx(170.0)
    assert from_left[10] == pytest.approx(-170.0)


def test_a_wobble_is_the_same_at_the_same_height() -> None:
    heights = np.array([5.0, 20.0, 60.0])
    table = wobble(heights, np.random.default_rng(1))
    assert np.allclose(table[2], wobble(heights[2:], np.random.default_rng(1))[0])
    assert 0.3 < wobble(np.linspace(0, 200, 100), np.random.default_rng(2)).std() < 1.6


def test_the_volume_of_an_even_ventricle() -> None:
    """Half an ellipsoid of 25 x 25 x 56 mm below the equator, 24 mm above it; unevenness adds a few percent."""
    below = 2.0 / 3.0 * np.pi * 25.0**2 * 56.0
    above = np.pi * 25.0**2 * (24.0 - 24.0**3 / (3.0 * 80.0**2))
    assert make_shape().left_ml == pytest.approx((below + above) / 1000.0, rel=0.06)


def test_drawn_hearts_vary_within_adult_sizes() -> None:
    volumes = [draw_shape(np.random.default_rng(seed)).left_ml for seed in range(40)]
    assert 40.0 < min(volumes) < 85.0
    assert 150.0 < max(volumes) < 200.0


def test_an_injury_is_deepest_in_its_middle_and_inside_its_edema() -> None:
    heights = np.array([10.0, 40.0, 70.0])
    infarct = make_infarct()
    scar, edema = infarct.depths(heights)
    assert scar[1, 180] == pytest.approx(1.0, abs=0.4)  # facing the infarct at its height
    assert scar[1, 0] < 0  # the opposite wall
    assert scar[0].max() < scar[1].max()
    assert scar[2, 180] < 0  # 30 mm above, where it ends at 25
    assert (edema >= scar).all()
    deeper, _ = make_infarct(scar=Extent(0.8, 25.0, 2.0)).depths(heights)
    assert np.allclose(deeper, 2.0 * scar)


def test_territories_lie_where_the_arteries_run() -> None:
    """Seen with the septum to the left: anterior is up (negative y), inferior down, lateral to the right."""
    directions = {t.name: np.exp(1j * (np.pi + t.turn)) for t in TERRITORIES}
    assert directions["LAD"].imag < -0.5
    assert directions["RCA"].imag > 0.5
    assert directions["LCX"].real > 0.5


def test_a_stack_stays_between_apex_and_valve() -> None:
    for seed in range(200):
        stack = draw_stack(75.0, np.random.default_rng(seed))
        assert stack.sublevels[0] > 0.2 * 75.0
        assert stack.sublevels[-1] < 75.0
        assert np.allclose(np.diff(stack.heights), stack.step)


@pytest.mark.parametrize("sequence", list(PROTOCOLS))
def test_sequences_are_misplaced_by_at_most_two_mm(sequence: str) -> None:
    stack = Stack(64, 1.0, 10.0, 10.0, np.array([20.0, 30.0]), (0.0, 0.0))
    limit = PROTOCOLS[sequence].misplaced
    longest = 0.0
    for seed in range(20):
        field = draw_displacement(limit, stack, np.random.default_rng(seed))
        longest = max(longest, float(np.linalg.norm(field, axis=0).max()))
    assert 0.5 * limit < longest <= limit + 1e-5
    assert sum(sorted(protocol.misplaced for protocol in PROTOCOLS.values())[:2]) <= 2.0
