"""Are scans found to lie on each other, and only then?"""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from DMAFTraining.inference.geometry import Grid, Matrix, Volume
from DMAFTraining.inference.scans.alignment import are_aligned, doubts
from DMAFTraining.inference.scans.registration import moved
from head_rig import paint_head, shared_data

pytestmark = pytest.mark.skipif(shared_data() is None, reason="the shared anatomies are not here")


@pytest.fixture(scope="module")
def heads() -> dict[str, Volume]:
    return {name: paint_head(3, name).volume for name in ("t1", "t2", "flair")}


def motion(volume: Volume, mm: tuple[float, float, float], degrees: tuple[float, float, float]) -> Matrix:
    """Turn about the middle of a scan, then shift."""
    center = volume.grid.ijk_to_ras @ [*(np.array(volume.grid.size) / 2), 1]
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    matrix[:3, 3] = center[:3] - matrix[:3, :3] @ center[:3] + mm
    return matrix


def thick_part(volume: Volume) -> Volume:
    """Every second slice pair of the upper part: another grid in the same place."""
    array = volume.array[:, 20:, :]
    pairs = array[:, : array.shape[1] // 2 * 2].reshape(array.shape[0], -1, 2, array.shape[2]).mean(axis=2)
    shift, scale = np.eye(4), np.diag([1.0, 2.0, 1.0, 1.0])
    shift[1, 3] = 20
    scale[1, 3] = 0.5
    return Volume(pairs, Grid(pairs.shape, volume.grid.ijk_to_ras @ shift @ scale))


def test_two_contrasts_in_one_place_are_aligned(heads: dict[str, Volume]) -> None:
    verdicts = are_aligned(heads, "t1")
    assert {name: verdict.fine for name, verdict in verdicts.items()} == {"t2": True, "flair": True}


def test_another_grid_in_the_same_place_is_aligned(heads: dict[str, Volume]) -> None:
    assert are_aligned({"t1": heads["t1"], "t2": thick_part(heads["t2"])}, "t1")["t2"].fine


@pytest.mark.parametrize(
    ("mm", "degrees"),
    [((5, 0, 0), (0, 0, 0)), ((0, -5, 0), (0, 0, 0)), ((0, 0, 0), (0, 8, 0)), ((20, 5, 0), (10, 0, 20))],
    ids=str,
)
def test_a_displaced_scan_is_not(heads: dict[str, Volume], mm: tuple, degrees: tuple) -> None:
    away = moved(heads["t2"], motion(heads["t2"], mm, degrees))
    verdict = are_aligned({"t1": heads["t1"], "t2": away}, "t1")["t2"]
    assert not verdict.fine
    assert verdict.reason.startswith("It ")


def test_scans_stripped_together_are_aligned_without_a_look_at_their_contents() -> None:
    rng = np.random.default_rng(0)
    brain = np.zeros((20, 20, 20), bool)
    brain[4:16, 4:16, 4:16] = True
    grid = Grid(brain.shape, np.eye(4))
    first, second = (Volume(np.where(brain, rng.uniform(1, 2, brain.shape), 0).astype(np.float32), grid) for _ in "ab")
    verdict = are_aligned({"t1": first, "t2": second}, "t1")["t2"]
    assert verdict.fine
    assert "zero background" in verdict.reason


def test_stripped_scans_of_one_grid_that_were_moved_apart_are_not_aligned() -> None:
    brain = paint_head(3, "t1").stripped(), paint_head(3, "t2").stripped()
    away = Volume(np.roll(brain[1].array, 3, axis=0), brain[1].grid)
    assert not are_aligned({"t1": brain[0], "t2": away}, "t1")["t2"].fine


def test_a_right_registration_raises_no_doubt(heads: dict[str, Volume]) -> None:
    away = motion(heads["t2"], (12, -8, 5), (10, -5, 15))
    assert doubts(moved(heads["t2"], away), heads["t1"], np.linalg.inv(away)) == ""


@pytest.mark.parametrize(
    ("mm", "degrees", "said"),
    [
        ((6, 0, 0), (0, 0, 0), "fit better"),
        ((20, 0, 0), (0, 0, 0), "resemble|fit better"),
        ((0, 0, 0), (0, 0, 30), "resemble|fit better"),
        ((150, 0, 0), (0, 0, 0), "lie on each other"),
    ],
    ids=str,
)
def test_a_wrong_registration_does(heads: dict[str, Volume], mm: tuple, degrees: tuple, said: str) -> None:
    assert re.search(said, doubts(heads["t2"], heads["t1"], motion(heads["t2"], mm, degrees)))


def test_what_progress_raises_stops_the_comparison(heads: dict[str, Volume]) -> None:
    stop = KeyboardInterrupt()
    told: list[float] = []

    def tell(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0.5:  # in the second scan
            raise stop

    with pytest.raises(KeyboardInterrupt) as raised:
        are_aligned(heads, "t1", tell)
    assert raised.value is stop
    assert told == sorted(told)
    assert told[0] == 0
