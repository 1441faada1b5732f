"""Which sequence the others are brought to."""

from __future__ import annotations

import pytest

from DMAFTraining.inference.reference_choice import choose_reference
from DMAFTraining.modalities import BRATS, MYOPS

FINE, THICK = (1.0, 1.0, 1.0), (0.5, 0.5, 5.0)


def test_the_shortest_longest_edge_wins_even_against_small_pixels() -> None:
    assert choose_reference({"t1": THICK, "flair": FINE, "t2": THICK}, BRATS) == "flair"


def test_of_equals_t1ce_comes_first_then_the_order_of_the_model() -> None:
    assert choose_reference({"t2": FINE, "t1ce": (1.05, 1.0, 1.0), "t1": FINE}, BRATS) == "t1ce"
    assert choose_reference({"t2": FINE, "t1": (1.05, 1.0, 1.0)}, BRATS) == "t1"
    assert choose_reference({"t2": FINE, "lge": FINE}, MYOPS) == "lge"


def test_t1ce_has_to_be_as_fine_within_a_tenth() -> None:
    assert choose_reference({"t1ce": (1.2, 1.0, 1.0), "t2": FINE}, BRATS) == "t2"


@pytest.mark.parametrize(
    ("spacings", "said"),
    [({}, "at least one"), ({"pet": FINE}, "pet"), ({"t1": (1.0, 0.0, 1.0)}, "not positive")],
)
def test_refuses_what_it_cannot_judge(spacings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        choose_reference(spacings, BRATS)
