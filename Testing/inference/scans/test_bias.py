"""Bias field correction: a known field goes away, the rest stays, and it can be stopped."""

from __future__ import annotations

import numpy as np
import pytest

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.scans.bias import correct_bias
from tiny import head_grid, oblique_grid


def ignore(_: float) -> None:
    """Progress that nobody watches."""


def brain(grid: Grid) -> Volume:
    """White matter (100) with a cortex (70) and fluid inside (15), in a ball of 60 mm; zero outside."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3], -1, 0)
    radius = np.sqrt(x**2 + y**2 + z**2)
    folds = 6 * np.cos(7 * np.arctan2(y, x)) * np.cos(x / 8 + z / 6)
    image = np.where(radius + folds < 50, 100.0, 70.0)
    image[np.sqrt((np.abs(x) - 12) ** 2 + y**2 / 5 + z**2) < 8] = 15.0
    image += np.random.default_rng(0).normal(0, 2, image.shape)
    return Volume(np.where(radius < 60, image, 0).astype(np.float32), grid)


def field(grid: Grid) -> np.ndarray:
    """A smooth field that changes by a factor of 2 to 3 across the head."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ grid.ijk_to_ras[:3, :3].T + grid.ijk_to_ras[:3, 3], -1, 0) / 60
    return np.exp(0.35 * x - 0.25 * y * z + 0.2 * z**2)


def shaded(volume: Volume) -> Volume:
    return Volume((volume.array * field(volume.grid)).astype(np.float32), volume.grid, "scan")


def spread(image: np.ndarray, truth: np.ndarray) -> float:
    """Relative variation of brightness (standard deviation of its logarithm) that is not in the truth."""
    tissue = truth > 50
    return float(np.log(image[tissue] / truth[tissue]).std())


@pytest.mark.parametrize(
    "grid",
    [head_grid((27, 27, 27), 5.0), oblique_grid((65, 65, 24), (10, -15, 0), (2, 2, 5.5), 1)],
    ids=["5 mm", "oblique thick slices"],
)
def test_a_known_field_falls_to_a_third_and_the_image_stays(grid: Grid) -> None:
    truth = brain(grid)
    scan = shaded(truth)
    seen: list[float] = []
    corrected = correct_bias(scan, seen.append)
    before = spread(scan.array, truth.array)
    assert before > 0.15
    assert spread(corrected.array, truth.array) < before / 3
    assert np.array_equal(corrected.array != 0, truth.array != 0)
    assert corrected.grid is scan.grid
    assert corrected.source == "scan"
    assert (seen[0], seen[-1]) == (0, 1)
    assert sorted(seen) == seen
    assert len(seen) > 20


def test_an_even_image_stays_even_and_as_bright() -> None:
    truth = brain(head_grid((27, 27, 27), 5.0))
    corrected = correct_bias(truth, ignore).array
    assert spread(corrected, truth.array) < 0.03
    assert corrected[truth.array > 50].mean() == pytest.approx(truth.array[truth.array > 50].mean(), rel=0.02)


def test_two_runs_give_the_same_bytes() -> None:
    scan = shaded(brain(head_grid((19, 19, 19), 7.0)))
    assert correct_bias(scan, ignore).array.tobytes() == correct_bias(scan, ignore).array.tobytes()


def test_raising_in_the_progress_stops_the_work_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    class StopError(Exception):
        pass

    calls: list[float] = []

    def stop(fraction: float) -> None:
        calls.append(fraction)
        if fraction > 0.1:
            raise StopError

    with pytest.raises(StopError):
        correct_bias(shaded(brain(head_grid((27, 27, 27), 5.0))), stop)
    assert calls[-1] < 0.2
    assert sum(fraction > 0.1 for fraction in calls) == 1
    assert capfd.readouterr().err == ""


def test_an_image_without_anything_bright_is_refused() -> None:
    grid = head_grid((10, 10, 10))
    with pytest.raises(InputError, match="no bright voxels"):
        correct_bias(Volume(-np.ones(grid.size, np.float32), grid), ignore)
