"""What is decided for raw and for prepared scans, and what the user's choices change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.geometry import Grid, Volume
from DMAFTraining.inference.metadata import Preprocessing
from DMAFTraining.inference.scans.decisions import Plan, decide
from DMAFTraining.inference.scans.options import ScanOptions
from DMAFTraining.modalities import BRATS, MYOPS
from raw_scans_rig import rigid, scan
from tiny import head_grid, oblique_grid

BRAIN = Preprocessing((4.0, 4.0, 4.0))
HEART = Preprocessing((1.0, 1.0), "slices", slice_size=32)
GRID = head_grid((64, 72, 64), 3.0)
THICK = oblique_grid((66, 70, 34), (8.0, -5.0, 4.0), (3.0, 3.0, 6.0), 1)


def _prepared(*names: str) -> dict[str, Volume]:
    return {name: scan(name, GRID, stripped=True, seed=n) for n, name in enumerate(names)}


@pytest.fixture(scope="module")
def raw() -> dict[str, Volume]:
    """A T1 on a fine grid, and a T2 of thick slices for which the patient lay elsewhere; both with skull."""
    return {"t1": scan("t1", GRID), "t2": scan("t2", THICK, rigid((6, -4, 8), (7, -5, 6)))}


def _decide(volumes: dict[str, Volume], reference: str | None = None, **options: Any) -> Plan:
    return decide(volumes, BRATS, BRAIN, ScanOptions(**options), reference)


def _needed(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {step: plan.needed(step) for step in ("registration", "brain", "bias")}


def test_prepared_images_need_nothing_and_the_first_is_the_reference() -> None:
    plan = _decide(_prepared("t2", "flair", "t1ce"))
    assert _needed(plan) == {"registration": (), "brain": (), "bias": ()}
    assert plan.reference == "t1ce"  # the first in the order of the model, whatever the order they were given in
    assert plan.heads == ()
    assert set(plan.brains) == {"t1ce", "flair", "t2"}
    assert all(decision.reason.endswith(".") for decision in plan.decisions)


def test_a_single_image_needs_no_registration_decision() -> None:
    plan = _decide(_prepared("flair"))
    assert [(d.step, d.sequence) for d in plan.decisions] == [("brain", "flair"), ("bias", "flair")]


def test_raw_scans_need_both_steps_and_the_finest_is_the_reference(raw: dict[str, Volume]) -> None:
    plan = _decide(raw)
    assert _needed(plan) == {"registration": ("t2",), "brain": ("t1", "t2"), "bias": ()}
    assert plan.reference == "t1"
    swapped = _decide({"t1": raw["t2"], "t2": raw["t1"]})
    assert swapped.reference == "t2"
    assert swapped.needed("registration") == ("t1",)


def test_the_user_chooses_the_reference(raw: dict[str, Volume]) -> None:
    plan = _decide(raw, "t2")
    assert plan.reference == "t2"
    assert plan.needed("registration") == ("t1",)
    assert _decide(_prepared("t1", "t2"), "t2").reference == "t2"


def test_scans_that_do_not_overlap_are_registered_rather_than_refused(raw: dict[str, Volume]) -> None:
    far = raw["t2"].grid.ijk_to_ras.copy()
    far[:3, 3] += 500.0
    plan = _decide({"t1": raw["t1"], "t2": Volume(raw["t2"].array, Grid(THICK.size, far))})
    assert plan.needed("registration") == ("t2",)


def test_choices_force_and_switch_off(raw: dict[str, Volume]) -> None:
    off = _decide(raw, registration="off", brain="off")
    assert _needed(off) == {"registration": (), "brain": (), "bias": ()}
    assert off.reference == "t1"
    assert off.heads == ("t1", "t2")  # still known, for a warning
    forced = _decide(_prepared("t1", "flair"), registration="on", brain="deepbet", bias_correction=True)
    assert _needed(forced) == {"registration": ("flair",), "brain": ("t1", "flair"), "bias": ("t1", "flair")}


def test_a_brain_beside_a_head_is_told_apart(raw: dict[str, Volume]) -> None:
    plan = _decide({"t1": raw["t1"], "t1ce": scan("t1ce", GRID, stripped=True)})
    assert plan.needed("brain") == ("t1",)
    assert (plan.heads, plan.brains) == (("t1",), ("t1ce",))


def test_models_of_slices_take_their_images_as_they_are() -> None:
    rng = np.random.default_rng(0)
    moved = np.eye(4)
    moved[:3, 3] = 3.0
    volumes = {
        "bssfp": Volume(rng.random((20, 22, 4), np.float32), Grid((20, 22, 4), np.eye(4))),
        "lge": Volume(rng.random((21, 20, 5), np.float32), Grid((21, 20, 5), moved)),
    }
    plan = decide(volumes, MYOPS, HEART, ScanOptions(), None)
    assert _needed(plan) == {"registration": (), "brain": (), "bias": ()}
    assert (plan.heads, plan.brains) == ((), ())
    with pytest.raises(InputError, match="do not show a brain"):
        decide(volumes, MYOPS, HEART, ScanOptions(brain="deepbet"), None)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="No sequence"):
        _decide({})
    with pytest.raises(InputError, match="not among the given"):
        _decide(_prepared("t1"), "t2")


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"registration": "maybe"}, "Unknown choice 'maybe'"),
        ({"brain": "sharp"}, "Unknown choice 'sharp'"),
        ({"brain": "mask"}, "belong together"),
        ({"brain_mask": "m.nii.gz"}, "belong together"),
        ({"brain": "deepbet", "brain_mask": "m.nii.gz"}, "belong together"),
    ],
)
def test_options_that_do_not_fit_are_refused(choice: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ScanOptions(**choice)
