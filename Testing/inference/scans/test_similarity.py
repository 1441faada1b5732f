"""Normalized mutual information by hand, and what a coarse scan shows."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.scans.coarse import comparable, content, place, shrunk
from DMAFTraining.inference.scans.registration import moved
from DMAFTraining.inference.scans.similarity import Overlay, normalized_information, similarity, trusted
from tiny import head_grid, head_volume


def test_information_of_small_histograms_by_hand() -> None:
    counts = np.array([[[2, 0], [0, 2]], [[1, 1], [1, 1]], [[2, 1], [0, 1]], [[0, 0], [0, 0]]])
    rows = -(3 * log(3 / 4) + log(1 / 4)) / 4  # 3 and 1 of 4
    columns = log(2)  # 2 and 2 of 4
    together = -(2 * log(2 / 4) + 2 * log(1 / 4)) / 4  # 2, 1 and 1 of 4
    wanted = [1, 0, 2 * (rows + columns - together) / (rows + columns), 0]
    assert normalized_information(counts) == pytest.approx(wanted)


def shifted(volume: Volume, mm: float) -> Volume:
    matrix = np.eye(4)
    matrix[0, 3] = mm
    return moved(volume, matrix)


def test_a_scan_tells_all_about_itself_and_its_negative_and_little_elsewhere() -> None:
    scan = head_volume(head_grid())
    negative = Volume(np.where(scan.array != 0, 9 - scan.array, 0).astype(np.float32), scan.grid)
    assert similarity(scan, scan) == pytest.approx(1)
    assert similarity(negative, scan) > 0.95  # the rim of zeros falls into a bin with the darkest voxels
    assert similarity(shifted(scan, 5), scan) < 0.6
    assert similarity(shifted(scan, 20), scan) < similarity(shifted(scan, 5), scan)
    assert similarity(shifted(scan, 500), scan) == 0


def test_noise_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    grid = head_grid()
    scans = [Volume(rng.normal(10, 1, grid.size).astype(np.float32), grid) for _ in "ab"]
    assert similarity(*scans) < 0.01


def test_a_small_covered_part_counts_less() -> None:
    scan = head_volume(head_grid())
    overlay = Overlay(scan, Volume(scan.array[:20], Grid((20, *scan.grid.size[1:]), scan.grid.ijk_to_ras)))
    assert overlay.covered(np.eye(4)) == pytest.approx(0.5, abs=0.02)
    here = overlay.similarity(np.eye(4))
    assert here > 0.8  # that of the covered part alone
    assert overlay.score(np.eye(4)) == pytest.approx(here * overlay.covered(np.eye(4)) / 0.85)
    assert trusted(np.array([0, 0.425, 0.85, 1])).tolist() == [0, 0.5, 1, 1]


def test_shrunk_holds_means_of_blocks_at_their_centers() -> None:
    array = np.arange(4 * 4 * 2, dtype=np.float32).reshape(4, 4, 2)
    result = shrunk(Volume(array, Grid(array.shape, np.diag([1.0, 1.0, 5.0, 1.0]))), 2.0)
    assert result.grid.size == (2, 2, 2)
    assert result.array[0, 0, 0] == array[:2, :2, 0].mean()
    assert (result.grid.ijk_to_ras @ [1, 0, 1, 1]).tolist() == [2.5, 0.5, 5, 1]


def scan_with_air(stripped: bool) -> Volume:
    """A bright block of 10 voxels a side in the middle of 20: dim noise around it, or exact zeros."""
    rng = np.random.default_rng(0)
    array = np.zeros((20, 20, 20)) if stripped else np.abs(rng.normal(0, 2, (20, 20, 20)))
    array[5:15, 5:15, 5:15] = rng.normal(100, 20, (10, 10, 10))
    return Volume(array.astype(np.float32), Grid((20, 20, 20), np.diag([4.0, 4.0, 4.0, 1.0])))


@pytest.mark.parametrize("stripped", [True, False])
def test_the_content_is_what_is_not_air(stripped: bool) -> None:
    wanted = np.zeros((20, 20, 20), bool)
    wanted[5:15, 5:15, 5:15] = True
    assert np.array_equal(content(scan_with_air(stripped)), wanted)


def test_outlines_are_compared_only_if_both_scans_are_alike() -> None:
    brain, head = scan_with_air(True), scan_with_air(False)
    rim = comparable(brain, brain)
    assert rim[3, 10, 10]  # 8 mm are 2 voxels
    assert not rim[2, 10, 10]
    inner = comparable(brain, head)
    assert inner.sum() == 8**3
    assert inner[6, 6, 6]


def test_place_is_a_matrix_product() -> None:
    rng = np.random.default_rng(0)
    matrix, points = np.vstack([rng.normal(size=(3, 4)), [[0, 0, 0, 1]]]), rng.normal(size=(5, 3))
    assert np.allclose(place(matrix, points), (np.c_[points, np.ones(5)] @ matrix.T)[:, :3])
