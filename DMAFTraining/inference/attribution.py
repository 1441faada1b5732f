"""Which sequence matters: what the result loses without it, and its exact Shapley value.

Both look at a game: the players are the sequences, and every coalition (combination) has a value, for
example the Dice of its segmentation or a volume in mL. Standard library only.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

Coalition = frozenset[str]
NOTHING: Coalition = frozenset()


def coalitions(players: Sequence[str]) -> Iterator[Coalition]:
    """Every non-empty combination of the players."""
    for size in range(1, len(players) + 1):
        yield from map(frozenset, itertools.combinations(players, size))


def leave_one_out(values: Mapping[Coalition, float], players: Sequence[str]) -> dict[str, float]:
    """What everybody together loses without each player: ``v(all) - v(all without it)``.

    Args:
        values: of the coalitions that are known; that of nobody counts as 0.
        players: their names.

    Returns:
        By player; players without whom no value is known are left out, all of them if that of all is unknown.
    """
    known = {NOTHING: 0.0, **values}
    everybody = frozenset(players)
    if everybody not in known:
        return {}
    return {p: known[everybody] - known[everybody - {p}] for p in players if everybody - {p} in known}


def shapley(values: Mapping[Coalition, float], players: Sequence[str]) -> dict[str, float]:
    """Exact Shapley value of each player, from all coalitions (Shapley, 1953).

    The mean, over every order in which the players could come, of what a player adds when it comes. The
    values of all players add up to ``v(all) - v(nobody)``.

    Args:
        values: of every non-empty coalition; that of nobody counts as 0.
        players: their names.

    Raises:
        ValueError: the value of a coalition is missing.
    """
    known = {NOTHING: 0.0, **values}
    if missing := [c for c in coalitions(players) if c not in known]:
        raise ValueError(f"Shapley values need every combination; {'+'.join(sorted(missing[0]))} is missing.")
    return {player: _expected_gain(known, player, [p for p in players if p != player]) for player in players}


def _expected_gain(known: Mapping[Coalition, float], player: str, others: Sequence[str]) -> float:
    terms = []
    for before in (NOTHING, *coalitions(others)):
        # Share of all orders in which exactly these come before the player.
        share = 1 / ((len(others) + 1) * math.comb(len(others), len(before)))
        terms.append(share * (known[before | {player}] - known[before]))
    return math.fsum(terms)
