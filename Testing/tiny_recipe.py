"""A cohort of text files: everything around the simulators, without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def write_text_case(index: int, folder: Path) -> dict[str, Any]:
    """A case that says its number."""
    name = f"tiny-{index}"
    (folder / name).mkdir()
    (folder / name / f"{name}.txt").write_text(f"case {index}", encoding="utf-8")
    return {"id": name, "index": index, "square": index**2}


@dataclass(frozen=True)
class TinyRecipe:
    """A recipe with one setting."""

    seed: int = 0

    @property
    def settings(self) -> dict[str, Any]:
        return {"anatomy": "tiny", "seed": self.seed}

    def open(self, processes: int | None) -> Any:
        return write_text_case

    def summarize(self, folder: Path, records: Sequence[dict[str, Any]]) -> str:
        return f"squares add up to {sum(record['square'] for record in records)}"
