"""What is wrong with a case, said so that a person can repair it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One defect.

    Attributes:
        case: whose.
        file: which file, empty where it is the case as a whole.
        what: what is wrong, a predicate such as ``is cut off``.
        remedy: what to do about it, a sentence.
    """

    case: str
    file: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.case}: {self.file or 'it'} {self.what}. {self.remedy}"


class BadCaseError(ValueError):
    """A case that cannot be used, with all its problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class BadCohortError(ValueError):
    """Cases that cannot be used, with all problems of all cases; ``ready`` cases are in the store already."""

    def __init__(self, problems: Sequence[Problem], ready: int) -> None:
        self.problems = tuple(sorted(problems))
        cases = len({problem.case for problem in problems})
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"{_count(len(problems), 'problem')} in {_count(cases, 'case')}:\n{lines}\n"
            f"Repair these files and run the same command again, or list the good cases in a case manifest"
            f" (python -m DMAFTraining.prepare cases --help). {_count(ready, 'case')} ready: kept, not prepared again."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
