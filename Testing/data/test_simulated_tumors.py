"""Simulated gliomas: plan, outline, wall, edema and brightness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from DMAFTraining.data.simulation.appearance import Appearance, draw_appearance, paint_tumor
from DMAFTraining.data.simulation.contrast import Texture
from DMAFTraining.data.simulation.core_shape import grow_cores
from DMAFTraining.data.simulation.edema import edema_mask
from DMAFTraining.data.simulation.enhancing import draw_inside
from DMAFTraining.data.simulation.front import UNREACHED, arrival_times
from DMAFTraining.data.simulation.shape import Grid
from DMAFTraining.data.simulation.tissue_map import TissueMap, skull_depth
from DMAFTraining.data.simulation.tissues import Tissue
from DMAFTraining.data.simulation.tumor import EDEMA, ENHANCING, NECROSIS, Tumor, grow_tumor
from DMAFTraining.data.simulation.tumor_plan import Plan, Wall, draw_plan
from DMAFTraining.data.simulation.types import BoolArray, FloatArray, LabelArray
from round_head import GRID, SPACING, TO_ML, ball, make_head, make_pose

SMOOTH = Wall(rim=4.0, uneven=0.0, gaps=0.0, haze=0.1, ragged=0.0, septa=0.0)
PLAN = Plan(
    kind="ring", core_ml=20.0, whole_ml=60.0, foci=1, satellites=0, lobes=3, rough=0.6, displacing=0.5, swelling=0.1,
    reach=25.0, wall=SMOOTH, fade=2.0, crosses=False, blur=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def head() -> LabelArray:
    return make_head()


def test_a_front_needs_the_time_of_its_way() -> None:
    speed = np.ones((21, 5, 5), np.float32)
    speed[12:] = 0.5
    speed[18:] = 0.0
    arrival = arrival_times(speed, np.array([[2, 2, 2]]), 2.0, 50.0)
    assert arrival[2, 2, 2] == 0.0
    assert arrival[11, 2, 2] == pytest.approx(18.0, abs=0.1)  # nine voxels of 2 mm
    assert arrival[17, 2, 2] == pytest.approx(18.0 + 6 * 4.0, abs=0.5)  # six more at half the speed
    assert arrival[19, 2, 2] == UNREACHED
    assert arrival_times(speed, np.array([[2, 2, 2]]), 2.0, 10.0)[11, 2, 2] == UNREACHED
    late = arrival_times(speed, np.array([[2, 2, 2]]), 2.0, 50.0, [7.0])
    assert late[11, 2, 2] == pytest.approx(25.0, abs=0.1)


@pytest.mark.parametrize("volume", [2.0, 20.0, 80.0])
def test_a_core_has_its_volume_and_stays_in_the_brain(head: LabelArray, volume: float) -> None:
    plan = replace(PLAN, core_ml=volume, whole_ml=2 * volume, displacing=0.25, rough=1.0)
    middle = np.abs(GRID.positions()[0]) < 8  # a core that starts in the middle may grow to both sides
    head = np.where(middle & (head == Tissue.WHITE), Tissue.GRAY, head).astype(np.uint8)
    for seed in range(3):
        share = grow_cores(plan, head, make_pose(), np.random.default_rng(seed))
        mask = share > 0.5
        assert mask.sum() * TO_ML == pytest.approx(0.75 * volume, rel=0.12)
        assert not mask[skull_depth(head, SPACING) < 1.5].any()
        assert not mask[head == Tissue.FALX].any()
        x = GRID.positions()[0][mask]
        assert (x > 0).mean() in (0.0, 1.0)  # not across the midline unless it is meant to


def roundness(mask: BoolArray) -> float:
    """Volume over that of the smallest ball around it: 1 for a ball."""
    where = np.argwhere(mask)
    reach = np.sqrt(((where - where.mean(axis=0)) ** 2).sum(axis=1).max())
    return float(len(where) / (4.0 / 3.0 * np.pi * reach**3))


def test_rough_cores_with_lumps_are_not_balls(head: LabelArray) -> None:
    def typical(plan: Plan) -> float:
        found = [grow_cores(plan, head, make_pose(), np.random.default_rng(seed)) > 0.5 for seed in range(5)]
        return float(np.median([roundness(mask) for mask in found]))

    assert typical(replace(PLAN, rough=1.0, lobes=6)) < 0.5
    assert typical(replace(PLAN, rough=0.0, lobes=1)) > 0.55


def test_foci_and_satellites_are_pieces_of_their_own(head: LabelArray) -> None:
    def pieces(plan: Plan) -> list[int]:
        found = (grow_cores(plan, head, make_pose(), np.random.default_rng(seed)) > 0.5 for seed in range(4))
        return [int(ndimage.label(mask)[1]) for mask in found]

    assert set(pieces(PLAN)) == {1}
    assert max(pieces(replace(PLAN, foci=2))) == 2
    assert max(pieces(replace(PLAN, satellites=4, core_ml=40.0))) >= 3


def test_an_anatomy_without_white_matter_is_refused() -> None:
    with pytest.raises(ValueError, match="no white matter"):
        grow_cores(PLAN, np.zeros(GRID.shape, np.uint8), make_pose(), np.random.default_rng(0))


def inside(**changes: float) -> tuple[BoolArray, FloatArray, FloatArray]:
    region = ball((0.0, 0.0, 0.0), 20.0)
    plan = replace(PLAN, wall=replace(SMOOTH, **changes))
    return region, *draw_inside(plan, region, GRID, np.random.default_rng(4))


@pytest.mark.parametrize("rim", [3.0, 6.0])
def test_an_even_rim_holds_the_share_of_a_shell(rim: float) -> None:
    region, enhancing, _ = inside(rim=rim)
    assert (enhancing[region] > 0.5).mean() == pytest.approx(1.0 - ((20.0 - rim) / 20.0) ** 3, abs=0.08)


def test_gaps_septa_knots_and_ragged_tumor_change_the_rim() -> None:
    region, even, _ = inside()
    surface = region & ~ndimage.binary_erosion(region)
    whole = (even > 0.5)[surface].mean()
    assert whole > 0.97
    _, broken, _ = inside(gaps=0.5)
    assert 0.2 < (broken > 0.5)[surface].mean() < 0.8
    center = ball((0.0, 0.0, 0.0), 12.0)
    assert not (even > 0.5)[center].any()
    _, divided, _ = inside(septa=1.5)
    assert 0.05 < (divided > 0.5)[center].mean() < 0.6
    _, knotty, _ = inside(uneven=4.0)
    assert (knotty > 0.5)[center].any()
    _, covered, solid = inside(ragged=6.0)
    bare = surface & ~(covered > 0.5)
    assert 0.2 < bare.sum() / surface.sum() < 0.8
    assert solid[bare].mean() > 0.9  # tumor, not necrosis


def test_a_hazy_border_is_wider() -> None:
    region, sharp, _ = inside()
    _, hazy, _ = inside(haze=6.0)

    def between(share: FloatArray) -> float:
        return float(((share > 0.1) & (share < 0.9))[region].mean())

    assert between(hazy) > 1.5 * between(sharp)


@pytest.mark.parametrize(("kind", "low", "high"), [("ring", 0.3, 0.95), ("solid", 0.6, 1.0), ("plain", 0.0, 0.35)])
def test_growth_follows_its_plan(head: LabelArray, kind: str, low: float, high: float) -> None:
    plan = replace(PLAN, kind=kind, wall=replace(SMOOTH, rim=4.0))
    tissues, tumor = grow_tumor(plan, head, make_pose(), np.random.default_rng(2))
    core = (tumor.labels == NECROSIS) | (tumor.labels == ENHANCING)
    assert core.sum() * TO_ML == pytest.approx(20.0, rel=0.15)
    assert (tumor.labels > 0).sum() * TO_ML == pytest.approx(60.0, rel=0.2)
    assert low <= (tumor.labels == ENHANCING).sum() / core.sum() <= high
    forbidden = tissues.is_any(Tissue.VENTRICLE, Tissue.FALX, Tissue.BONE, Tissue.DURA, Tissue.BACKGROUND)
    assert not (tumor.labels > 0)[forbidden].any()
    assert tumor.midline_shift > 0.3
    for share in (tumor.core, tumor.enhancing, tumor.solid, tumor.edema):
        assert share.min() >= 0.0
        assert share.max() <= 1.0


@pytest.fixture(scope="module")
def swollen(head: LabelArray) -> tuple[TissueMap, Tumor]:
    return grow_tumor(replace(PLAN, whole_ml=120.0), head, make_pose(), np.random.default_rng(5))


def test_edema_runs_in_white_matter_and_spares_the_cortex(swollen: tuple[TissueMap, Tumor]) -> None:
    tissues, tumor = swollen
    edema = tumor.labels == EDEMA
    reach = ndimage.binary_dilation(edema, iterations=3)
    shares = {t: edema[reach & tissues.is_any(t)].mean() for t in (Tissue.WHITE, Tissue.GRAY, Tissue.CSF)}
    assert shares[Tissue.WHITE] > 4 * shares[Tissue.GRAY]
    assert shares[Tissue.CSF] == 0.0
    side = tissues.pose.side()
    side *= np.sign(np.median(side[edema]))
    assert edema[side < -2].sum() < 0.1 * edema.sum()


def test_edema_is_no_shell_around_the_core(swollen: tuple[TissueMap, Tumor]) -> None:
    labels = swollen[1].labels
    edema = labels == EDEMA
    distance = ndimage.distance_transform_edt((labels != NECROSIS) & (labels != ENHANCING)) * SPACING
    ring = ((distance > 0) & (distance <= np.quantile(distance[edema], 0.9))).sum()
    # A shell would fill all that is as near to the core.
    assert edema.sum() / ring < 0.75


def test_without_edema_there_is_none_and_the_border_lies_at_half(head: LabelArray) -> None:
    _, bare = grow_tumor(replace(PLAN, whole_ml=20.0), head, make_pose(), np.random.default_rng(3))
    assert (bare.labels == EDEMA).sum() * TO_ML < 1.0
    strength = np.zeros((12, 5, 5), np.float32)
    strength[:] = np.linspace(1.0, 0.0, 12)[:, None, None]
    core = np.zeros_like(strength, bool)
    core[0] = True
    grid = Grid((12, 5, 5), 2.0)
    mask = edema_mask(strength, core, np.ones_like(core), grid)
    assert np.flatnonzero(mask.all(axis=(1, 2))).tolist() == [1, 2, 3, 4, 5]  # 6/11 > 0.5 > 5/11
    strength[9, 2, 2] = 1.0  # 8 mm3: a crumb
    assert not edema_mask(strength, core, np.ones_like(core), grid)[9].any()


def test_plans_spread_like_the_patients_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    plans = [draw_plan(rng) for _ in range(1500)]
    tumors = [plan for plan in plans if plan.kind != "mimic"]
    whole = np.array([plan.whole_ml for plan in tumors])
    share = np.array([plan.core_ml for plan in tumors]) / whole
    assert 0.02 < 1 - len(tumors) / len(plans) < 0.06
    assert 75 < np.median(whole) < 100
    assert whole.min() >= 1.0
    assert whole.max() <= 200.0
    assert 0.33 < np.median(share) < 0.5
    assert 0.03 < (share < 0.06).mean() < 0.15  # almost no core
    assert 0.03 < (share > 0.85).mean() < 0.2  # almost no edema
    assert all(plan.pushed_ml <= plan.core_ml for plan in plans)
    assert all(plan.edema_ml >= 0 for plan in plans)


def test_a_mimic_is_bright_on_flair_and_has_no_label(head: LabelArray) -> None:
    found = []
    for seed in range(6):
        plan = replace(PLAN, kind="mimic", core_ml=0.0, whole_ml=0.0)
        _, tumor = grow_tumor(plan, head, make_pose(), np.random.default_rng(seed))
        assert not tumor.labels.any()
        assert tumor.midline_shift == 0.0
        found.append(float((tumor.edema > 0.5).sum() * TO_ML))
    assert max(found) > 1.0


@pytest.fixture(scope="module")
def looks() -> Callable[[str], list[dict[str, Appearance]]]:
    def draw(kind: str) -> list[dict[str, Appearance]]:
        rng = np.random.default_rng(1)
        return [draw_appearance(kind, rng) for _ in range(300)]

    return draw


def test_sequences_of_a_tumor_belong_together(looks: Callable[[str], list[dict[str, Appearance]]]) -> None:
    for look in looks("ring"):
        for part in ("edema", "solid", "necrosis"):
            assert 0.95 <= getattr(look["t1ce"], part) / getattr(look["t1"], part) <= 1.16
        assert look["t1ce"].enhancing > 1.1 * look["t1"].enhancing
        assert 0.74 <= look["t1"].edema <= 0.97
        for name in ("flair", "t2"):
            assert look[name].edema >= 1.4
            assert 1.0 < look[name].solid < look[name].edema
            assert 1.0 < look[name].enhancing < look[name].edema
        assert look["t2"].necrosis >= 1.5
        assert look["t1"].solid >= 0.74
        assert look["t1ce"].signs == look["t1"].signs
    necrosis = [look["flair"].necrosis for look in looks("ring")]
    assert min(necrosis) < 0.5  # like fluid
    assert max(necrosis) > 1.5


def test_infiltrating_tumor_is_hardly_darker_on_t1(looks: Callable[[str], list[dict[str, Appearance]]]) -> None:
    drawn = looks("plain")
    assert np.quantile([look["t1"].solid for look in drawn], 0.5) > 0.8
    mismatch = [look for look in drawn if look["flair"].solid < 1.15 and look["t2"].solid > 1.85]
    assert 0.05 < len(mismatch) / len(drawn) < 0.3
    assert all(look["t1"].blood is None for look in drawn)


def test_painting_gives_each_part_its_value() -> None:
    shape = (1, 1, 4)
    parts = np.eye(4, dtype=np.float32)
    # Healthy, edema, solid tumor, enhancing; the fourth column of the core is all of its kind.
    core = np.array([0, 0, 1, 1], np.float32).reshape(shape)
    tumor = Tumor(
        labels=np.zeros(shape, np.uint8),
        core=core,
        enhancing=parts[3].reshape(shape),
        solid=parts[2].reshape(shape),
        edema=parts[1].reshape(shape),
        midline_shift=0.0,
    )
    flat = Texture(*(np.zeros(shape, np.float32) for _ in range(3)))
    look = Appearance(1.8, 0.5, 1.3, 2.0, 0.1, 0.2, None, (1.0, 1.0, 1.0))
    painted = paint_tumor(np.ones(shape, np.float32), tumor, look, flat, np.random.default_rng(0)).ravel()
    assert painted[[0, 2, 3]].tolist() == pytest.approx([1.0, 1.3, 2.0])
    assert 1.8 - 0.15 * 0.8 - 1e-6 <= painted[1] <= 1.8  # 85 to 100 % of the edema's contrast
    necrosis = replace(tumor, solid=tumor.solid * 0, enhancing=tumor.enhancing * 0)
    painted = paint_tumor(np.ones(shape, np.float32), necrosis, look, flat, np.random.default_rng(0)).ravel()
    assert painted[2:].tolist() == pytest.approx([0.5, 0.5])
