"""Simulated brain tumor cases: truth, contrast, repeatability, and the command that writes them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.data.simulation.anatomy import Anatomy, Tissue, list_anatomies, load_label_map
from DMAFTraining.data.simulation.background import Background, load_background, simulate_on_background
from DMAFTraining.data.simulation.case import SimulatedCase, simulate_case
from DMAFTraining.data.simulation.cohort import Cohort
from DMAFTraining.data.simulation.contrast import SEQUENCES, draw_tissue
from DMAFTraining.data.simulation.noise import smooth_noise
from DMAFTraining.data.simulation.template import load_icbm152
from DMAFTraining.data.simulation.tumor import EDEMA, ENHANCING
from round_head import ball_anatomy

SPACING = 3.0


@pytest.fixture(scope="module")
def phantom() -> Anatomy:
    return ball_anatomy()


@pytest.fixture(scope="module")
def background(phantom: Anatomy) -> Background:
    values = {"t1": (1.0, 0.8, 0.2), "t1ce": (1.0, 0.9, 0.2), "flair": (1.0, 1.1, 0.3), "t2": (1.0, 1.2, 3.0)}
    brain = (phantom.tissue > 0) & (phantom.tissue < Tissue.DURA)
    images = {}
    for name, (white, gray, fluid) in values.items():
        table = np.zeros(max(Tissue) + 1, np.float32)
        table[[Tissue.WHITE, Tissue.GRAY, Tissue.CSF, Tissue.VENTRICLE]] = white, gray, fluid, fluid
        images[name] = table[phantom.tissue]
    return Background("phantom", images, np.where(brain, phantom.tissue, 0).astype(np.uint8), phantom.affine)


@pytest.fixture(scope="module")
def cases(phantom: Anatomy, background: Background) -> list[SimulatedCase]:
    drawn = [simulate_case(phantom, np.random.default_rng(seed), SPACING) for seed in range(8)]
    return drawn + [simulate_on_background(background, np.random.default_rng(seed), SPACING) for seed in range(6)]


def same(one: SimulatedCase, other: SimulatedCase) -> bool:
    images = all(np.array_equal(one.images[name], other.images[name]) for name in SEQUENCES)
    return images and np.array_equal(one.labels, other.labels)


def test_noise_has_mean_0_spread_1_and_is_smooth() -> None:
    field = smooth_noise((60, 50, 40), 1.0, 6.0, np.random.default_rng(0))
    assert field.shape == (60, 50, 40)
    assert abs(field.mean()) < 0.15
    assert 0.85 < field.std() < 1.15
    assert np.abs(np.diff(field, axis=0)).max() < 0.8


def test_a_seed_gives_one_case_and_another_seed_another(phantom: Anatomy, cases: list[SimulatedCase]) -> None:
    assert same(simulate_case(phantom, np.random.default_rng(3), SPACING), cases[3])
    assert cases[3].labels.shape != cases[4].labels.shape or not same(cases[3], cases[4])


def test_labels_lie_inside_the_brain_and_the_background_is_exactly_0(cases: list[SimulatedCase]) -> None:
    for case in cases:
        assert case.labels.dtype == np.uint8
        assert set(np.unique(case.labels)) <= {0, 1, 2, 3}
        assert set(case.images) == set(SEQUENCES)
        brain = case.images["t1"] > 0
        assert 200_000 < brain.sum() * SPACING**3 < 2_000_000  # mm3: a ball of 60 mm holds 905,000
        assert not (case.labels > 0)[~brain].any()
        for image in case.images.values():
            assert image.dtype == np.float32
            assert np.isfinite(image).all()
            assert np.array_equal(image > 0, brain)
            assert (image[~brain] == 0).all()


def test_the_affine_has_the_spacing_and_volumes_add_up(cases: list[SimulatedCase]) -> None:
    for case in cases:
        assert np.allclose(np.diag(case.affine)[:3], SPACING)
        volumes = case.info["volumes_ml"]
        assert volumes["WT"] == pytest.approx((case.labels > 0).sum() * SPACING**3 / 1000)
        assert volumes["WT"] == pytest.approx(volumes["TC"] + volumes["ED"])
        assert volumes["ET"] <= volumes["TC"]
        assert 0.0 <= case.info["midline_shift_mm"] < 30.0
        assert (case.info["midline_shift_mm"] > 0) == (volumes["WT"] > 0)


def healthy_white(case: SimulatedCase) -> np.ndarray:
    """Voxels of the healthy half of brightness on T1: white matter of the phantom, mostly."""
    inside = (case.images["t1"] > 0) & (case.labels == 0)
    t1 = case.images["t1"]
    return inside & (t1 > np.percentile(t1[inside], 60)) & (t1 < np.percentile(t1[inside], 97))


def test_contrast_of_the_tumor_against_white_matter(cases: list[SimulatedCase]) -> None:
    edema, rim = [], []
    for case in cases:
        white = healthy_white(case)
        for values, name, label in ((edema, "flair", EDEMA), (rim, "t1ce", ENHANCING)):
            region = case.labels == label
            if region.sum() > 60:
                values.append(np.median(case.images[name][region]) / np.median(case.images[name][white]))
    assert len(edema) >= 6
    assert len(rim) >= 4
    assert min(edema) > 1.05
    assert np.median(edema) > 1.3
    assert min(rim) > 1.05
    assert np.median(rim) > 1.25


def test_fluid_is_dark_on_flair_and_bright_on_t2(phantom: Anatomy) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        flair, t2, t1ce = (draw_tissue(name, rng) for name in ("flair", "t2", "t1ce"))
        assert flair[Tissue.CSF] < 0.45 < flair[Tissue.GRAY]
        assert t2[Tissue.CSF] > 2.0 > t2[Tissue.GRAY] > t2[Tissue.WHITE] == 1.0
        assert t1ce[Tissue.SINUS] > 1.1


def test_about_one_case_in_twenty_has_no_tumor(phantom: Anatomy) -> None:
    cohort = Cohort([phantom], seed=5)
    drawn = [cohort.case(index, 10.0) for index in range(80)]
    planned = ["kind" in case.info for case in drawn]
    assert 1 <= planned.count(False) <= 12  # 4 expected
    assert all(case.labels.any() <= has_plan for case, has_plan in zip(drawn, planned, strict=True))


def test_a_cohort_does_not_depend_on_the_order(phantom: Anatomy, background: Background) -> None:
    one = Cohort([phantom], [background], seed=7, background_fraction=0.5)
    other = Cohort([phantom], [background], seed=7, background_fraction=0.5)
    forward = [one.case(i, 5.0) for i in range(4)]
    backward = [other.case(i, 5.0) for i in reversed(range(4))][::-1]
    assert all(same(a, b) for a, b in zip(forward, backward, strict=True))
    assert [case.name for case in forward] == [f"simulated-7-{i:05d}" for i in range(4)]
    assert {case.info["real_background"] for case in [one.case(i, 8.0) for i in range(12)]} == {True, False}


def test_splits_share_nobody(tmp_path: Path) -> None:
    for person in range(1, 21):
        (tmp_path / f"training_seg_{person:02d}.nii.gz").touch()
    parts = {split: set(list_anatomies(tmp_path, split)) for split in ("train", "validation", "test")}
    assert {split: len(files) for split, files in parts.items()} == {"train": 14, "validation": 3, "test": 3}
    assert set.union(*parts.values()) == set(list_anatomies(tmp_path))
    assert sum(len(files) for files in parts.values()) == 20
    with pytest.raises(ValueError, match="Unknown split 'exam'"):
        list_anatomies(tmp_path, "exam")


def test_a_label_map_becomes_an_anatomy_with_sinus_and_falx(tmp_path: Path) -> None:
    labels = np.zeros((60, 60, 60), np.int16)
    labels[5:55, 5:55, 5:55] = 515
    labels[8:52, 8:52, 8:52] = 24
    labels[12:28, 12:48, 12:48] = 3
    labels[32:48, 12:48, 12:48] = 42
    labels[29:31, 10:12, 20:40] = 514
    image = sitk.GetImageFromArray(labels.transpose(2, 1, 0))
    image.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "person_01.nii.gz"))
    anatomy = load_label_map(tmp_path / "person_01.nii.gz")
    assert (anatomy.tissue == Tissue.SINUS).sum() == 2 * 2 * 20
    assert (anatomy.tissue == Tissue.GRAY).sum() == 2 * 16 * 36 * 36
    falx = np.argwhere(anatomy.tissue == Tissue.FALX) @ anatomy.affine[:3, :3] + anatomy.affine[:3, 3]
    assert set(falx[:, 0]) == {28.0, 29.0, 30.0, 31.0}  # the hemispheres end at 27 and begin at 32
    assert (anatomy.tissue == Tissue.DURA).any()
    with pytest.raises(ValueError, match="no image"):
        load_label_map(tmp_path / "person_02.nii.gz")


def test_people_kept_for_checks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patient26 is not for training"):
        load_background(tmp_path / "patient26")


def test_the_average_brain_has_all_regions() -> None:
    anatomy = load_icbm152()
    volumes = np.bincount(anatomy.tissue.ravel(), minlength=max(Tissue) + 1) / 1000
    assert 350 < volumes[Tissue.WHITE] < 800
    assert 500 < volumes[Tissue.GRAY] < 1100
    for tissue in (Tissue.DEEP_GRAY, Tissue.BRAINSTEM, Tissue.VENTRICLE, Tissue.CEREBELLUM_GRAY, Tissue.SINUS):
        assert volumes[tissue] > 1.5, tissue.name
    case = simulate_case(anatomy, np.random.default_rng(1), 4.0)
    assert case.images["t1"].any()


def shared_data() -> Path | None:
    root = Path(os.environ.get("DMAF_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    return root if (root / "anatomies").is_dir() else None


@pytest.mark.skipif(shared_data() is None, reason="no label maps: set DMAF_DATA to the folder that holds anatomies/")
def test_a_real_head_has_its_sinuses_and_a_plausible_brain() -> None:
    root = shared_data()
    assert root is not None
    anatomy = load_label_map(list_anatomies(root / "anatomies", "validation")[0])
    volumes = np.bincount(anatomy.tissue.ravel(), minlength=max(Tissue) + 1) / 1000
    assert 700 < volumes[Tissue.WHITE] + volumes[Tissue.GRAY] < 1500
    assert 3 < volumes[Tissue.SINUS] < 60
    assert volumes[Tissue.FALX] > 2
    world = np.argwhere(anatomy.tissue == Tissue.CEREBELLUM_GRAY).mean(axis=0)
    cortex = np.argwhere(anatomy.tissue == Tissue.GRAY).mean(axis=0)
    assert world[1] < cortex[1]  # behind
    assert world[2] < cortex[2]  # below
    case = simulate_case(anatomy, np.random.default_rng(1), 3.0)
    assert case.labels.any()
    assert case.info["volumes_ml"]["WT"] <= 205.0
