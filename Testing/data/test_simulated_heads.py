"""The simulated head without tumor: membranes, vessels, contrast, artifacts, statistics and contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from DMAFTraining.data.simulation.anatomy import load_label_map
from DMAFTraining.data.simulation.artifacts import bend, degrade, strip_mask
from DMAFTraining.data.simulation.case import SimulatedCase
from DMAFTraining.data.simulation.contrast import SEQUENCES, draw_texture, draw_tissue
from DMAFTraining.data.simulation.flow import add_fluid_flow, add_ghosts
from DMAFTraining.data.simulation.healthy import draw_extras, paint_healthy
from DMAFTraining.data.simulation.membranes import add_membranes, add_sheets, open_sulci
from DMAFTraining.data.simulation.shape import Grid, Pose
from DMAFTraining.data.simulation.sheet import sheet_title, write_sheet
from DMAFTraining.data.simulation.statistics import REFERENCES, bright_share, cohort_statistics, tissue_medians
from DMAFTraining.data.simulation.tissue_map import TissueMap, brain_hull
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import LabelArray
from DMAFTraining.data.simulation.vessels import build_network, draw_vessels, paint_tubes
from DMAFTraining.data.simulation.white_matter import draw_perivascular, draw_spots


def head() -> LabelArray:
    """Two half balls of brain 8 mm apart, ventricles, brain stem, CSF, dura, bone, and a sinus on top."""
    axes = np.arange(120) - 59.5
    x, y, z = np.meshgrid(axes, axes, axes, indexing="ij", sparse=True)
    radius = np.sqrt(x**2 + y**2 + z**2)
    tissue = np.zeros((120, 120, 120), np.uint8)
    for limit, kind in ((58, Tissue.BONE), (54, Tissue.DURA), (53, Tissue.CSF), (49, Tissue.GRAY), (45, Tissue.WHITE)):
        tissue[radius < limit] = kind
    tissue[(radius < 53) & (np.abs(x) < 4)] = Tissue.CSF
    tissue[(radius < 30) & (np.abs(x) < 15) & (np.abs(x) > 5)] = Tissue.VENTRICLE
    tissue[(np.sqrt(x**2 + y**2) < 9) & (z < -20) & (z > -49)] = Tissue.BRAINSTEM
    tissue[(radius < 53) & (radius > 49) & (np.abs(x) < 4) & (z > 20)] = Tissue.SINUS
    return tissue


def mapped(tissue: LabelArray, spacing: float = 2.0) -> TissueMap:
    grid = Grid(tuple(int(size / spacing) for size in tissue.shape), spacing)
    center = (np.array(tissue.shape, np.float32) - 1) / 2
    return TissueMap(tissue, Pose(grid, np.eye(3), grid.positions() + center[:, None, None, None], float(center[0])))


@pytest.fixture(scope="module")
def tissues() -> TissueMap:
    return mapped(head())


def make_case(**info: object) -> SimulatedCase:
    """100 voxels of 8 mm3 with white matter 2.0, of which 3 are 2.7 and 2 are tumor."""
    image = np.full((10, 10, 1), 2.0, np.float32)
    image[0, :3] = 2.7
    image[9, :2] = 9.0
    labels = np.zeros(image.shape, np.uint8)
    labels[9, :2] = 3
    images = dict.fromkeys(SEQUENCES, image)
    return SimulatedCase("made", images, labels, np.diag([2.0, 2.0, 2.0, 1.0]), dict(info))


def test_labels_of_skin_bone_marrow_and_arteries_are_told_apart(tmp_path: Path) -> None:
    labels = np.zeros((60, 60, 60), np.int16)
    labels[2:58, 2:58, 2:58] = 511  # skin
    labels[4:56, 4:56, 4:56] = 515  # compact bone
    labels[8:52, 8:52, 8:52] = 24
    labels[12:48, 12:48, 12:48] = 2
    labels[5:6, 10:50, 10:50] = 516  # marrow
    labels[20:22, 20:22, 9:11] = labels[38:40, 20:22, 9:11] = 502  # carotid arteries
    image = sitk.GetImageFromArray(labels.transpose(2, 1, 0))
    image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "person_01.nii.gz"))
    anatomy = load_label_map(tmp_path / "person_01.nii.gz")
    count = np.bincount(anatomy.tissue.ravel(), minlength=max(Tissue) + 1)
    assert count[Tissue.MARROW] == 40 * 40
    assert count[Tissue.ARTERY] == 2 * 8
    assert count[Tissue.WHITE] == 36**3
    assert count[Tissue.SKIN] == 56**3 - 52**3
    gland = np.argwhere(anatomy.tissue == Tissue.GLAND) @ anatomy.affine[:3, :3] + anatomy.affine[:3, 3]
    assert len(gland)
    assert np.abs(gland[:, 0] - 29.5).max() < 7  # the arteries are about 20.5 and 38.5


def test_two_touching_banks_of_cortex_get_a_sulcus_between_them() -> None:
    tissue = np.full((20, 9, 9), Tissue.WHITE, np.uint8)
    tissue[7:13] = Tissue.GRAY  # two banks of 3 mm
    open_sulci(tissue, tissue == Tissue.GRAY)
    assert (tissue[9:11] == Tissue.CSF).all()
    assert (tissue[7:9] == Tissue.GRAY).all()
    thin = np.full((20, 9, 9), Tissue.WHITE, np.uint8)
    thin[7:11] = Tissue.GRAY  # 4 mm in all: thinner than two cortices
    open_sulci(thin, thin == Tissue.GRAY)
    assert (thin != Tissue.CSF).all()


def test_falx_lies_between_hemispheres_and_tentorium_above_the_cerebellum() -> None:
    tissue = np.full((31, 20, 40), Tissue.CSF, np.uint8)
    tissue[2:12, :, 20:38], tissue[19:29, :, 20:38] = Tissue.GRAY, Tissue.GRAY
    tissue[2:29, :, 2:15] = Tissue.CEREBELLUM_GRAY
    sides = np.arange(31)[:, None, None] < 15
    cortex = tissue == Tissue.GRAY
    falx, tentorium = add_sheets(tissue, cortex & sides, cortex & ~sides)
    assert set(np.argwhere(falx & (np.indices(tissue.shape)[2] > 22))[:, 0]) == {15}  # from 11 to 19: the middle
    assert set(np.argwhere(tentorium[4:10])[:, 2]) == {17}  # from 14 to 20
    assert (tissue[15, :, 25:35] == Tissue.FALX).all()


def test_sinuses_are_built_where_the_map_has_none() -> None:
    tissue = head()
    tissue[tissue == Tissue.SINUS] = Tissue.CSF
    middle = np.arange(120)[:, None, None] < 60
    cortex = tissue == Tissue.GRAY
    add_membranes(tissue, cortex & middle, cortex & ~middle)
    sinus = np.argwhere(tissue == Tissue.SINUS)
    assert len(sinus) > 100
    assert np.abs(sinus[:, 0] - 59.5).max() < 8
    assert ((sinus[:, 2] > 55) | (sinus[:, 1] < 62)).all()  # above, or behind


def test_a_tube_has_the_volume_of_its_cylinder() -> None:
    grid = Grid((30, 30, 30), 1.0)
    start = np.stack([np.arange(5.0, 25.0), np.full(20, 15.2), np.full(20, 14.6)], axis=1)
    end = start + np.array([1.0, 0.0, 0.0])
    share = paint_tubes(start, end, np.full(20, 0.6), grid, np.random.default_rng(0))
    assert share.sum() == pytest.approx(np.pi * 0.6**2 * 20, rel=0.03)
    assert share.max() <= 1.0
    assert ndimage.center_of_mass(share) == pytest.approx((15.0, 15.2, 14.6), abs=0.15)
    assert share[:, 20:].sum() == 0.0


def test_vessels_stay_in_fluid_and_join_the_sinus(tissues: TissueMap) -> None:
    rng = np.random.default_rng(1)
    network = build_network(tissues, rng)
    room = tissues.fraction(Tissue.CSF, Tissue.SINUS, Tissue.DURA, Tissue.VENTRICLE)
    assert (room[tuple(network.nodes.T)] > 0).all()
    vessels = draw_vessels(tissues, brain_hull(tissues.labels, 2.0), rng)
    deep_white = ndimage.binary_erosion(tissues.is_any(Tissue.WHITE), iterations=2)
    for tree in (vessels.veins, vessels.arteries):
        assert 0.2 < tree.sum() * 8 / 1000 < 20  # mL
        assert tree[deep_white].max() < 0.05
    near_sinus = ndimage.binary_dilation(tissues.is_any(Tissue.SINUS), iterations=2)
    assert vessels.veins[near_sinus].mean() > 2 * vessels.veins.mean()


def test_spots_and_perivascular_spaces_lie_in_white_and_deep_gray_matter(tissues: TissueMap) -> None:
    allowed = tissues.fraction(Tissue.WHITE, Tissue.DEEP_GRAY) > 0
    sums = np.zeros(2)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for number, field in enumerate((draw_spots(tissues, rng), draw_perivascular(tissues, rng))):
            assert 0.0 <= field.min() <= field.max() <= 1.0
            assert not field[~allowed].any()
            sums[number] += field.sum()
    assert (sums > 0).all()


def test_ranges_of_contrast_hold_the_measured_medians() -> None:
    measured = {one.name: (one.low + one.high) / 2 for one in REFERENCES if one.name.split()[-1] in ("gray", "csf")}
    assert len(measured) == 8
    for sequence in SEQUENCES:
        rng = np.random.default_rng(0)
        drawn = [draw_tissue(sequence, rng) for _ in range(400)]
        for name, tissue in (("gray", Tissue.GRAY), ("csf", Tissue.CSF)):
            values = np.array([values[tissue] for values in drawn])
            # Not at the edge of what is drawn.
            assert np.percentile(values, 3) < measured[f"{sequence} {name}"] < np.percentile(values, 97), name


def test_a_head_shows_dark_fluid_and_bright_blood_on_t1ce(tissues: TissueMap) -> None:
    rng = np.random.default_rng(3)
    images = paint_healthy(tissues, draw_extras(tissues, rng), draw_texture(tissues.pose.grid, rng), rng)
    ventricle = ndimage.binary_erosion(tissues.is_any(Tissue.VENTRICLE))
    white = ndimage.binary_erosion(tissues.is_any(Tissue.WHITE), iterations=3)
    for name in ("t1", "t1ce", "flair"):
        assert np.median(images[name][ventricle]) < 0.6 * np.median(images[name][white])
    assert np.median(images["t2"][ventricle]) > 1.8 * np.median(images["t2"][white])
    assert np.percentile(images["t1ce"][tissues.is_any(Tissue.SINUS)], 75) > 1.3
    assert all(np.isfinite(image).all() and image.min() > 0 for image in images.values())


def test_flow_changes_fluid_only_and_only_on_flair_and_t2() -> None:
    grid = Grid((20, 20, 20), 2.0)
    image = np.ones(grid.shape, np.float32)
    fluid = np.zeros(grid.shape, np.float32)
    fluid[5:15] = 1.0
    changes = {"flair": 0.0, "t2": 0.0, "t1": 0.0}
    for name in changes:
        for seed in range(20):
            after = add_fluid_flow(image, fluid, name, grid, np.random.default_rng(seed))
            assert np.array_equal(after[fluid == 0], image[fluid == 0])
            changes[name] += float((after - image).sum())
    assert changes["flair"] > 0 > changes["t2"]
    assert changes["t1"] == 0


def test_ghosts_lie_beside_blood_in_the_phase_direction() -> None:
    grid = Grid((60, 60, 20), 2.0)
    image, blood = np.ones(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    blood[30, 30, 10] = 2.0
    seen = 0
    for seed in range(30):
        changed = np.argwhere(add_ghosts(image, blood, grid, np.random.default_rng(seed)) != image)
        if len(changed):
            seen += 1
            assert (changed[:, 2] == 10).all()
            assert (changed[:, 0] == 30).all() or (changed[:, 1] == 30).all()
            assert not (changed == [30, 30, 10]).all(axis=1).any()
    assert 2 <= seen <= 15  # about a quarter of 30


@given(st.integers(0, 2**32 - 1))
def test_bending_keeps_the_order_black_and_white_matter(seed: int) -> None:
    values = np.linspace(0.0, 6.0, 200, dtype=np.float32)
    bent = bend(values, np.random.default_rng(seed))
    assert (np.diff(bent) > 0).all()
    assert bent[0] == 0.0
    assert np.interp(1.0, values, bent) == pytest.approx(1.0, abs=0.01)


def test_every_artifact_keeps_an_image_finite_and_about_as_bright() -> None:
    grid = Grid((40, 40, 40), 2.0)
    image = np.ones(grid.shape, np.float32)
    image[10:30, 10:30, 10:30] = 2.0
    for seed in range(40):
        scan = degrade(image, grid, np.random.default_rng(seed))
        assert scan.shape == image.shape
        assert scan.dtype == np.float32
        assert np.isfinite(scan).all()
        assert scan.min() >= 0.0
        assert 1.1 < np.median(scan[13:27, 13:27, 13:27]) / np.median(scan[:6]) < 3.5


def test_a_strip_is_one_piece_near_the_hull() -> None:
    grid = Grid((60, 60, 60), 2.0)
    hull = (np.sqrt((grid.positions() ** 2).sum(axis=0)) - 45.0).astype(np.float32)
    ball = (hull <= 0).sum()
    for seed in range(12):
        mask = strip_mask(hull, grid, np.random.default_rng(seed))
        assert 0.8 < mask.sum() / ball < 1.35
        assert ndimage.label(mask)[1] == 1
        assert mask[hull < -20].all()


def test_medians_count_pure_tissue_outside_the_tumor() -> None:
    tissue = np.full((9, 5, 5), Tissue.WHITE, np.uint8)
    tissue[5:] = Tissue.VENTRICLE
    image = np.full(tissue.shape, 3.0, np.float32)
    image[4], image[5] = 7.0, 7.0  # partial volume at the border does not count
    image[6:] = 0.6
    image[0] = 50.0
    tumor = np.zeros(tissue.shape, bool)
    tumor[0] = True
    assert tissue_medians({"t1": image}, tissue, tumor) == {"t1": {"white": 3.0, "csf": pytest.approx(0.6)}}
    with pytest.raises(ValueError, match="t2 has shape"):
        tissue_medians({"t2": image[1:]}, tissue, tumor)


def test_statistics_of_cases_made_by_hand() -> None:
    medians = {"t1ce": {"white": 2.0, "gray": 1.81, "csf": 1.0}}
    volumes = {"WT": 60.0, "TC": 90.0, "ET": 0.0}
    found = cohort_statistics([make_case(medians=medians, volumes_ml=volumes), make_case()])
    measures = {one.reference.name: one for one in found.measures}
    assert found.cases == 2
    assert measures["t1ce gray"].median == pytest.approx(0.905)
    assert measures["t1ce bright %"].median == pytest.approx(100 * 3 / 98)
    assert measures["brain mL"].median == pytest.approx(0.8)
    assert measures["brain mL"].count == 2
    marks = {name: one.ok for name, one in measures.items()}
    assert marks["t1ce gray"]
    assert marks["WT mL"]
    assert not any(marks[name] for name in ("t1ce csf", "t1ce bright %", "TC mL", "ET mL", "t1 gray", "brain mL"))
    text = found.as_text().splitlines()
    assert len(text) == 2 + len(REFERENCES)
    assert next(line for line in text if line.startswith("WT mL")).endswith("ok")
    assert next(line for line in text if line.startswith("TC mL")).endswith("outside")
    with pytest.raises(ValueError, match="at least one case"):
        cohort_statistics([])


def test_the_share_of_bright_voxels_leaves_out_background_and_tumor() -> None:
    image = np.array([0.0, 1.0, 1.29, 1.31, 5.0], np.float32)
    assert bright_share(image, 1.0, np.zeros(5, bool)) == 50.0
    assert bright_share(image, 1.0, np.array([0, 0, 0, 0, 1], bool)) == pytest.approx(100 / 3)
    assert bright_share(np.zeros(4, np.float32), 1.0, np.zeros(4, bool)) == 0.0


def test_a_sheet_says_that_its_cases_are_simulated_and_from_which_seed(tmp_path: Path) -> None:
    assert sheet_title([make_case(seed=7), make_case(seed=7)]) == (
        "2 simulated cases, seed 7 (not patients; research use only)"
    )
    assert sheet_title([make_case()]).startswith("1 simulated case (")
    heights = []
    for rows in (1, 2):
        file = tmp_path / f"{rows}.png"
        write_sheet([make_case(seed=1)] * 3, file, rows)
        data = file.read_bytes()
        assert data.startswith(b"\x89PNG")
        heights.append(int.from_bytes(data[20:24], "big"))
    assert heights[0] < heights[1]
    with pytest.raises(ValueError, match="at least one case"):
        write_sheet([], tmp_path / "none.png")
