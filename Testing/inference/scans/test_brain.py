"""Brain or head, and masks: what is found, what is refused, and what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume, read_volume, to_image
from DMAFTraining.inference.scans.brain import (
    keep_brain,
    looks_stripped,
    mask_problems,
    preferred_sequence,
    read_mask,
    zero_background,
)
from DMAFTraining.modalities import BRATS, MYOPS
from head_rig import paint_head, shared_data
from tiny import head_grid, head_volume, oblique_grid

needs_data = pytest.mark.skipif(shared_data() is None, reason="no shared data: set DMAF_DATA to its folder")


def ball(grid: Grid, radius: float) -> np.ndarray:
    """Where the distance to the origin is below ``radius`` mm."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    position = index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3]
    return (position**2).sum(axis=-1) < radius**2


def shells(radii: dict[float, float], noise: float = 0.0) -> Volume:
    """Nested balls around the origin on a 3 mm grid: brightness by radius in mm, the largest first."""
    grid = head_grid((80, 80, 80))
    image = np.random.default_rng(0).normal(0, noise, grid.size) if noise else np.zeros(grid.size)
    for radius, value in radii.items():
        image[ball(grid, radius)] = value
    return Volume(np.abs(image).astype(np.float32), grid)


def milliliters(sentence: str) -> int:
    """The first volume that a sentence tells."""
    return int(sentence.split(" mL")[0].split()[-1])


BRAIN = {70.0: 60.0, 66.0: 100.0}
HEAD = {78.0: 120.0, 72.0: 10.0, 64.0: 100.0}


def test_a_ball_on_an_empty_background_is_a_brain_and_its_volume_is_told() -> None:
    verdict = looks_stripped(shells(BRAIN))
    assert verdict.fine
    assert milliliters(verdict.reason) == pytest.approx(1437, abs=10)  # 4/3 pi (7 cm)^3


@pytest.mark.parametrize("background", [-1024.0, 7.0])
def test_the_background_may_have_any_constant_value(background: float) -> None:
    brain = shells(BRAIN)
    shifted = Volume(np.where(brain.array == 0, background, brain.array).astype(np.float32), brain.grid)
    assert looks_stripped(shifted).fine
    assert np.array_equal(zero_background(shifted).array, brain.array)
    assert zero_background(brain) is brain


def test_interpolation_ripple_around_a_brain_does_not_hide_that_it_is_one() -> None:
    brain = shells(BRAIN)
    ripple = np.random.default_rng(1).uniform(-0.5, 0.2, brain.array.shape)
    near = ball(brain.grid, 80)
    image = np.where((brain.array == 0) & near, ripple, brain.array).astype(np.float32)
    assert (image < 0).any()
    assert looks_stripped(Volume(image, brain.grid)).fine


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (shells({100.0: 100.0}), "whole head"),
        (shells(HEAD), "dark layer"),
        (shells(HEAD, noise=5.0), "background"),
    ],
    ids=["large", "bone", "noise in the air"],
)
def test_a_head_is_told_by_its_size_its_bone_or_its_air(image: Volume, word: str) -> None:
    verdict = looks_stripped(image)
    assert not verdict.fine
    assert word in verdict.reason


@needs_data
@pytest.mark.parametrize("file", ["patient07/T1", "patient07/T2", "patient19/FLAIR"])
def test_real_stripped_scans_are_recognized(file: str) -> None:
    root = shared_data()
    assert root is not None
    volume = read_volume(root / "openms" / f"{file}.nii.gz")
    assert volume.array.min() < 0
    assert looks_stripped(volume).fine


@needs_data
@pytest.mark.parametrize("sequence", ["t1", "flair", "t2"])
def test_real_anatomies_with_skull_are_heads_and_without_it_brains(sequence: str) -> None:
    head = paint_head(3, sequence)
    assert looks_stripped(head.stripped()).fine
    assert not looks_stripped(head.volume).fine
    assert not looks_stripped(head.masked(head.inside)).fine
    defaced = head.inside & ~(np.arange(head.volume.grid.size[2])[None, None] > 80)  # LIA: the face is at high k
    assert not looks_stripped(head.masked(defaced)).fine


@needs_data
def test_an_axial_block_of_a_head_is_a_head_and_of_a_brain_a_brain() -> None:
    head = paint_head(3)
    middle = int(np.argwhere(head.brain)[:, 1].mean())
    part = np.s_[:, middle - 20 : middle + 20, :]  # 8 cm, the second axis runs along the body
    for whole, fine in ((head.masked(head.inside), False), (head.stripped(), True)):
        block = whole.array[part]
        assert block.max() > 0
        assert looks_stripped(Volume(block, Grid(block.shape, whole.grid.ijk_to_ras))).fine is fine


def test_brain_is_looked_for_on_t1_then_on_t1_after_contrast() -> None:
    assert preferred_sequence(("flair", "t1ce", "t1"), BRATS) == ("t1", "")
    assert preferred_sequence(("t2", "t1ce"), BRATS) == ("t1ce", "")
    assert preferred_sequence(("t2", "flair"), BRATS)[0] == "flair"
    assert "FLAIR" in preferred_sequence(("t2", "flair"), BRATS)[1]
    assert preferred_sequence(("t2", "lge"), MYOPS)[0] == "lge"


def write(path: Path, array: np.ndarray, grid: Grid | None = None) -> Path:
    sitk.WriteImage(to_image(array, grid or head_grid(array.shape)), str(path))
    return path


def test_every_value_but_zero_in_a_mask_file_is_brain(tmp_path: Path) -> None:
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:3, 2:4, 2:4], labels[3:5, 2:4, 2:4] = 1, 17
    mask = read_mask(write(tmp_path / "mask.nii.gz", labels))
    assert mask.array.sum() == 16
    assert set(np.unique(mask.array)) == {0, 1}


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds fractions"):
        read_mask(write(tmp_path / "p.nii.gz", np.linspace(0, 1, 216, dtype=np.float32).reshape(6, 6, 6)))
    image = np.arange(216, dtype=np.int16).reshape(6, 6, 6)
    with pytest.raises(InputError, match="100% of its voxels are not 0"):
        read_mask(write(tmp_path / "image.nii.gz", image))
    with pytest.raises(InputError, match="empty"):
        read_mask(write(tmp_path / "zero.nii.gz", np.zeros((6, 6, 6), np.uint8)))


def test_a_plausible_mask_has_no_problems_and_odd_ones_are_told() -> None:
    grid = head_grid((80, 80, 80))
    brain = ball(grid, 70)
    assert mask_problems(brain, grid) == ()
    assert milliliters(mask_problems(ball(grid, 25), grid)[0]) == pytest.approx(65, abs=2)
    assert milliliters(mask_problems(ball(grid, 100), grid)[0]) == pytest.approx(4189, abs=20)
    pieces = brain.copy()
    pieces[:5, :5, :5] = True
    pieces[0] = False  # 2.7 mL are left: a speck
    assert mask_problems(pieces, grid) == ()
    pieces[2:7, 2:7, 2:7] = True
    assert mask_problems(pieces, grid) == ("The brain mask consists of 2 separate pieces.",)
    cut = brain[:, :, :40]
    assert any("border" in problem for problem in mask_problems(cut, Grid(cut.shape, grid.ijk_to_ras)))


def test_zero_outside_the_mask_and_never_inside() -> None:
    grid = head_grid((40, 44, 36))
    array = head_volume(grid).array.copy()
    array[20, 22, 18] = 0
    mask = ball(grid, 30)
    kept = keep_brain(Volume(array, grid, "scan"), mask, grid)
    assert np.array_equal(kept.array != 0, mask)
    assert 0 < kept.array[20, 22, 18] < 1e-4
    rest = mask & (array != 0)
    assert np.array_equal(kept.array[rest], array[rest])
    assert kept.source == "scan"


@pytest.mark.parametrize(
    "grid",
    [
        oblique_grid((90, 90, 90), (20, -30, 10), (1.3, 1.3, 1.3), 1),
        oblique_grid((120, 120, 20), (0, 0, 0), (1, 1, 6), 0),
        oblique_grid((40, 130, 100), (0, 0, 90), (3, 0.9, 1.2), 1),
    ],
    ids=["oblique", "thick slices", "turned and flipped"],
)
def test_the_mask_of_one_grid_falls_on_the_same_place_of_another(grid: Grid) -> None:
    mask_grid = head_grid((80, 80, 80), 2.0)
    image = Volume(np.ones(grid.size, np.float32), grid)
    kept = keep_brain(image, ball(mask_grid, 50), mask_grid).array != 0
    # Within half a voxel of the mask's grid the border may fall either way.
    assert kept[ball(grid, 49)].all()
    assert not kept[~ball(grid, 51)].any()


def test_a_mask_beside_the_image_is_refused() -> None:
    grid = head_grid((40, 44, 36))
    far = Grid(grid.size, grid.ijk_to_ras + np.array([[0, 0, 0, 500.0], [0] * 4, [0] * 4, [0] * 4]))
    with pytest.raises(InputError, match="does not overlap"):
        keep_brain(head_volume(grid), ball(grid, 30), far)
