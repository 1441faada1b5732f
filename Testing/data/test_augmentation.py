"""Augmented patches: images and labels stay together, values stay what they should be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import AdjustContrast
from scipy import ndimage

from DMAFTraining.data.augmentation import (
    Augmentation,
    NoAugmentation,
    PaperAugmentation,
    StandardAugmentation,
    change_gamma,
    coarsen,
    mirror,
)
from DMAFTraining.data.warping import rotation, source_size, warp

QUIET = {f"{name}_share": 0.0 for name in ("turn", "noise", "blur", "coarse", "contrast", "gamma")}
ZERO = np.zeros(2, np.float32)


def patch(dims: int, seed: int = 0, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Two sequences that show the labels as 10, 20, 30, 40 and 1, 2, 3, 4, in a border of background."""
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 4, (size // 4,) * dims), np.ones((4,) * dims)).astype(np.uint8)
    brain = np.zeros(labels.shape, bool)
    brain[(slice(1, -1),) * dims] = True
    labels *= brain
    return np.stack([(labels + 1) * 10 * brain, (labels + 1) * brain]).astype(np.float32), labels


def augmented(
    recipe: Augmentation, dims: int, seed: int, background: np.ndarray = ZERO
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    images, labels = patch(dims, seed)
    images = np.where(images == 0, background.reshape(-1, *(1,) * dims), images)
    rng = np.random.default_rng([7, seed])
    return images, labels, *recipe.apply(images.copy(), labels.copy(), background, rng)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("jitter", [False, True])
def test_the_paper_recipe_keeps_image_and_labels_together(dims: int, jitter: bool) -> None:
    for seed in range(20):
        _, _, images, labels = augmented(PaperAugmentation(jitter), dims, seed)
        assert images.dtype == np.float32
        assert set(np.unique(labels)) <= {0, 1, 2, 3}
        if not jitter:
            # Nearest neighbor and one scale and shift a sequence: a label has one brightness, in each.
            for image, unit in zip(images, (10, 1), strict=True):
                for label in np.unique(labels[labels > 0]):
                    assert np.ptp(image[labels == label]) < 1e-4
                    assert 0.9 * unit * (label + 1) - 0.1 <= image[labels == label][0] <= 1.1 * unit * (label + 1) + 0.1


def test_the_paper_recipe_turns_and_fills_with_background() -> None:
    background = np.array([-4.0, -2.5], np.float32)
    turned = 0
    for seed in range(30):
        _, before, images, labels = augmented(PaperAugmentation(), 2, seed, background)
        for corner in images[:, ::11, ::11].reshape(2, -1).T:
            assert (np.abs(corner - background) <= 0.1 * np.abs(background) + 0.1).all()
        mirrored = [before, before[::-1], before[:, ::-1], before[::-1, ::-1]]
        turned += not any(np.array_equal(labels, each) for each in mirrored)
    assert turned >= 10  # half of the angles: below 5 degrees nothing in so small a patch moves by half a voxel


def test_slice_jitter_differs_from_slice_to_slice_and_plain_jitter_does_not() -> None:
    ones, labels = np.ones((1, 8, 8, 8), np.float32), np.zeros((8, 8, 8), np.uint8)
    background = np.array([1.0], np.float32)  # so that a turn changes nothing
    plain, _ = PaperAugmentation().apply(ones, labels, background, np.random.default_rng(1))
    jitter, _ = PaperAugmentation(slice_jitter=True).apply(ones, labels, background, np.random.default_rng(1))
    assert np.ptp(plain) == 0
    assert len(np.unique(jitter)) == 8
    assert 0.8 <= jitter.min() <= jitter.max() <= 1.2


@pytest.mark.parametrize("dims", [2, 3])
def test_the_published_fill_is_minus_one_outside_the_patch_only(dims: int) -> None:
    """With every voxel 5 and one label everywhere, what a turn brings in is all that differs."""
    background = np.array([-3.0], np.float32)
    turned = 0
    for seed in range(8):
        images, labels = np.full((1, *(16,) * dims), 5.0, np.float32), np.ones((16,) * dims, np.uint8)
        published, found = PaperAugmentation(turn_fill="minus-one").apply(
            images, labels, background, np.random.default_rng(seed)
        )
        ours, same = PaperAugmentation().apply(images, labels, background, np.random.default_rng(seed))
        assert np.array_equal(found, same)
        outside = found == 0  # labels that a turn brings in are 0 either way
        assert np.array_equal(published[:, ~outside], ours[:, ~outside])
        turned += outside.any()
        if outside.any():
            # One scale and shift for all voxels: two values give both, and the third follows from them.
            brain, fill, other = ours[0][~outside][0], ours[0][outside], published[0][outside]
            scale = (brain - fill[0]) / 8
            assert fill == pytest.approx(np.full_like(fill, fill[0]))
            assert other == pytest.approx(np.full_like(other, brain - 6 * scale), abs=1e-4)
    assert turned >= 4


@pytest.mark.parametrize("dims", [2, 3])
def test_the_standard_recipe_changes_the_brain_only(dims: int) -> None:
    background = np.array([0.0, -2.0], np.float32)
    loud = StandardAugmentation(**{f"{name}_share": 1.0 for name in ("noise", "blur", "coarse", "contrast", "gamma")})
    for seed in range(10):
        before, labels, images, new_labels = augmented(loud, dims, seed, background)
        flipped = not np.array_equal(labels, new_labels)
        before = before[:, ::-1] if flipped else before
        outside = before == background.reshape(-1, *(1,) * dims)
        assert np.array_equal(images[outside], before[outside])
        assert np.isfinite(images).all()
        assert (images[~outside] != before[~outside]).mean() > 0.99
        assert np.array_equal(new_labels, labels[::-1] if flipped else labels)


def test_a_quiet_recipe_and_no_recipe_change_nothing() -> None:
    for recipe in (NoAugmentation(), StandardAugmentation(mirror_axes=(), **QUIET)):
        before, labels, images, new_labels = augmented(recipe, 3, 0)
        assert np.array_equal(images, before)
        assert np.array_equal(new_labels, labels)
        assert recipe.draw_matrix((1, 1, 1), np.random.default_rng(0)) is None


@pytest.mark.parametrize("recipe", [PaperAugmentation(), StandardAugmentation(noise_share=1.0)])
def test_one_seed_gives_one_patch(recipe: Augmentation) -> None:
    *_, images, labels = augmented(recipe, 3, 4)
    *_, again, labels_again = augmented(recipe, 3, 4)
    assert np.array_equal(images, again)
    assert np.array_equal(labels, labels_again)


def test_mirroring_hits_every_axis_half_of_the_time() -> None:
    images = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    labels = images[0].astype(np.uint8)
    seen = np.zeros(8, int)
    rng = np.random.default_rng(0)
    for _ in range(800):
        new_images, new_labels = mirror(images, labels, (0, 1, 2), rng)
        assert np.array_equal(new_images[0], new_labels)
        seen[new_labels[0, 0, 0]] += 1
    assert (np.abs(seen - 100) < 40).all()


@given(
    dims=st.sampled_from([2, 3]),
    angle=st.floats(-40, 40),
    zoom=st.floats(0.6, 1.6),
    size=st.lists(st.integers(3, 9), min_size=3, max_size=3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_warp_equals_scipy_and_needs_nothing_outside_its_source(
    dims: int, angle: float, zoom: float, size: list[int], seed: int
) -> None:
    size = size[:dims]
    matrix = rotation(dims, (0, dims - 1), math.radians(angle)) / zoom
    source = source_size(size, matrix)
    assert all((s - t) % 2 == 0 for s, t in zip(source, size, strict=True))
    image = np.random.default_rng(seed).uniform(1, 2, source).astype(np.float32)
    labels = np.zeros(source, np.uint8)
    moved, _ = warp(image[None], labels, matrix, size, np.zeros(1, np.float32))
    center = (np.array(source) - 1) / 2 - matrix @ ((np.array(size) - 1) / 2)
    wanted = ndimage.affine_transform(image, matrix, center, tuple(size), order=1, mode="nearest")
    assert moved[0] == pytest.approx(wanted, abs=1e-4)


def test_a_quarter_turn_is_exact() -> None:
    image = np.arange(1, 26, dtype=np.float32).reshape(1, 5, 5)
    labels = (image[0] % 4).astype(np.uint8)
    moved, turned = warp(image, labels, rotation(2, (0, 1), math.pi / 2), (5, 5), np.zeros(1, np.float32), linear=False)
    # The value at offset (1, 0) comes from offset (0, 1).
    assert moved[0, 3, 2] == image[0, 2, 3]
    assert np.array_equal(turned, np.rot90(labels, -1)) or np.array_equal(turned, np.rot90(labels))
    assert np.array_equal(moved[0] % 4, turned)


def test_source_size_by_hand() -> None:
    assert source_size((4, 6), np.eye(2)) == (4, 6)
    assert source_size((5, 5), np.eye(2) / 2) == (3, 3)
    assert source_size((5, 5), np.eye(2) * 2) == (9, 9)
    assert source_size((4, 8), rotation(2, (0, 1), math.pi / 2)) == (8, 4)


def test_turned_labels_stay_labels_and_the_background_stays_exact() -> None:
    recipe = StandardAugmentation(**{**QUIET, "turn_share": 1.0})
    for seed in range(10):
        matrix = recipe.draw_matrix((1.0, 1.0, 1.0), np.random.default_rng(seed))
        assert matrix is not None
        size = source_size((12, 12, 12), matrix)
        images, labels = patch(3, seed, 4 * math.ceil(max(size) / 4) + 4)
        cut = tuple(slice(0, n) for n in size)
        fill = np.array([0.0, -3.0], np.float32)
        images[1][images[1] == 0] = -3
        moved, found = warp(images[(slice(None), *cut)], labels[cut], matrix, (12, 12, 12), fill)
        assert set(np.unique(found)) <= {0, 1, 2, 3}
        _, brain = warp(images[(slice(None), *cut)], (images[0] != 0)[cut].astype(np.uint8), matrix, (12, 12, 12), fill)
        assert np.array_equal(moved[0] != 0, brain > 0)
        assert np.array_equal(moved[1] != -3, brain > 0)
        # Well inside a label, and where the neighbors are known, interpolation sees that label only.
        inside = ndimage.minimum_filter(found, 5) == ndimage.maximum_filter(found, 5)
        inside &= ndimage.minimum_filter(moved[0], 5, mode="constant") != 0
        assert moved[0][inside] == pytest.approx((found[inside] + 1) * 10.0, abs=1e-3)


def test_turns_are_rigid_in_mm_and_within_their_range() -> None:
    recipe = StandardAugmentation(turn_share=1.0, degrees=20.0, zoom=(1.0, 1.0))
    spacing = np.array([1.0, 2.0, 0.5])
    for seed in range(20):
        matrix = recipe.draw_matrix(tuple(spacing), np.random.default_rng(seed))
        assert matrix is not None
        in_mm = matrix * spacing[:, None] / spacing[None, :]
        assert in_mm @ in_mm.T == pytest.approx(np.eye(3), abs=1e-9)
    angles = []
    for seed in range(200):
        turn = recipe.draw_matrix((1.0, 1.0), np.random.default_rng(seed))
        assert turn is not None
        angles.append(math.degrees(math.atan2(turn[1, 0], turn[0, 0])))
    assert -20 <= min(angles) < -15 < 15 < max(angles) <= 20
    shares = [StandardAugmentation().draw_matrix((1, 1, 1), np.random.default_rng(s)) is None for s in range(1000)]
    assert np.mean(shares) == pytest.approx(0.7, abs=0.05)


def test_gamma_equals_monai_and_keeps_mean_and_deviation() -> None:
    image = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    everywhere = np.ones(image.shape, bool)
    wanted = AdjustContrast(1.4, retain_stats=True)(image[None])[0]
    assert change_gamma(image, everywhere, 1.4) == pytest.approx(np.asarray(wanted), abs=1e-4)
    brain = image > 0
    changed = change_gamma(image, brain, 0.7)
    assert np.array_equal(changed[~brain], image[~brain])
    assert changed[brain].mean() == pytest.approx(image[brain].mean(), abs=1e-5)
    assert changed[brain].std() == pytest.approx(image[brain].std(), abs=1e-5)
    assert np.array_equal(change_gamma(np.ones((2, 2)), np.ones((2, 2), bool), 2.0), np.ones((2, 2)))


def test_coarser_voxels_by_hand() -> None:
    row = np.array([[0.0, 1.0, 2.0, 3.0]] * 4, np.float32)
    # Halved: 0.5 and 2.5; spread out linearly between their centers.
    assert coarsen(row, 0.5)[1].tolist() == [0.5, 1.0, 2.0, 2.5]
    assert np.array_equal(coarsen(row, 1.0), row)


@pytest.mark.parametrize(
    "wrong", [{"noise_share": 1.5}, {"zoom": (1.2, 0.8)}, {"gamma": (0.0, 1.0)}, {"coarse": (1, 2)}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="augmentation"):
        StandardAugmentation(**wrong)
