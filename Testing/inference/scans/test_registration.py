"""Does registration find a known motion, tell its progress, stop when asked, and repeat itself to the bit?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import SimpleITK as sitk

from DMAFTraining.inference.errors import GeometryError
from DMAFTraining.inference.geometry import Grid, Matrix, Volume
from DMAFTraining.inference.scans.registration import moved, register, register_nearby
from DMAFTraining.inference.scans.start import motion
from head_rig import paint_head, shared_data
from tiny import head_grid, head_volume, oblique_grid

needs_heads = pytest.mark.skipif(shared_data() is None, reason="the shared anatomies are not here")

FAR = (12.0, -10.0, 15.0, 20.0, -15.0, 10.0)
"""Degrees about x, y, z and mm along them: about as far apart as two scans of one visit get."""


def silent(_: float) -> None:
    pass


def error_mm(found: Matrix, wanted: Matrix, radius: float = 70.0) -> float:
    """Largest distance between where two motions take points on a sphere as large as a brain."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
    points = np.hstack([signs * radius / np.sqrt(3), np.ones((8, 1))])
    return float(np.linalg.norm(points @ (found - wanted).T, axis=1).max())


def other_contrast(volume: Volume) -> Volume:
    """Dark for bright, and not in proportion; zero stays zero."""
    array = volume.array
    return Volume(np.where(array != 0, 9 - array - (array - 3) ** 2 / 4, 0).astype(np.float32), volume.grid)


@pytest.fixture(scope="module")
def ball() -> Volume:
    """A ball of 50 mm with waves in it: as if stripped."""
    return head_volume(head_grid())


@pytest.fixture(scope="module")
def away(ball: Volume) -> tuple[Volume, Matrix]:
    """The ball in another contrast, on a finer, oblique grid, displaced by a known motion."""
    scan = other_contrast(head_volume(oblique_grid((50, 60, 44), (10, -5, 20), (2.2, 2.0, 2.8), 1)))
    matrix = motion(FAR, np.zeros(3))
    return moved(scan, matrix), np.linalg.inv(matrix)


@pytest.fixture(scope="module")
def registered(ball: Volume, away: tuple[Volume, Matrix]) -> tuple[Matrix, list[float]]:
    """What came out, and the progress that was told."""
    told: list[float] = []
    return register(away[0], ball, told.append), told


def test_a_known_motion_is_found_between_contrasts_and_grids(
    away: tuple[Volume, Matrix], registered: tuple[Matrix, list[float]]
) -> None:
    assert error_mm(np.eye(4), away[1]) > 30
    assert error_mm(registered[0], away[1]) < 0.5


def test_the_way_back_is_the_inverse(ball: Volume, away: tuple[Volume, Matrix]) -> None:
    assert error_mm(np.linalg.inv(register(ball, away[0], silent)), away[1]) < 0.5


def test_nearby_a_start_at_the_headers_is_enough(ball: Volume) -> None:
    matrix = motion((3, -2, 4, 3, -2, 2), np.zeros(3))
    found = register_nearby(moved(other_contrast(ball), matrix), ball, silent)
    assert error_mm(found, np.linalg.inv(matrix)) < 1.0


@needs_heads
def test_thick_slices_of_a_head_are_put_onto_a_stripped_brain_of_another_contrast() -> None:
    brain, head = paint_head(3, "t1").stripped(), paint_head(3, "t2").volume
    slices = head.array[:, :126].reshape(head.array.shape[0], 63, 2, -1).mean(axis=2)
    matrix = head.grid.ijk_to_ras @ np.diag([1.0, 2.0, 1.0, 1.0])
    matrix[:3, 3] += head.grid.ijk_to_ras[:3, 1] / 2
    thick = Volume(slices, Grid(slices.shape, matrix))
    assert thick.grid.spacing == (2, 4, 2)
    middle = np.array([1.0, 1.0, 1.0])
    matrix = motion(FAR, middle)
    assert error_mm(register(moved(thick, matrix), brain, silent), np.linalg.inv(matrix)) < 1.0


@pytest.fixture
def threads() -> Iterator[None]:
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    yield
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@pytest.mark.usefixtures("threads")
def test_the_same_bytes_every_time_and_for_any_number_of_threads(
    ball: Volume, away: tuple[Volume, Matrix], registered: tuple[Matrix, list[float]]
) -> None:
    results = {registered[0].tobytes()}
    for count in (1, 3):
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
        results.add(register(away[0], ball, silent).tobytes())
    assert len(results) == 1


def test_progress_runs_from_0_to_1(registered: tuple[Matrix, list[float]]) -> None:
    told = registered[1]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, 1)
    assert max(np.diff(told)) < 0.3


class Stop(BaseException):
    """Raised by a person who has had enough; not an ``Exception``, like KeyboardInterrupt."""


@pytest.mark.parametrize("when", [0.0, 0.3, 0.6])
def test_what_progress_raises_comes_out_at_once(ball: Volume, away: tuple[Volume, Matrix], when: float) -> None:
    stop = Stop("enough")
    told: list[float] = []

    def tell(fraction: float) -> None:
        told.append(fraction)
        if fraction >= when:
            raise stop

    with pytest.raises(Stop) as raised:
        register(away[0], ball, tell)
    assert raised.value is stop
    assert sum(fraction >= when for fraction in told) == 1


def test_an_image_with_next_to_nothing_in_it_is_refused(ball: Volume) -> None:
    array = np.zeros_like(ball.array)
    array[18:22, 18:22, 18:22] = 1
    with pytest.raises(GeometryError, match=r"t2\.nii shows only \d mL"):
        register(Volume(array, ball.grid, "t2.nii"), ball, silent)


def test_moved_keeps_the_voxels_and_moves_their_places() -> None:
    volume = Volume(np.ones((2, 2, 2), np.float32), Grid((2, 2, 2), np.diag([2.0, 3.0, 4.0, 1.0])), "t1.nii")
    matrix = np.eye(4)
    matrix[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    matrix[:3, 3] = 10, 20, 30
    result = moved(volume, matrix)
    assert (result.grid.ijk_to_ras @ [1, 1, 1, 1]).tolist() == [7, 22, 34, 1]
    assert result.array is volume.array
    assert result.source == "t1.nii"
