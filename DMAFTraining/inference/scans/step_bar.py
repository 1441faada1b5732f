"""One progress bar for several steps, shared out by the time that they usually take."""

from __future__ import annotations

from collections.abc import Callable

from DMAFTraining.inference.scans.decisions import Plan, Step

OnStep = Callable[[float, str, str], None]
"""Told the finished fraction of all steps, the stage ("register", "brain" or "bias"), and what is being done; what it
raises stops the work."""

STAGES: dict[Step, str] = {"registration": "register", "brain": "brain", "bias": "bias"}
_USUAL_SECONDS: dict[Step, float] = {"registration": 8.0, "brain": 10.0, "bias": 10.0}
"""Of one sequence, on a processor."""


class StepBar:
    """Turns the fractions of single steps into one.

    Args:
        on_step: told the fraction of all.
        plan: which steps there are.
    """

    def __init__(self, on_step: OnStep, plan: Plan) -> None:
        self._on_step = on_step
        self._total = usual_seconds(plan)
        self._done = 0.0

    def part(self, step: Step, message: str) -> Callable[[float], None]:
        """Begin the next part, one of a step; what is returned takes its fraction, 0 to 1."""
        start, share = self._done / self._total, _USUAL_SECONDS[step] / self._total
        self._done += _USUAL_SECONDS[step]

        def tell(fraction: float) -> None:
            self._on_step(min(1.0, start + share * fraction), STAGES[step], message)

        tell(0.0)
        return tell


def usual_seconds(plan: Plan) -> float:
    """Time that the steps of a plan usually take together; 0 if there are none."""
    counts: dict[Step, int] = {step: len(plan.needed(step)) for step in _USUAL_SECONDS}
    counts["brain"] = min(1, counts["brain"])  # one brain for all sequences
    return sum(count * _USUAL_SECONDS[step] for step, count in counts.items())
