"""Distances and Dice: values computed by hand, and equality with medpy and with MONAI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from medpy.metric import binary as medpy
from monai.metrics import compute_dice, compute_hausdorff_distance
from numpy.typing import NDArray
from scipy import ndimage

from DMAFTraining.inference.comparison import dice
from DMAFTraining.inference.surfaces import Surface, SurfaceDistances

Mask = NDArray[np.bool_]
PAIRS = 200


def distances(a: Mask, b: Mask, spacing: Sequence[float]) -> SurfaceDistances:
    return Surface(a, spacing).distances_to(Surface(b, spacing))


def line(length: int) -> Mask:
    mask = np.zeros((24, 3), bool)
    mask[:length, 1] = True
    return mask


def test_lines_of_10_and_20_voxels() -> None:
    # From the short line: ten times 0. From the long one: ten times 0, then 1 to 10.
    found = distances(line(10), line(20), (1.0, 1.0))
    assert found.hd95_pooled == pytest.approx(8.55)  # rank 0.95 * 29 = 27.55 of 20 zeros and 1 to 10
    assert found.hd95 == pytest.approx(9.05)  # rank 0.95 * 19 = 18.05 of 10 zeros and 1 to 10
    assert found.hd == pytest.approx(10)
    assert distances(line(20), line(10), (1.0, 1.0)) == found


def test_voxels_are_as_large_as_the_spacing_says() -> None:
    a, b = np.zeros((2, 5, 6, 4), bool)
    a[1, 1, 1] = b[4, 5, 1] = True
    five, straight = distances(a, b, (1.0, 1.0, 7.0)), distances(a, b, (4.0, 0.5, 1.0))
    assert (five.hd95_pooled, five.hd95, five.hd) == (5, 5, 5)  # 3 and 4 mm
    assert straight.hd == pytest.approx(np.sqrt(12**2 + 2**2))


def test_only_the_surface_counts_and_the_border_of_the_array_is_outside() -> None:
    cube = np.ones((5, 5, 5), bool)
    hole = cube.copy()
    hole[2, 2, 2] = False  # in the middle: makes its six neighbors surface, 2 voxels below the faces
    found = distances(cube, hole, (1.0, 1.0, 1.0))
    assert found.hd == 1  # from a neighbor of the hole to the middle of the face above it
    assert found.hd95_pooled == 0  # six of 98 + 104 distances
    # Of one direction, six of 104 distances are 1: rank 0.95 * 103 = 97.85 lies between the last 0 and the first 1.
    assert found.hd95 == pytest.approx(0.85)


def test_equal_masks_are_0_apart_and_empty_ones_have_no_distance() -> None:
    empty = np.zeros((24, 3), bool)
    assert distances(line(7), line(7), (1.0, 2.0)) == SurfaceDistances(0, 0, 0)
    for a, b in ((empty, line(7)), (line(7), empty), (empty, empty)):
        assert distances(a, b, (1.0, 2.0)) == SurfaceDistances(None, None, None)


def random_pairs() -> Iterator[tuple[Mask, Mask, list[float]]]:
    """Blobs and speckle in 2-D and 3-D, single voxels, whole arrays, masks at the border, unequal spacing."""
    rng = np.random.default_rng(7)
    for number in range(PAIRS):
        shape = tuple(rng.integers(4, 14, size=2 + number % 2))
        spacing = [float(step) for step in rng.uniform(0.4, 4.0, size=len(shape))] if number % 3 else [1.0] * len(shape)
        masks = []
        for _ in range(2):
            values = ndimage.gaussian_filter(rng.normal(size=shape), rng.choice([0.0, 1.0, 2.0]))
            mask = values > np.quantile(values, rng.choice([0.02, 0.5, 0.9]))
            if number % 10 == 0:
                mask = values == values.max()  # one voxel
            if number % 10 == 5:
                mask = np.roll(np.cumsum(mask, axis=0) > 0, -1, axis=0)  # reaches the border
            masks.append(mask)
        yield masks[0], masks[1], spacing


def directed(a: Mask, b: Mask, spacing: Sequence[float]) -> float:
    """95th percentile of the distances from the surface of one mask to that of the other, by a distance map."""
    surfaces = [mask ^ ndimage.binary_erosion(mask) for mask in (a, b)]
    return float(np.percentile(ndimage.distance_transform_edt(~surfaces[1], sampling=spacing)[surfaces[0]], 95))


def test_200_random_pairs_equal_medpy() -> None:
    for a, b, spacing in random_pairs():
        found = distances(a, b, spacing)
        assert found.hd95_pooled == pytest.approx(medpy.hd95(a, b, spacing), rel=1e-12, abs=1e-12)
        assert found.hd == pytest.approx(medpy.hd(a, b, spacing), rel=1e-12, abs=1e-12)
        assert dice(a, b) == pytest.approx(medpy.dc(a, b), rel=1e-12)
        larger = max(directed(a, b, spacing), directed(b, a, spacing))
        assert found.hd95 == pytest.approx(larger, rel=1e-12, abs=1e-12)


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
def test_200_random_pairs_equal_monai() -> None:
    for a, b, spacing in random_pairs():
        pair = [torch.from_numpy(mask)[None, None] for mask in (a, b)]
        options = {"include_background": True, "spacing": spacing}
        found = distances(a, b, spacing)
        # MONAI computes in single precision.
        assert found.hd95 == pytest.approx(compute_hausdorff_distance(*pair, percentile=95, **options).item(), rel=1e-4)
        assert found.hd == pytest.approx(compute_hausdorff_distance(*pair, **options).item(), rel=1e-4)
        assert dice(a, b) == pytest.approx(compute_dice(*pair, ignore_empty=False).item(), rel=1e-6)
