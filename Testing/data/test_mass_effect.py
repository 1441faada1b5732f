"""Mass effect: what a growing core does to the brain around it."""

from __future__ import annotations

import numpy as np
import pytest

from DMAFTraining.data.simulation.mass_effect import (
    Growth,
    Push,
    block_mean,
    carried,
    close_sulci,
    grow_and_push,
    jacobian,
    midline_shift,
    upsampled,
)
from DMAFTraining.data.simulation.tissue_map import skull_depth
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.types import BoolArray, LabelArray
from round_head import GRID, SPACING, TO_ML, ball, make_head, make_pose


@pytest.fixture(scope="module")
def head() -> LabelArray:
    return make_head()


@pytest.fixture(scope="module")
def core() -> BoolArray:
    """11.5 mL in the white matter of the right hemisphere, beside the ventricle."""
    return ball((37.0, 0.0, 0.0), 14.0)


def growth(core: BoolArray, core_ml: float, reach: float = 8.0) -> Growth:
    share = core.astype(np.float32)
    return Growth(share, np.zeros_like(share), core_ml, 0.0, reach)


@pytest.fixture(scope="module")
def push(head: LabelArray, core: BoolArray) -> Push:
    return grow_and_push(growth(core, 20.0), head, GRID)


def test_block_means_and_their_opposite() -> None:
    field = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    assert block_mean(field, 2).tolist() == [[[3.5]]]
    assert block_mean(np.ones((3, 2, 2)), 2).ravel().tolist() == [1.0, 0.5]  # the second block is half padding
    constant = np.full((5, 4, 3), 7.0, np.float32)
    assert upsampled(constant, 4, (18, 16, 12)).shape == (18, 16, 12)
    assert np.allclose(upsampled(constant, 4, (18, 16, 12)), 7.0)
    ramp = np.tile(np.arange(10, dtype=np.float32)[:, None, None], (1, 6, 6))
    fine = upsampled(ramp, 2, (20, 12, 12))
    # Fine voxel 9 lies at 4.25 coarse cells: centers at (i + 0.5) / 2 - 0.5.
    assert fine[9, 6, 6] == pytest.approx(4.25, abs=0.02)


def test_a_field_moves_with_the_displacement() -> None:
    field = np.zeros((9, 9, 9), np.float32)
    field[2, 4, 4] = 1.0
    displacement = np.zeros((3, 9, 9, 9), np.float32)
    displacement[0] = 6.0
    assert np.argwhere(carried(field, displacement, 2.0)).tolist() == [[5, 4, 4]]


def test_jacobian_of_a_known_map() -> None:
    index = np.indices((6, 6, 6)).astype(np.float32) * 2.0
    displacement = np.stack([0.5 * index[0], 0.25 * index[1], np.zeros_like(index[0])])
    assert np.allclose(jacobian(displacement, 2.0), 0.5 * 0.75)


def test_the_skull_stays_and_the_map_does_not_fold(head: LabelArray, push: Push) -> None:
    outside = skull_depth(head, SPACING) == 0
    assert np.abs(push.displacement[:, outside]).max() == 0.0
    assert np.abs(push.displacement).max() > 3.0
    assert jacobian(push.displacement, SPACING).min() > 0.1


def test_nothing_folds_between_a_large_core_and_the_skull(head: LabelArray) -> None:
    core = ball((46.0, 0.0, 10.0), 16.0) & (skull_depth(head, SPACING) > 1.5)
    push = grow_and_push(growth(core, 45.0), head, GRID)
    assert np.abs(push.displacement).max() > 6.0
    assert jacobian(push.displacement, SPACING).min() > 0.05


def test_tissue_moves_away_from_the_core(push: Push) -> None:
    offset = GRID.positions() - np.array([37.0, 0.0, 0.0], np.float32)[:, None, None, None]
    length = np.sqrt((offset**2).sum(axis=0))
    outward = (push.displacement * offset).sum(axis=0) / np.maximum(length, 1e-3)
    near = (length > 19) & (length < 25) & (skull_depth(make_head(), SPACING) > 8)
    assert (outward[near] > 0).mean() > 0.97
    assert np.median(outward[near]) > 1.5


def test_what_the_core_gains_the_fluid_loses(head: LabelArray, core: BoolArray, push: Push) -> None:
    grown = carried(core.astype(np.float32), push.displacement, SPACING).sum()
    assert (grown - core.sum()) * TO_ML == pytest.approx(20.0, rel=0.1)
    fluid = np.isin(head, (Tissue.CSF, Tissue.VENTRICLE)) & (skull_depth(head, SPACING) > 0)
    left = carried(fluid.astype(np.float32), push.displacement, SPACING)
    # What the map takes from the fluid by its shape, and what closed sulci lose on top of it.
    assert (fluid.sum() - left.sum()) * TO_ML > 8.0
    assert (fluid.sum() - (left * (1.0 - push.closed)).sum()) * TO_ML == pytest.approx(20.0, rel=0.25)


def test_white_matter_outside_the_core_keeps_its_volume(head: LabelArray, core: BoolArray, push: Push) -> None:
    after = make_pose().pushed(push.displacement).sample_labels(head)
    grown = carried(core.astype(np.float32), push.displacement, SPACING) > 0.5
    kept = ((after == Tissue.WHITE) & ~grown).sum() / ((head == Tissue.WHITE) & ~core).sum()
    assert kept == pytest.approx(1.0, abs=0.05)


def test_the_near_ventricle_shrinks_more(head: LabelArray, push: Push) -> None:
    after = make_pose().pushed(push.displacement)
    left = after.sample_labels(np.where(make_pose().side() < 0, head, 0)) == Tissue.VENTRICLE
    right = after.sample_labels(np.where(make_pose().side() > 0, head, 0)) == Tissue.VENTRICLE
    before = (head == Tissue.VENTRICLE).sum() / 2
    assert right.sum() < 0.85 * before
    assert right.sum() < left.sum() - 0.1 * before


def test_near_sulci_close_first(head: LabelArray, push: Push) -> None:
    sulci = (head == Tissue.CSF) & (skull_depth(head, SPACING) > 4)
    x = GRID.positions()[0]
    assert push.closed[sulci & (x > 25)].mean() > push.closed[sulci & (x < -25)].mean() + 0.1
    pose = make_pose()
    whole = Push(push.displacement * 0, np.ones(GRID.shape, np.float32))
    shut = close_sulci(pose, head, whole, np.random.default_rng(0)).sample_labels(head)
    assert (shut[sulci] == Tissue.GRAY).mean() > 0.9
    open_ = close_sulci(pose, head, Push(push.displacement * 0, np.full(GRID.shape, -1.0)), np.random.default_rng(0))
    assert np.array_equal(open_.sample_labels(head), head)


def test_the_midline_gives_way_to_the_other_side(head: LabelArray, core: BoolArray, push: Push) -> None:
    brain = (head > 0) & (head < Tissue.DURA)
    plane = brain & (np.abs(GRID.positions()[0]) < 2) & ~(head == Tissue.FALX)
    assert push.displacement[0][plane].mean() < -0.4
    shift = midline_shift(push.displacement, make_pose(), brain)
    assert 1.0 < shift < 15.0
    larger = grow_and_push(growth(core, 45.0, reach=25.0), head, GRID)
    assert midline_shift(larger.displacement, make_pose(), brain) > 1.4 * shift
    nothing = grow_and_push(growth(core, 0.0), head, GRID)
    assert np.abs(nothing.displacement).max() == 0.0
    assert midline_shift(nothing.displacement, make_pose(), brain) == 0.0


def test_the_falx_holds_back_what_lies_beside_it(head: LabelArray) -> None:
    high = growth(ball((24.0, 0.0, 36.0), 16.0), 15.0)
    held, free = grow_and_push(high, head, GRID), grow_and_push(high, make_head(falx=False), GRID)
    beside = (np.abs(GRID.positions()[0]) < 3) & (GRID.positions()[2] > 34) & (GRID.positions()[2] < 48)
    beside &= np.abs(GRID.positions()[1]) < 20
    assert np.abs(held.displacement[0][beside]).mean() < 0.6 * np.abs(free.displacement[0][beside]).mean()
