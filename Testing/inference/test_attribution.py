"""Leave-one-out and Shapley values: games solved by hand, the axioms, and the definition over all orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DMAFTraining.inference.attribution import Coalition, coalitions, leave_one_out, shapley

NAMES = ("a", "b", "c", "d", "e")
Game = dict[Coalition, float]


def game(**values: float) -> Game:
    """``game(a=1, ab=3)``: the players of a coalition are the letters of its name."""
    return {frozenset(name): value for name, value in values.items()}


@st.composite
def games(draw: st.DrawFn) -> tuple[tuple[str, ...], Game]:
    players = NAMES[: draw(st.integers(1, 5))]
    return players, {c: draw(st.floats(-1000, 1000)) for c in coalitions(players)}


def test_two_players_by_hand() -> None:
    # a first: a 1, then b adds 3; b first: b 2, then a adds 2.
    found = shapley(game(a=1, b=2, ab=4), ("a", "b"))
    assert found == pytest.approx({"a": 1.5, "b": 2.5}, abs=1e-15)
    assert leave_one_out(game(a=1, b=2, ab=4), ("a", "b")) == {"a": 2, "b": 3}


def test_three_players_by_hand() -> None:
    # Gloves: a holds a left one, b and c a right one each; a pair is worth 1. In 4 of the 6 orders a completes it,
    # in one b and in one c.
    gloves = game(a=0, b=0, c=0, ab=1, ac=1, bc=0, abc=1)
    assert shapley(gloves, ("a", "b", "c")) == pytest.approx({"a": 4 / 6, "b": 1 / 6, "c": 1 / 6}, abs=1e-15)
    assert leave_one_out(gloves, ("a", "b", "c")) == {"a": 1, "b": 0, "c": 0}


def test_a_lone_player_gets_everything() -> None:
    assert shapley(game(a=7), ("a",)) == {"a": 7}
    assert leave_one_out(game(a=7), ("a",)) == {"a": 7}


@settings(max_examples=60, deadline=None)
@given(games())
def test_equals_the_mean_over_all_orders(drawn: tuple[tuple[str, ...], Game]) -> None:
    players, values = drawn
    gains: dict[str, list[float]] = {player: [] for player in players}
    for order in itertools.permutations(players):
        before = 0.0
        for count, player in enumerate(order, 1):
            after = values[frozenset(order[:count])]
            gains[player].append(after - before)
            before = after
    expected = {player: float(np.mean(each)) for player, each in gains.items()}
    assert shapley(values, players) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(games())
def test_the_values_add_up_to_that_of_all(drawn: tuple[tuple[str, ...], Game]) -> None:
    players, values = drawn
    scaled = {c: v / 1000 for c, v in values.items()}
    assert sum(shapley(scaled, players).values()) == pytest.approx(scaled[frozenset(players)], abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(games(), st.floats(-5, 5))
def test_a_dummy_gets_what_it_has_alone(drawn: tuple[tuple[str, ...], Game], own: float) -> None:
    players, values = drawn
    known = {frozenset[str](): 0.0, **values}
    more = {c: known[c - {"dummy"}] + own * ("dummy" in c) for c in coalitions((*players, "dummy"))}
    found = shapley(more, (*players, "dummy"))
    assert found["dummy"] == pytest.approx(own, abs=1e-9)
    assert {p: found[p] for p in players} == pytest.approx(shapley(values, players), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from([(n, k) for n in range(3) for k in range(3)]), st.floats(-9, 9), min_size=9))
def test_players_that_can_stand_in_for_each_other_get_the_same(worth: dict[tuple[int, int], float]) -> None:
    # The value depends on how many of a and b there are, and how many of c and d.
    values = {c: worth[len(c & {"a", "b"}), len(c & {"c", "d"})] for c in coalitions("abcd")}
    found = shapley(values, "abcd")
    assert found["a"] == pytest.approx(found["b"], abs=1e-9)
    assert found["c"] == pytest.approx(found["d"], abs=1e-9)


def test_missing_combinations() -> None:
    values = game(a=1, ab=3, abc=5)
    with pytest.raises(ValueError, match="need every combination; b is missing"):
        shapley(values, ("a", "b", "c"))
    assert leave_one_out(values, ("a", "b", "c")) == {"c": 2}
    assert leave_one_out(game(a=1, b=1), ("a", "b")) == {}
