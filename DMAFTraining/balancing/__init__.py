"""Balancing strategies by their settings; any of them runs with any backbone."""

from __future__ import annotations

from collections.abc import Callable

from DMAFTraining.balancing.base import Strategy, StrategySettings, Task
from DMAFTraining.balancing.dmaf import DMAFBalancing, DMAFStrategy
from DMAFTraining.balancing.moddrop import ModDrop
from DMAFTraining.balancing.none import NoBalancing, NoBalancingStrategy
from DMAFTraining.balancing.passion import PASSION, PASSIONStrategy
from DMAFTraining.balancing.pmr import PMR, PMRStrategy
from DMAFTraining.networks.base import SegmentationNetwork

STRATEGIES: dict[type[StrategySettings], Callable[..., Strategy]] = {
    NoBalancing: NoBalancingStrategy,
    ModDrop: NoBalancingStrategy,
    PMR: PMRStrategy,
    PASSION: PASSIONStrategy,
    DMAFBalancing: DMAFStrategy,
}

STRATEGY_NAMES: dict[str, type[StrategySettings]] = {
    "none": NoBalancing,
    "moddrop": ModDrop,
    "pmr": PMR,
    "passion": PASSION,
    "dmaf": DMAFBalancing,
}
"""What people call them on a command line."""


def build_strategy(settings: StrategySettings, task: Task, network: SegmentationNetwork) -> Strategy:
    """The strategy that these settings belong to.

    Raises:
        ValueError: settings of no known strategy.
    """
    if type(settings) not in STRATEGIES:
        known = ", ".join(kind.__name__ for kind in STRATEGIES)
        raise ValueError(f"{type(settings).__name__} are settings of no strategy; known are {known}.")
    return STRATEGIES[type(settings)](settings, task, network)
